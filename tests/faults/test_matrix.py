"""Each part of a set killed, frozen and cut off once, under load: nothing is lost, and all is right soon after."""

import pytest

from tests.faults.fleet import RealFleet
from tests.faults.matrix import CUT, FROZEN, KILLED, PARTS, REFUSED, Fault, suffer

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Seconds. The first is short of a verdict, the second is not.
SHORT, LONG = 3.0, 12.0
WAYS = {
    "hub's API server": (KILLED, FROZEN, CUT),
    "hub's etcd": (KILLED, FROZEN, CUT),
    "hub controller": (KILLED, FROZEN, CUT),
    "member's API server": (KILLED, FROZEN, CUT),
    "member's etcd": (KILLED, FROZEN, CUT),
    "agent": (KILLED, FROZEN, CUT),
    "agent's road to the hub": (CUT, REFUSED),
    "name server": (KILLED, FROZEN, CUT),
}
FAULTS = [
    Fault(part, way, LONG if part.name == "hub's API server" and way == FROZEN else SHORT)
    for part in PARTS
    for way in WAYS[part.name]
]


@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name.replace(" ", "-")) for fault in FAULTS])
async def test_nothing_is_lost_and_all_is_right_soon_after(fleet: RealFleet, fault: Fault) -> None:
    outcome = await suffer(fleet, fault)
    assert not outcome.misjudged
    assert not outcome.silent
