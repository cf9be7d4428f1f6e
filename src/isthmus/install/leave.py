"""Takes a cluster out of its set, and Isthmus out of the cluster: the hub is told first, by the member's own hand.

Once its Member is gone, the hub's controller clears up after it there. Each step may be the last: the same again goes
on from there.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from isthmus.agent.renewal import claims
from isthmus.api.about import CLUSTER_PROPERTIES, CLUSTER_SET
from isthmus.api.access import CLUSTER_ROLES
from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import LEASES, NAMESPACES, SECRETS, SERVICES
from isthmus.api.isthmus import HAS_LEFT, MANAGED_BY, MARKER_LABEL, MEMBERS, MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Invalid, IsthmusError, NotFound, Refused, Unreachable
from isthmus.install.held import Held
from isthmus.install.homes import AGENT, Home
from isthmus.install.kinds import whole
from isthmus.install.rights import Right, demand_rights
from isthmus.install.roles import HUB_SECRET
from isthmus.install.uninstall import TO_UNDEFINE, TO_UNINSTALL, uninstall
from isthmus.install.workloads import HUB, INSTALLATION_LABEL, MEMBER, SHARED
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.config import Config
from isthmus.kube.lease import sign_off

Say = Callable[[str], None]

_UNAUTHORIZED: Final = 401
# Seconds.
_EMPTIED_WITHIN: Final = 90.0
_LOOK: Final = 0.3


# What leaving does beside uninstalling.
_RIGHTS: Final[tuple[Right, ...]] = (
    ("get", "", SECRETS.plural, SYSTEM_NAMESPACE),
    ("get", "", NAMESPACES.plural, ""),
)


async def demand_leaving(member: Client, home: Home, *, crds: bool, also: tuple[Right, ...] = ()) -> Held | None:
    """What the cluster holds, as `demand_joined`; Invalid that names all rights that leaving lacks, before it begins.

    `also` is what else is about to be done to the cluster.
    """
    await demand_rights(member, (), (*_RIGHTS, *TO_UNINSTALL, *(TO_UNDEFINE if crds else ()), *also))
    await home.demand_vacating()
    return await demand_joined(member, home)


async def leave(
    member: Client,
    home: Home,
    *,
    crds: bool,
    say: Say,
    keep: Collection[str] | None = None,
    clock: Clock = SYSTEM,
) -> int:
    """Leave the set, and remove all that joining brought, definitions only with `crds`; how many objects that were.

    Raises Invalid where the cluster has not joined; Unreachable, when the member is clean, where the hub could not
    be told. Who leaves for another set names the ClusterProperties to `keep`: then nothing is touched before the
    hub is told.
    """
    held = await demand_joined(member, home)
    # Without it, a former run has told the hub, and ended on its way.
    untold = await _tell(held, home.at_hub(held), say, clock) if held else ""
    if held and untold and keep is not None:
        raise Unreachable(
            f"nothing was given up: {held.server}, the hub of set {held.set}, cannot be told that {held.cluster} "
            f"leaves ({untold}). If it is gone for good: isthmus leave, then join"
        )
    await home.vacate()
    count = await uninstall(member, MEMBER, crds=crds, say=say, keep=keep or (), clock=clock)
    await _wait_emptied(member, say, clock)
    if held and not untold:
        await _say_left(held, home.at_hub(held), clock)
    await home.forget()
    if held and untold:
        raise Unreachable(
            f"the cluster is clean, but its hub does not know: {untold}. "
            f"On the hub, type: isthmus remove {held.cluster}"
        )
    return count


async def _wait_emptied(member: Client, say: Say, clock: Clock) -> None:
    """Until our namespace is gone, without which nobody can join again; where a hub lives in it too, it stays."""
    end = clock.monotonic() + _EMPTIED_WITHIN
    # Whoever was elected has ended: the next agent need not wait for him.
    with suppress(NotFound):
        await member.delete(LEASES, AGENT, namespace=SYSTEM_NAMESPACE)
    said = False
    while True:
        try:
            seen = await member.get(NAMESPACES, SYSTEM_NAMESPACE)
        except NotFound:
            return
        if seen.metadata.deletion_timestamp is None:
            return
        if clock.monotonic() > end:
            raise Unreachable(
                f"namespace {SYSTEM_NAMESPACE} does not end. Type: kubectl describe namespace {SYSTEM_NAMESPACE}"
            )
        if not said:
            say(f"waiting for namespace {SYSTEM_NAMESPACE} to end")
            said = True
        await clock.sleep(_LOOK)


async def demand_joined(member: Client, home: Home) -> Held | None:
    """What the cluster holds since it joined; None where that is gone, and other things are not.

    Raises Invalid where it has not joined.
    """
    if (held := await home.held()) is not None:
        return held
    if await is_half_gone(member):
        return None
    raise Invalid(
        f"{member.server} holds nothing that joining brought, so there is nothing to leave. What was installed "
        "by hand goes by: isthmus install uninstall member"
    )


async def is_half_gone(member: Client) -> bool:
    """Whether a former run ended on its way: the Secret goes before what else is the member's, the namespace last.

    What a cluster on the move keeps of its properties is part of it, too.
    """
    with suppress(NotFound):
        await member.get(SECRETS, HUB_SECRET, namespace=SYSTEM_NAMESPACE)
        return False

    async def has(kind: Resource[Manifest], part: str) -> bool:
        options = ListOptions(labels=f"{INSTALLATION_LABEL}={part}")
        return bool((await member.list(kind, options=options)).items)

    with suppress(NotFound):
        options = ListOptions(labels=f"{MARKER_LABEL}={MANAGED_BY}")
        kept = {item.metadata.name for item in (await member.list(CLUSTER_PROPERTIES, options=options)).items}
        # With the set, it is a member that did not join: `isthmus up` made it one.
        if kept and CLUSTER_SET not in kept:
            return True
    if await has(CLUSTER_ROLES, MEMBER) or await has(whole(DEPLOYMENTS), MEMBER) or await has(whole(SERVICES), MEMBER):
        return True
    return await has(whole(NAMESPACES), SHARED) and not await has(whole(DEPLOYMENTS), HUB)


async def _tell(held: Held, config: Config, say: Say, clock: Clock) -> str:
    """Delete our Member; why that could not be, or nothing."""
    try:
        async with Client(config, clock=clock) as hub:
            await hub.delete(MEMBERS, held.cluster, namespace=held.set)
    except NotFound:
        say(f"the hub has let {held.cluster} go before")
    except Refused as problem:
        seen = claims(held.token)
        if problem.code != _UNAUTHORIZED or seen is None:
            return str(problem)
        if seen.expires <= clock.now():
            return f"what this cluster holds for {config.server} has ended at {seen.expires:%Y-%m-%d %H:%M UTC}"
        say(f"the hub has taken the accounts of {held.cluster} before")
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
