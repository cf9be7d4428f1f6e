"""How a member does, in one word and one sentence."""

from datetime import UTC, datetime

import pytest

from isthmus.api.isthmus import Health, Member, MemberSpec, MemberStatus, Probe
from isthmus.inventory.rules.standing import standing

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
LOST = Probe(answered=False, at=MOMENT, problem="https://east:6443: no connection")


def member(health: Health, status: MemberStatus | None) -> Member:
    return Member(spec=MemberSpec(id="east", set="prod", health=health), status=status)


@pytest.mark.parametrize(
    ("one", "state", "why"),
    [
        pytest.param(member(Health(), None), "Joining", "its agent has not reported yet", id="not yet"),
        pytest.param(member(Health(), MemberStatus(agent_version="1")), "Healthy", "", id="well"),
        pytest.param(
            member(Health("Silent", MOMENT, "no heartbeat since then"), MemberStatus(agent_version="1", probe=LOST)),
            "Silent",
            "no heartbeat since then",
            id="silence first: all else is old",
        ),
        pytest.param(
            member(Health(), MemberStatus(agent_version="1", probe=LOST)),
            "Unanswered",
            (
                "its heartbeat comes, but its published address does not answer its own agent: "
                "https://east:6443: no connection"
            ),
            id="alive, but nobody can reach it",
        ),
        pytest.param(
            member(Health(), MemberStatus(agent_version="1", clock_difference=-120)),
            "Healthy",
            "its clock is 120 seconds behind the hub's",
            id="a clock two minutes off",
        ),
    ],
)
def test_standings(one: Member, state: str, why: str) -> None:
    found = standing(one)
    assert (found.state, found.why) == (state, why)
