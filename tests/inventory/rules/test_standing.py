"""How a member does, in one word and one sentence."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from isthmus.api.core import Lease, LeaseSpec
from isthmus.api.isthmus import Health, Member, MemberSpec, MemberStatus, Probe
from isthmus.inventory.rules.standing import Standing, hub_time, standing, unjudged

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


def test_who_was_never_silent_is_healthy_since_it_joined() -> None:
    one = Member(spec=MemberSpec(id="east", set="prod", joined_at=MOMENT), status=MemberStatus(agent_version="1"))
    assert standing(one).since == MOMENT


SINCE = "no heartbeat since 2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("state", "after", "held_for", "why"),
    [
        pytest.param("Healthy", 34, None, "", id="its heartbeat may be late"),
        pytest.param("Healthy", 36, None, f"{SINCE}, on which the hub has given no verdict yet", id="not judged yet"),
        pytest.param("Healthy", 36, 60, f"{SINCE}: many members .* until 2026-01-01T00:01:00Z", id="held back"),
        pytest.param("Healthy", 90, 60, f"{SINCE}, on which the hub has given no verdict yet", id="no longer"),
        pytest.param("Silent", 90, 300, "", id="judged"),
    ],
)
def test_who_is_called_healthy_for_want_of_a_verdict(state: str, after: int, held_for: int | None, why: str) -> None:
    lease = Lease(spec=LeaseSpec(lease_duration_seconds=30))
    held_until = MOMENT + timedelta(seconds=held_for) if held_for else None
    now = MOMENT + timedelta(seconds=after)
    assert re.fullmatch(why, unjudged(Standing(state, None, ""), lease, MOMENT, held_until, now=now))
    assert unjudged(Standing(state, None, ""), None, None, held_until, now=now) == ""


@pytest.mark.parametrize(
    ("told", "difference", "moment"),
    [
        pytest.param("2026-01-01T00:02:00.000000Z", 120, MOMENT, id="as text, by a clock that is ahead"),
        pytest.param(MOMENT - timedelta(minutes=2), -120, MOMENT, id="by one that is behind"),
        pytest.param(MOMENT, None, MOMENT, id="as well as can be known"),
        pytest.param("some day", 0, None, id="no moment"),
        pytest.param(datetime.min.replace(tzinfo=UTC), 1, None, id="before all time"),
        pytest.param(None, 0, None, id="never"),
    ],
)
def test_what_a_member_dates_by_the_hubs_clock(
    told: str | datetime | None, difference: int | None, moment: datetime | None
) -> None:
    assert hub_time(told, difference) == moment


def test_an_address_is_dead_since_a_moment_by_the_hubs_clock() -> None:
    late = MemberStatus(agent_version="1", probe=LOST, clock_difference=-30)
    assert standing(member(Health(), late)).since == MOMENT + timedelta(seconds=30)
