"""How a member does, in one word and one sentence, from all that is on record of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from isthmus.api.core import Lease
from isthmus.api.isthmus import SILENT, Health, Member, MemberStatus
from isthmus.kit.moments import in_utc

JOINING: Final = "Joining"
UNANSWERED: Final = "Unanswered"
HEALTHY: Final = "Healthy"
STATES: Final = (HEALTHY, SILENT, UNANSWERED, JOINING)
# Seconds of clock difference from which tokens and certificates are judged wrongly: Kubernetes' own leeway is ten.
WRONG_CLOCK: Final = 10
# Seconds by which a heartbeat may be late: what is compared are dates of two clocks.
_LATE: Final = 5


@dataclass(frozen=True)
class Standing:
    """`state` is Healthy, Silent, Unanswered or Joining; `why` is empty where there is nothing to say."""

    state: str
    since: datetime | None
    why: str


def standing(member: Member) -> Standing:
    """Silence first: whatever else is on record is then as old as the silence."""
    health = member.spec.health if member.spec is not None else Health()
    joined = member.spec.joined_at if member.spec is not None else None
    status = member.status or MemberStatus()
    if health.state == SILENT:
        return Standing(SILENT, health.since, health.reason or "no heartbeat")
    if not status.agent_version:
        return Standing(JOINING, joined, "its agent has not reported yet")
    if status.probe is not None and not status.probe.answered:
        why = f"its heartbeat comes, but its published address does not answer its own agent: {status.probe.problem}"
        return Standing(UNANSWERED, hub_time(status.probe.at, status.clock_difference), why)
    return Standing(HEALTHY, health.since or joined, clock_problem(status.clock_difference))


def hub_time(moment: str | datetime | None, difference: int | None) -> datetime | None:
    """A moment that a member tells, by the hub's clock; `difference` is the seconds by which the member's is ahead.

    None where there is none, or none that has a place in UTC.
    """
    told = in_utc(moment)
    try:
        return told - timedelta(seconds=difference or 0) if told is not None else None
    except OverflowError:
        return None


def unjudged(
    found: Standing, lease: Lease | None, seen: datetime | None, held_until: datetime | None, *, now: datetime
) -> str:
    """Why a member is said to be healthy whose heartbeat does not come any more; empty for all others.

    `seen` is when it was heard last, `held_until` until when the hub holds back its verdicts, by the hub's clock.
    """
    if found.state != HEALTHY or lease is None or seen is None:
        return ""
    # What its agent says of itself: three heartbeats.
    if now - seen <= timedelta(seconds=min(lease.spec.lease_duration_seconds or 0, 3600) + _LATE):
        return ""
    silence = f"no heartbeat since {seen:%Y-%m-%dT%H:%M:%SZ}"
    if held_until is None or held_until <= now:
        return f"{silence}, on which the hub has given no verdict yet"
    return (
        f"{silence}: many members fell silent at once, so the fault may be the hub's, and it holds its verdicts back "
        f"until {held_until:%Y-%m-%dT%H:%M:%SZ}"
    )


def clock_problem(difference: int | None) -> str:
    """What is wrong with a member's clock; empty within ten seconds, or while nothing is known."""
    if difference is None or abs(difference) <= WRONG_CLOCK:
        return ""
    return f"its clock is {abs(difference)} seconds {'ahead of' if difference > 0 else 'behind'} the hub's"
