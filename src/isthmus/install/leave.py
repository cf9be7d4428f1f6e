"""Takes a cluster out of its set, and Isthmus out of the cluster: the hub is told first, by the member's own hand.

Once its Member is gone, the hub's controller clears up after it there. Each step may be the last: the same again goes
on from there.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from isthmus.api.isthmus import HAS_LEFT, MEMBERS, MEMBERS_NAMESPACE
from isthmus.errors import Invalid, IsthmusError, NotFound, Refused, Unreachable
from isthmus.install.held import Held
from isthmus.install.homes import Home
from isthmus.install.uninstall import uninstall
from isthmus.install.workloads import MEMBER
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.config import Config
from isthmus.kube.lease import sign_off

Say = Callable[[str], None]

_UNAUTHORIZED: Final = 401


async def leave(
    member: Client,
    home: Home,
    *,
    crds: bool,
    say: Say,
    clock: Clock = SYSTEM,
) -> int:
    """Leave the set, and remove all that joining brought, definitions only with `crds`; how many objects that were.

    Raises Invalid where the cluster has not joined; Unreachable, when the member is clean, where the hub could not
    be told.
    """
    held = await demand_joined(member, home)
    untold = await _tell(held, home.at_hub(held), say, clock)
    await home.vacate()
    count = await uninstall(member, MEMBER, crds=crds, say=say, clock=clock)
    if not untold:
        await _say_left(held, home.at_hub(held), clock)
    await home.forget()
    if untold:
        raise Unreachable(
            f"the cluster is clean, but its hub does not know: {untold}. "
            f"On the hub, type: isthmus remove {held.cluster}"
        )
    return count


async def demand_joined(member: Client, home: Home) -> Held:
    """What the cluster holds since it joined. Raises Invalid where it has not."""
    if (held := await home.held()) is not None:
        return held
    raise Invalid(
        f"{member.server} holds nothing that joining brought, so there is nothing to leave. What was installed "
        "by hand goes by: isthmus install uninstall member"
    )


async def _tell(held: Held, config: Config, say: Say, clock: Clock) -> str:
    """Delete our Member; why that could not be, or nothing."""
    try:
        async with Client(config, clock=clock) as hub:
            await hub.delete(MEMBERS, held.cluster, namespace=held.set)
    except NotFound:
        say(f"the hub has let {held.cluster} go before")
    except Refused as problem:
        if problem.code != _UNAUTHORIZED:
            return str(problem)
        return f"{config.server} no longer knows what this cluster holds, so it was removed there, or another joined"
    except IsthmusError as problem:
        return str(problem)
    else:
        say(f"{held.cluster} is no longer in set {held.set}")
    return ""


async def _say_left(held: Held, config: Config, clock: Clock) -> None:
    """Have the hub take our access at once; after a minute it does so anyway."""
    with suppress(IsthmusError):
        async with Client(config, clock=clock) as hub:
            await sign_off(hub, namespace=MEMBERS_NAMESPACE, name=held.cluster, holder=HAS_LEFT, clock=clock)
