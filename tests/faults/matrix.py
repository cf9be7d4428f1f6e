"""Every fault that a part of a set can have: what breaks, how it breaks, and how it is mended."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Part:
    """What may break: `parts` are excused while it does, `ways` say how it is broken and mended."""

    name: str
    parts: tuple[str, ...]
    ways: Callable[[RealFleet], Mapping[str, Break]]


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
    Part("hub's API server", (HUB,), lambda fleet: _of_plane(fleet.hub, SERVER)),
    Part("hub's etcd", (HUB,), lambda fleet: _of_plane(fleet.hub, ETCD)),
    Part(
        "hub controller",
        (VERDICTS,),
        lambda fleet: _of_unit(fleet.controller) | _of_road(fleet.hub, HUB),
    ),
    Part("member's API server", (MEMBER,), lambda fleet: _of_plane(fleet.members[MEMBER].plane, SERVER)),
    Part("member's etcd", (MEMBER,), lambda fleet: _of_plane(fleet.members[MEMBER].plane, ETCD)),
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
    """How many seconds after mending all was right, and who was judged silent meanwhile."""

    healed: float
    silent: tuple[str, ...]


@asynccontextmanager
async def inflicted(fleet: RealFleet, fault: Fault) -> AsyncIterator[None]:
    """The fault for the length of the block."""
    broken, mended = fault.part.ways(fleet)[fault.way]
    with fleet.broken(*fault.part.parts):
        await asyncio.to_thread(broken)
        try:
            yield
        finally:
            await asyncio.to_thread(mended)


async def suffer(fleet: RealFleet, fault: Fault) -> Outcome:
    """Break, wait, mend. Raises AssertionError where not all is right again within BOUND."""
    seen = len(fleet.observer.verdicts)
    async with inflicted(fleet, fault):
        await asyncio.sleep(fault.seconds)
    healed = await fleet.settled(within=BOUND)
    silent = tuple(each.member for each in fleet.observer.verdicts[seen:] if each.silent)
    return Outcome(healed, silent)
