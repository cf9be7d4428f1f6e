"""Takes an installation off a cluster: only what bears our mark, and what carries traffic last.

Design, part 3, rule 9.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CRDS, ENDPOINT_SLICES, LEASES, MANAGED_BY_LABEL, NAMESPACES, PODS, SERVICES
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL, MEMBERS, SET_LABEL, SYSTEM_NAMESPACE
from isthmus.api.mcs import SERVICE_IMPORTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Conflict, Invalid, NotFound, Refused, Unreachable
from isthmus.install.joining import sets_of
from isthmus.install.kinds import IN_ORDER, PRIORITY_CLASSES, whole
from isthmus.install.member import DNS_SERVICE
from isthmus.install.rights import Right
from isthmus.install.workloads import HUB, INSTALLATION_LABEL, MEMBER, NAME_LABEL, SHARED
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, DeleteOptions, ListOptions
from isthmus.runtime.together import together

Say = Callable[[str], None]

_OURS: Final = f"{MARKER_LABEL}={MANAGED_BY}"
# What the agent made, in the order in which it goes: names first, addresses last.
_IMPORTED: Final = (
    (whole(SERVICE_IMPORTS), _OURS),
    (whole(ENDPOINT_SLICES), f"{MANAGED_BY_LABEL}={MANAGED_BY}"),
    (whole(SERVICES), _OURS),
    (whole(CLUSTER_PROPERTIES), _OURS),
)
# What it takes to uninstall a member; with its definitions, these rights too.
TO_UNINSTALL: Final[tuple[Right, ...]] = (
    *(
        (verb, kind.group, kind.plural, "")
        for kind in (*(each for each in IN_ORDER if each not in {CRDS, whole(MEMBERS)}), *(one for one, _ in _IMPORTED))
        for verb in ("list", "delete")
    ),
    *((verb, LEASES.group, LEASES.plural, SYSTEM_NAMESPACE) for verb in ("list", "delete")),
    ("list", PODS.group, PODS.plural, SYSTEM_NAMESPACE),
)
TO_UNDEFINE: Final[tuple[Right, ...]] = tuple((verb, CRDS.group, CRDS.plural, "") for verb in ("list", "delete"))
_AGENT: Final = "isthmus-agent"
_HUB: Final = "isthmus-hub"
# Seconds.
_ENDS_WITHIN: Final = 60.0
_UNBOUND_WITHIN: Final = 30.0
_LOOK: Final = 0.5
_SIDE_BY_SIDE: Final = 16


async def uninstall_set(client: Client, cluster_set: str, *, say: Say, clock: Clock = SYSTEM) -> int:
    """Delete what a hub has for one of its several sets, tokens too; how many objects that were.

    Raises Invalid, with nothing deleted, where there is no such set, or where it has members.
    """
    sets = await sets_of(client)
    if cluster_set not in sets:
        raise Invalid(f"this cluster is hub of no set {cluster_set}; its sets: {', '.join(sets) or 'none'}")
    members = sorted(each.metadata.name for each in (await client.list(MEMBERS, namespace=cluster_set)).items)
    if members:
        raise Invalid(
            f"set {cluster_set} has members, nothing was deleted: {', '.join(members)}. On each of them: "
            f"isthmus leave; for one that is gone for good, here: isthmus remove {members[0]}"
        )
    # The hub's cluster may be a member, of whichever set.
    of_set = f"{_OURS},{SET_LABEL}={cluster_set},{INSTALLATION_LABEL}!={MEMBER}"
    name = f"{_HUB}-{cluster_set}"
    await _end(client, name, f"{NAME_LABEL}={_HUB},{SET_LABEL}={cluster_set}", say, clock)
    count = 1
    for kind in reversed(IN_ORDER):
        count += await _clear(client, kind, of_set, clock, ())
    await _give_up_leases(client, name)
    await _wait_gone(client, whole(NAMESPACES), of_set, say, clock)
    say(f"set {cluster_set} is gone; its hub goes on for {', '.join(each for each in sets if each != cluster_set)}")
    return count


async def uninstall(
    client: Client, part: str, *, crds: bool, say: Say, keep: Collection[str] = (), clock: Clock = SYSTEM
) -> int:
    """Delete one installation, HUB or MEMBER; how many objects that were.

    Definitions go only with `crds`, and only ours: with them goes every object of their kinds, users' too.
    ClusterProperties named in `keep` stay.
    """
    ours = f"{INSTALLATION_LABEL}={part}"

    async def clear(kind: Resource[Manifest], selector: str) -> int:
        return await _clear(client, kind, selector, clock, keep if kind.kind == CLUSTER_PROPERTIES.kind else ())

    if part == MEMBER:
        await _end(client, _AGENT, f"{NAME_LABEL}={_AGENT}", say, clock)
    # What answers for a member goes on until its imports are gone.
    later = {NAMESPACES.kind, CRDS.kind, *([SERVICES.kind, DEPLOYMENTS.kind] if part == MEMBER else [])}
    count = 0
    for kind in reversed(IN_ORDER):
        if kind.kind not in later:
            count += await clear(kind, ours)
    say(f"{count} roles, policies and accounts are gone")
    for kind, selector in _IMPORTED if part == MEMBER else ():
        found = await clear(kind, selector)
        say(f"{found} {kind.plural} are gone")
        count += found
    for kind in (whole(DEPLOYMENTS), whole(SERVICES)):
        count += await clear(kind, ours)
    if part == MEMBER:
        # Kubernetes looks again at a namespace with pods in it only after half of their grace period.
        await _have_ended(client, DNS_SERVICE, f"{NAME_LABEL}={DNS_SERVICE}", say, clock)
    await _give_up_leases(client, _AGENT if part == MEMBER else f"{_HUB}-")
    last: list[tuple[Resource[Manifest], str]] = [(whole(NAMESPACES), f"{ours},{_OURS}")]
    if crds:
        last.insert(0, (CRDS, f"{ours},{_OURS}"))
    other = HUB if part == MEMBER else MEMBER
    if not await _list(client, whole(DEPLOYMENTS), f"{INSTALLATION_LABEL}={other}"):
        last += [(kind, f"{INSTALLATION_LABEL}={SHARED},{_OURS}") for kind in (PRIORITY_CLASSES, whole(NAMESPACES))]
    for kind, selector in last:
        count += await clear(kind, selector)
    for kind, selector in last:
        await _wait_gone(client, kind, selector, say, clock)
    return count


async def _give_up_leases(client: Client, name: str) -> None:
    """What its processes were elected by, and what begins so if it ends in a dash: the namespace may stay."""
    for lease in (await client.list(LEASES, namespace=SYSTEM_NAMESPACE)).items:
        if lease.metadata.name == name or (name.endswith("-") and lease.metadata.name.startswith(name)):
            with suppress(NotFound):
                await client.delete(LEASES, lease.metadata.name, namespace=SYSTEM_NAMESPACE)


async def _wait_gone(client: Client, kind: Resource[Manifest], selector: str, say: Say, clock: Clock) -> None:
    """Return once what was deleted is gone with all that is in it: before, it cannot be installed again."""
    end = clock.monotonic() + _ENDS_WITHIN
    said = False
    while left := [item["metadata"]["name"] for item in await _list(client, kind, selector)]:
        if clock.monotonic() > end:
            raise Unreachable(
                f"{kind.plural} {', '.join(left)} are still being deleted after {_ENDS_WITHIN:.0f} s. "
                f"Type: kubectl get {kind.plural} {' '.join(left)} -o yaml, whose status says what they wait for"
            )
        if not said:
            say(f"waiting for {kind.plural} {', '.join(left)} to be gone")
            said = True
        await clock.sleep(_LOOK)


async def _end(client: Client, deployment: str, pods: str, say: Say, clock: Clock) -> None:
    """What it would make again cannot be taken away before."""
    with suppress(NotFound):
        await client.delete(
            DEPLOYMENTS, deployment, namespace=SYSTEM_NAMESPACE, options=DeleteOptions(propagation="Foreground")
        )
    if not await _have_ended(client, deployment, pods, say, clock):
        raise Unreachable(
            f"pods of {deployment} do not end. Type: kubectl -n {SYSTEM_NAMESPACE} get pods, then this again"
        )


async def _have_ended(client: Client, deployment: str, pods: str, say: Say, clock: Clock) -> bool:
    end = clock.monotonic() + _ENDS_WITHIN
    options = ListOptions(labels=pods)
    said = False
    while (await client.list(PODS, namespace=SYSTEM_NAMESPACE, options=options)).items:
        if clock.monotonic() > end:
            return False
        if not said:
            say(f"waiting for pods of {deployment} to end")
            said = True
        await clock.sleep(_LOOK)
    return True


async def _list(client: Client, kind: Resource[Manifest], selector: str) -> tuple[Manifest, ...]:
    try:
        return (await client.list(kind, options=ListOptions(labels=selector))).items
    except NotFound:
        # The server has no such kind.
        return ()


async def _clear(client: Client, kind: Resource[Manifest], selector: str, clock: Clock, keep: Collection[str]) -> int:
    found = [each for each in await _list(client, kind, selector) if each["metadata"]["name"] not in keep]
    end = clock.monotonic() + _UNBOUND_WITHIN
    places = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def delete(metadata: Manifest) -> None:
        options = DeleteOptions(uid=metadata["uid"])
        while True:
            try:
                async with places:
                    await client.delete(
                        kind, metadata["name"], namespace=metadata.get("namespace", ""), options=options
                    )
            except (NotFound, Conflict):
                return
            except Refused as refused:
                # Servers heed a policy for a moment after it is gone; 422: one that has not found its parameter's kind.
                if refused.code not in {403, 422} or clock.monotonic() > end:
                    raise
                await clock.sleep(_LOOK)
            else:
                return

    await together(*(delete(item["metadata"]) for item in found))
    return len(found)
