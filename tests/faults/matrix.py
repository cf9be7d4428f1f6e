"""Every fault that a part of a set can have: what breaks, how it breaks, and how it is mended."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import cast

from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.core import ENDPOINT_SLICES, LEASES, NAMESPACES, NODES, SERVICES
from isthmus.api.isthmus import EXPORT_GRANTS, EXPORTED_ENDPOINTS, EXPORTED_SERVICES, MEMBERS
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Resource
from isthmus.errors import IsthmusError, Refused
from isthmus.kube.client import Client
from tests.faults.disturbances import HUB, VERDICTS, name_server, road
from tests.faults.fleet import AGENT, DNS, RealFleet
from tests.faults.observer import BOUND, LATEST
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


# Of the grace: so short an outage is no silence, whatever becomes of the heartbeats around it.
BRIEF = 1 / 3


async def _nothing(_: RealFleet, __: float) -> str:
    """It is whole as soon as it is mended."""
    return ""


async def _tells(client: Client, kinds: Sequence[Resource[object]], within: float) -> str:
    """Return once the API server tells of each kind what etcd holds by then: what it said of those told past BOUND.

    It is asked past all roads, by nobody of ours: what is late here is its own. Raises AssertionError where it does
    not recover but refuse.
    """
    began = time.monotonic()
    silent = {kind.plural: "nothing" for kind in kinds}
    late: dict[str, str] = {}
    refused: list[str] = []

    async def told(kind: Resource[object]) -> None:
        nonlocal late
        while True:
            try:
                async with aclosing(client.stream(kind.path(), _ALL_OF_IT)) as chunks:
                    await anext(chunks)
            except Refused as problem:
                refused.append(f"its API server refuses to tell of {kind.plural}: {problem}")
                return
            except IsthmusError as problem:
                silent[kind.plural] = str(problem)
            except StopAsyncIteration:
                silent[kind.plural] = "the end of the watch"
            else:
                said = silent.pop(kind.plural)
                late |= {kind.plural: said} if time.monotonic() - began > BOUND else {}
                return
            await asyncio.sleep(0.2)

    try:
        async with asyncio.timeout(within), asyncio.TaskGroup() as tasks:
            for kind in kinds:
                tasks.create_task(told(kind))
    except TimeoutError:
        raise AssertionError(f"its API server tells nothing of {silent} within {within:.0f} s") from None
    assert not refused, refused
    return "; ".join(f"{kind} late, it said {said}" for kind, said in sorted(late.items()))


@dataclass(frozen=True)
class Part:
    """What may break: `parts` are excused while it does, `ways` say how it is broken and mended.

    What is not ours may need time of its own after so many seconds of that: `whole` returns when it has had it, with
    what was late. `silences`: MEMBER gives no sign of life meanwhile, while the hub listens.
    """

    name: str
    parts: tuple[str, ...]
    ways: Callable[[RealFleet], Mapping[str, Break]]
    whole: Callable[[RealFleet, float], Awaitable[str]] = _nothing
    silences: bool = False


async def _hub_tells(fleet: RealFleet, outage: float) -> str:
    return await _tells(fleet.hub_client, ON_HUB, SPEECHLESS + outage)


async def _member_tells(fleet: RealFleet, outage: float) -> str:
    return await _tells(fleet.members[MEMBER].client, ON_MEMBER, SPEECHLESS + outage)


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
        silences=True,
    ),
    Part(
        "member's etcd",
        (MEMBER,),
        lambda fleet: _of_plane(fleet.members[MEMBER].plane, ETCD),
        _member_tells,
        silences=True,
    ),
    Part(
        "agent",
        (MEMBER,),
        lambda fleet: _of_unit(fleet.members[MEMBER].agent) | _of_road(fleet.members[MEMBER].plane, AGENT),
        silences=True,
    ),
    Part("agent's road to the hub", (road(MEMBER),), lambda fleet: _of_road(fleet.hub, MEMBER), silences=True),
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

    def misjudged(self, silent: Collection[str], silent_after: float) -> tuple[str, ...]:
        """What is wrong with these verdicts: who is gone for long is judged, who is gone for a moment never.

        In between it depends on when the last heartbeat was; that a verdict is not late, the observer says.
        """
        wanted = {MEMBER} if self.part.silences else set()
        long, brief = self.seconds > LATEST * silent_after, self.seconds <= BRIEF * silent_after
        missing, wrong = wanted - set(silent), set(silent) - (set() if brief else wanted)
        return (
            *(f"gone for {self.seconds:g} s and not judged silent: {name}" for name in sorted(missing) if long),
            *(f"judged silent: {name}" for name in sorted(wrong)),
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a fault, in seconds.

    `alone`: what Kubernetes needed for itself once mended, `late` in which kinds where that is past BOUND. `healed`:
    what we needed after that. `silent`: after how much silence members were judged so. `misjudged`: what is wrong
    with that.
    """

    alone: float
    healed: float
    silent: Mapping[str, float]
    late: str
    misjudged: tuple[str, ...]


@asynccontextmanager
async def inflicted(fleet: RealFleet, fault: Fault) -> AsyncIterator[list[str]]:
    """The fault for the length of the block, and until what is not ours is whole again: what was late then."""
    late: list[str] = []
    broken, mended = fault.part.ways(fleet)[fault.way]
    with fleet.broken(*fault.part.parts):
        await asyncio.to_thread(broken)
        try:
            yield late
        finally:
            await asyncio.to_thread(mended)
        late.append(await fault.part.whole(fleet, fault.seconds))


async def suffer(fleet: RealFleet, fault: Fault) -> Outcome:
    """Break, wait, mend. Raises AssertionError where not all is right again within BOUND."""
    seen = len(fleet.observer.verdicts)
    async with inflicted(fleet, fault) as late:
        await asyncio.sleep(fault.seconds)
        mending = time.monotonic()
    alone = time.monotonic() - mending
    healed = await fleet.settled(within=BOUND)
    silent = {each.member: each.after for each in fleet.observer.verdicts[seen:] if each.silent}
    misjudged = fault.misjudged(silent, fleet.pace.silent_after)
    return Outcome(alone, healed, silent, "".join(late), misjudged)
