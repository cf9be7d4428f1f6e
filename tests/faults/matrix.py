"""Every fault that a part of a set can have: what breaks, how it breaks, and how it is mended."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import cast

from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.core import ENDPOINT_SLICES, LEASES, NAMESPACES, NODES, SERVICES
from isthmus.api.isthmus import EXPORT_GRANTS, EXPORTED_ENDPOINTS, EXPORTED_SERVICES, MEMBERS
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Resource
from isthmus.errors import IsthmusError
from isthmus.kube.client import Client
from tests.faults.disturbances import HUB, VERDICTS, name_server, road
from tests.faults.fleet import AGENT, DNS, RealFleet
from tests.faults.observer import BOUND
from tests.faults.plane import ETCD, SERVER, Plane
from tests.faults.processes import Unit
from tests.faults.relay import Relay

KILLED, FROZEN, CUT, REFUSED = "killed", "frozen", "cut off", "refused"
MEMBER = "east"
# How to break it, and how to mend it.
Break = tuple[Callable[[], object], Callable[[], object]]
ON_HUB = cast("tuple[Resource[object], ...]", (MEMBERS, EXPORTED_SERVICES, EXPORTED_ENDPOINTS, EXPORT_GRANTS, LEASES))
ON_MEMBER = cast(
    "tuple[Resource[object], ...]",
    (NAMESPACES, NODES, SERVICES, ENDPOINT_SLICES, SERVICE_EXPORTS, SERVICE_IMPORTS, CLUSTER_PROPERTIES, LEASES),
)
# Seconds. After a long outage of etcd an API server's own watches wait up to so long before they try again
# (client-go, tools/cache/reflector.go: 30 s, doubled by jitter); what it tells until then is old. Before that its
# connection to etcd waits, at most as long as the outage took (gRPC's connection back-off grows by 1.6, to 120 s).
SPEECHLESS = 75.0
# A streaming list begins when the server's own memory has caught up with etcd.
_ALL_OF_IT = (
    ("watch", "true"),
    ("sendInitialEvents", "true"),
    ("resourceVersionMatch", "NotOlderThan"),
    ("allowWatchBookmarks", "true"),
)


async def _nothing(_: RealFleet, __: float) -> None:
    """It is whole as soon as it is mended."""


async def _tells(client: Client, kinds: Sequence[Resource[object]], within: float) -> None:
    """Return once the API server tells of each kind what etcd holds by then. Raises AssertionError."""
    silent = {kind.plural for kind in kinds}

    async def told(kind: Resource[object]) -> None:
        while True:
            try:
                async with aclosing(client.stream(kind.path(), _ALL_OF_IT)) as chunks:
                    await anext(chunks)
                    silent.remove(kind.plural)
                    return
            except (IsthmusError, StopAsyncIteration):
                await asyncio.sleep(0.2)

    try:
        async with asyncio.timeout(within), asyncio.TaskGroup() as tasks:
            for kind in kinds:
                tasks.create_task(told(kind))
    except TimeoutError:
        raise AssertionError(f"its API server tells nothing of {sorted(silent)} within {within:.0f} s") from None


@dataclass(frozen=True)
class Part:
    """What may break: `parts` are excused while it does, `ways` say how it is broken and mended.

    What is not ours may need time of its own after so many seconds of that: `whole` returns when it has had it.
    """

    name: str
    parts: tuple[str, ...]
    ways: Callable[[RealFleet], Mapping[str, Break]]
    whole: Callable[[RealFleet, float], Awaitable[None]] = _nothing


async def _hub_tells(fleet: RealFleet, outage: float) -> None:
    await _tells(fleet.hub_client, ON_HUB, SPEECHLESS + outage)


async def _member_tells(fleet: RealFleet, outage: float) -> None:
    await _tells(fleet.members[MEMBER].client, ON_MEMBER, SPEECHLESS + outage)


def _of_plane(plane: Plane, part: str) -> dict[str, Break]:
    return {
        KILLED: (lambda: plane.kill(part), lambda: plane.restart(part)),
        FROZEN: (lambda: plane.freeze(part), lambda: plane.freeze(part, frozen=False)),
        CUT: (lambda: plane.cut(part, Relay.swallow), lambda: plane.cut(part, Relay.heal)),
        REFUSED: (lambda: plane.cut(part, Relay.refuse), lambda: plane.cut(part, Relay.heal)),
    }


def _of_unit(unit: Unit) -> dict[str, Break]:
    return {KILLED: (unit.kill, unit.start), FROZEN: (unit.freeze, lambda: unit.freeze(frozen=False))}


def _of_road(plane: Plane, caller: str) -> dict[str, Break]:
    return {
        CUT: (lambda: plane.cut_road(caller, Relay.swallow), lambda: plane.cut_road(caller, Relay.heal)),
        REFUSED: (lambda: plane.cut_road(caller, Relay.refuse), lambda: plane.cut_road(caller, Relay.heal)),
    }


PARTS: Sequence[Part] = (
    Part("hub's API server", (HUB,), lambda fleet: _of_plane(fleet.hub, SERVER), _hub_tells),
    Part("hub's etcd", (HUB,), lambda fleet: _of_plane(fleet.hub, ETCD), _hub_tells),
    Part(
        "hub controller",
        (VERDICTS,),
        lambda fleet: _of_unit(fleet.controller) | _of_road(fleet.hub, HUB),
    ),
    Part(
        "member's API server",
        (MEMBER,),
        lambda fleet: _of_plane(fleet.members[MEMBER].plane, SERVER),
        _member_tells,
    ),
    Part("member's etcd", (MEMBER,), lambda fleet: _of_plane(fleet.members[MEMBER].plane, ETCD), _member_tells),
    Part(
        "agent",
        (MEMBER,),
        lambda fleet: _of_unit(fleet.members[MEMBER].agent) | _of_road(fleet.members[MEMBER].plane, AGENT),
    ),
    Part("agent's road to the hub", (road(MEMBER),), lambda fleet: _of_road(fleet.hub, MEMBER)),
    Part(
        "name server",
        (name_server(MEMBER),),
        lambda fleet: _of_unit(fleet.members[MEMBER].dns) | _of_road(fleet.members[MEMBER].plane, DNS),
    ),
)


@dataclass(frozen=True)
class Fault:
    """One part, broken in one way for some seconds."""

    part: Part
    way: str
    seconds: float

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.part.name} {self.way}"


@dataclass(frozen=True)
class Outcome:
    """What came of a fault.

    How many seconds Kubernetes needed for itself once mended, and we after that; who was judged silent meanwhile.
    """

    alone: float
    healed: float
    silent: tuple[str, ...]


@asynccontextmanager
async def inflicted(fleet: RealFleet, fault: Fault) -> AsyncIterator[None]:
    """The fault for the length of the block, and until what is not ours is whole again."""
    broken, mended = fault.part.ways(fleet)[fault.way]
    with fleet.broken(*fault.part.parts):
        await asyncio.to_thread(broken)
        try:
            yield
        finally:
            await asyncio.to_thread(mended)
        await fault.part.whole(fleet, fault.seconds)


async def suffer(fleet: RealFleet, fault: Fault) -> Outcome:
    """Break, wait, mend. Raises AssertionError where not all is right again within BOUND."""
    seen = len(fleet.observer.verdicts)
    async with inflicted(fleet, fault):
        await asyncio.sleep(fault.seconds)
        mending = time.monotonic()
    alone = time.monotonic() - mending
    healed = await fleet.settled(within=BOUND)
    silent = tuple(each.member for each in fleet.observer.verdicts[seen:] if each.silent)
    return Outcome(alone, healed, silent)
