"""Moves a cluster from one set into another: nothing of the one is given up before the other would have it.

How far it came stands where it is safe: the new hub's record of the request says whether the cluster has still to
leave; what the cluster holds says which set it is in. So the same again goes on from wherever it died.
ABOUT-27: the membership is deleted, then made anew, never changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from isthmus.api.about import CLUSTER_ID, CLUSTER_SET
from isthmus.api.core import SECRETS
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL, SYSTEM_NAMESPACE, JoinRequest
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Invalid, NotFound
from isthmus.install.held import Held
from isthmus.install.homes import Home
from isthmus.install.join import Joining, JoinOptions, join
from isthmus.install.joinable import Identity
from isthmus.install.kinds import whole
from isthmus.install.leave import is_half_gone, leave
from isthmus.install.petition import Petition, SpentToken, hub_of
from isthmus.install.push import KEY
from isthmus.install.works import WORKS_PROPERTY
from isthmus.inventory.rules.joining import JoinToken
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, ListOptions

Say = Callable[[str], None]

_OURS: Final = ListOptions(labels=f"{MARKER_LABEL}={MANAGED_BY}")


@dataclass(frozen=True)
class Outlook:
    """What moving a cluster would come to: out of which set (None: it is in none), and what it has at stake.

    `exports` go on in the new set, `imports` end; `keeps` are ClusterProperties that stay.
    """

    name: str
    held: Held | None
    exports: int
    imports: int
    keeps: tuple[str, ...]


async def move(
    token: JoinToken, member: Client, options: JoinOptions, home: Home, *, say: Say, clock: Clock = SYSTEM
) -> Held:
    """Have the cluster leave its set and join the token's; what it holds then. Safe to repeat.

    One that is in no set joins, one that is in the token's is repaired. Raises Invalid or Unreachable, with nothing
    given up, where the new set would not have it or the old one's hub cannot be told; later, with what to do, where
    something does not answer: then the same again goes on from there.
    """
    async with hub_of(token, options.proxy, clock) as petition:
        asked = await _asked(petition, token, home)
        if not options.name and asked is not None and asked.spec is not None:
            # The id that it had may be gone by now, and was asked for.
            options = replace(options, name=asked.spec.cluster)
        joining = Joining(token, member, options, home, say, clock)
        name, seen, held = await joining.look(leaving=not await is_in(token, home))
        options = replace(options, name=name)
        if await _is_to_leave(token, member, held, asked):
            await _demand_pull(member)
            say(f"asking {token.server} whether {name} may come into set {token.set}")
            if held is not None:
                await joining.cleared(petition, name, seen)
                say(f"{held.cluster} leaves set {held.set} of {held.server}")
            count = await leave(member, home, crds=False, say=say, keep=kept(seen, name), clock=clock)
            say(f"{count} objects are gone: the cluster is in no set for the moment")
    return await join(token, member, options, home, say=say, clock=clock)


async def outlook(token: JoinToken, member: Client, options: JoinOptions, home: Home) -> Outlook:
    """What `move` would do. Raises Invalid where it would, as far as that shows without writing anything."""
    joining = Joining(token, member, options, home, lambda _: None, SYSTEM)
    name, seen, held = await joining.look(leaving=not await is_in(token, home))
    async with hub_of(token, options.proxy) as petition:
        await petition.seen()
    return Outlook(
        name,
        held,
        await _count(member, whole(SERVICE_EXPORTS), ListOptions()),
        await _count(member, whole(SERVICE_IMPORTS), _OURS),
        tuple(sorted(kept(seen, name) & seen.ours)),
    )


async def is_in(token: JoinToken, home: Home) -> bool:
    """Whether the cluster holds a membership of the token's set on the token's hub."""
    held = await home.held()
    return held is not None and (held.set, held.server) == (token.set, token.server)


def kept(seen: Identity, name: str) -> frozenset[str]:
    """What the cluster goes on to say of itself on its way: the id only if it keeps it (ABOUT-19, ABOUT-22)."""
    goes = {CLUSTER_SET, WORKS_PROPERTY}
    if seen.properties.get(CLUSTER_ID) != name:
        goes.add(CLUSTER_ID)
    return frozenset(seen.properties) - goes


async def _asked(petition: Petition, token: JoinToken, home: Home) -> JoinRequest | None:
    """What a former run asked of the new hub; nothing where the token has done its work. Raises SpentToken."""
    try:
        return await petition.seen()
    except SpentToken:
        if not await is_in(token, home):
            raise
        return None


async def _is_to_leave(token: JoinToken, member: Client, held: Held | None, asked: JoinRequest | None) -> bool:
    if held is not None:
        return (held.set, held.server) != (token.set, token.server)
    # Once it asked to join, it had left: what is there of a member was put up for the new set.
    has_left = asked is not None and asked.spec is not None and not asked.spec.moving
    return not has_left and await is_half_gone(member)


async def _demand_pull(member: Client) -> None:
    try:
        await member.get(SECRETS, KEY, namespace=SYSTEM_NAMESPACE)
    except NotFound:
        return
    raise Invalid(
        "nothing was given up: this cluster's agent runs beside its hub, and is moved by two commands: "
        "isthmus leave --mode push --hub-context NAME, then isthmus join"
    )


async def _count(member: Client, kind: Resource[Manifest], options: ListOptions) -> int:
    try:
        return len((await member.list(kind, options=options)).items)
    except NotFound:
        return 0
