"""More than a third of a set of three silent at once: rather the hub's fault than theirs, so it holds back."""

import pytest

from isthmus.testing.waiting import eventually, throughout
from tests.faults.fleet import RealFleet

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_when_all_of_three_fall_silent_together_verdicts_wait(fleet: RealFleet) -> None:
    # The last test of this folder by name: the third member stays.
    await fleet.join("north")
    pace, agents = fleet.pace, [member.agent for member in fleet.members.values()]
    with fleet.broken(*fleet.members):
        for agent in agents:
            agent.freeze()

        async def none_judged() -> bool:
            return not fleet.observer.silent

        async def all_judged() -> bool:
            return len(fleet.observer.silent) == len(agents)

        try:
            held = pace.silent_after + pace.brake - pace.heartbeat - 0.5
            await throughout(none_judged, seconds=held, what="nobody is judged while the hub holds back")
            # Had the hub itself not heard for a moment, everyone would have a grace and the hub its doubts once more.
            again = 2 * pace.silent_after + pace.brake
            await eventually(all_judged, within=again, what="all are judged when it does no longer")
        finally:
            for agent in agents:
                agent.freeze(frozen=False)
        await fleet.settled()
