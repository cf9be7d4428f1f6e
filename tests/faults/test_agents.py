"""Agents that fall silent, come in twos, or live by a wrong clock."""

import asyncio
import time

import pytest

from isthmus.testing.waiting import eventually
from tests.faults.disturbances import VERDICTS
from tests.faults.fleet import RealFleet
from tests.faults.matrix import CUT, FROZEN, KILLED, PARTS, Fault, inflicted
from tests.faults.observer import LATEST

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Seconds. A leader is followed by another one 15 s after its last sign, and a few for the next look.
SUCCESSION = 22.0
A_WHILE = 6.0
BY_NAME = {part.name: part for part in PARTS}


@pytest.mark.parametrize(
    ("part", "way"),
    [("agent", KILLED), ("agent", FROZEN), ("agent's road to the hub", CUT)],
    ids=["killed", "frozen", "cut-off"],
)
async def test_a_silent_member_is_judged_in_time_and_its_endpoints_go_until_it_is_back(
    fleet: RealFleet, part: str, way: str
) -> None:
    latest = fleet.pace.silent_after * LATEST
    began = time.monotonic()
    async with inflicted(fleet, Fault(BY_NAME[part], way, latest)):

        async def is_gone() -> bool:
            seen = fleet.observer.sights["west"]
            return "east" in fleet.observer.silent and not any(
                "east" in seen.addresses(service) for service in fleet.ledger.services
            )

        await eventually(is_gone, within=latest + 1, what="east is silent, its endpoints gone from west")
    first = fleet.observer.verdicts[0]
    assert (first.member, first.silent) == ("east", True)
    assert fleet.pace.silent_after - fleet.pace.heartbeat - 0.5 < first.at - began < latest
    await fleet.settled()
    assert [each.member for each in fleet.observer.verdicts if each.silent] == ["east"]


async def test_of_two_agents_one_works_and_the_other_follows_when_it_dies(fleet: RealFleet) -> None:
    east = fleet.members["east"]
    second = fleet.agent("east", east.plane, pod="east-agent-2")
    second.start()
    await asyncio.sleep(A_WHILE)
    with fleet.broken("east"):
        east.agent.kill()
        await fleet.settled(within=SUCCESSION)
    east.agent.start()
    await asyncio.sleep(A_WHILE)
    with fleet.broken("east"):
        # Asked to end, it gives its place back.
        second.stop()
        await fleet.settled()


async def test_clocks_that_are_minutes_off_change_nothing(fleet: RealFleet) -> None:
    east, west = fleet.members["east"], fleet.members["west"]
    units = ((east.agent, 300), (west.agent, -300), (fleet.controller, -180))
    for off in (1, 0):
        with fleet.broken("east", "west", VERDICTS):
            for unit, seconds in units:
                unit.kill()
                unit.launched = (f"--clock={off * seconds}",)
                unit.start()
            await fleet.settled()
        await asyncio.sleep(A_WHILE)
    assert not fleet.observer.verdicts
