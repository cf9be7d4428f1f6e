"""Who is silent: the hub's verdicts on members, judged once for all.

Design, part 3, rule 1; catalogue MCS-76 to MCS-78. All times are seconds of the hub's own monotonic clock: a
member's clock is never read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from isthmus.api.isthmus import HEALTHY, SILENT


@dataclass(frozen=True)
class Grace:
    """How long, in seconds, and how many.

    A member is silent after `silent_after`. When more than `share` of the set and at least `least` fall silent within
    `burst`, verdicts wait for `hold`. Members that are lost together reach `silent_after` up to a heartbeat apart: once
    one has, all who were quiet for `doubt` count, which is two missed heartbeats of three. A hub that did not judge for
    `gap` was away itself.
    """

    silent_after: float = 30.0
    burst: float = 30.0
    hold: float = 300.0
    share: float = 1 / 3
    least: int = 3
    gap: float = 15.0

    @property
    def doubt(self) -> float:
        """Silence that no healthy member keeps."""
        return self.silent_after * 2 / 3


USUAL = Grace()


@dataclass(frozen=True)
class _Heard:
    """What was last seen in a member's Lease, when that was new, and whether it followed something older."""

    mark: str
    at: float
    renewed: bool


@dataclass(frozen=True)
class Vigil:
    """What the hub remembers between judgements; begin with `Vigil.begin`."""

    judged_at: float
    heard_by: Mapping[str, _Heard] = field(default_factory=dict)
    held_until: float = 0.0

    @classmethod
    def begin(cls, now: float) -> "Vigil":
        """At the hub's start: everyone has a full grace."""
        return cls(judged_at=now)

    def heard(self, cluster: str, mark: str, now: float) -> "Vigil":
        """After a look at a member's Lease; only a changed mark is a heartbeat, the first may be of any age."""
        before = self.heard_by.get(cluster)
        if before and before.mark == mark:
            return self
        entry = _Heard(mark, now, renewed=bool(before and before.mark))
        return replace(self, heard_by={**self.heard_by, cluster: entry})

    def resumed(self, now: float) -> "Vigil":
        """After an outage of the hub or its API server: a full grace for everyone, and old news is no news."""
        heard = {cluster: replace(each, at=now, renewed=False) for cluster, each in self.heard_by.items()}
        return replace(self, judged_at=now, heard_by=heard)


@dataclass(frozen=True)
class Transition:
    """A verdict that differs from the one on record."""

    cluster: str
    state: str
    reason: str


@dataclass(frozen=True)
class Judgement:
    """What to write, what to remember, what is held back and why, and when to judge again at the latest."""

    transitions: tuple[Transition, ...]
    vigil: Vigil
    held: str
    judge_at: float


def judge(vigil: Vigil, states: Mapping[str, str], now: float, grace: Grace = USUAL) -> Judgement:
    """The members whose state on record is wrong; `states` are those of all Members by id."""
    if now - vigil.judged_at > grace.gap:
        vigil = vigil.resumed(now)
    met = {cluster: vigil.heard_by.get(cluster) or _Heard("", now, renewed=False) for cluster in states}
    vigil = replace(vigil, heard_by=met, judged_at=now)
    fallen = {cluster for cluster in states if now - met[cluster].at > grace.silent_after}
    recent = {cluster for cluster in states if grace.doubt < now - met[cluster].at <= grace.silent_after + grace.burst}
    if (
        fallen & recent
        and now >= vigil.held_until
        and len(recent) >= grace.least
        and len(recent) > grace.share * len(states)
    ):
        waiting = any(states[cluster] != SILENT for cluster in recent)
        vigil = replace(vigil, held_until=now + grace.hold if waiting else vigil.held_until)
    newly = sorted(cluster for cluster in fallen if states[cluster] != SILENT)
    back = sorted(
        cluster for cluster in states if states[cluster] == SILENT and cluster not in fallen and met[cluster].renewed
    )
    holding = now < vigil.held_until
    transitions = [Transition(cluster, HEALTHY, "its heartbeat is back") for cluster in back]
    if not holding:
        text = f"no heartbeat for {grace.silent_after:g} seconds"
        transitions += [Transition(cluster, SILENT, text) for cluster in newly]
    return Judgement(
        tuple(transitions),
        vigil,
        _held(newly, len(states), vigil.held_until - now) if holding and newly else "",
        _judge_at(vigil, states, now, grace),
    )


def _held(newly: list[str], total: int, seconds: float) -> str:
    return (
        f"{len(newly)} of {total} members fell silent together: the fault may be the hub's, so no verdict on them "
        f"for {seconds:.0f} more seconds"
    )


def _judge_at(vigil: Vigil, states: Mapping[str, str], now: float, grace: Grace) -> float:
    moments = [now + grace.gap / 2]
    moments += [
        vigil.heard_by[cluster].at + grace.silent_after
        for cluster in states
        if states[cluster] != SILENT and vigil.heard_by[cluster].at + grace.silent_after > now
    ]
    if vigil.held_until > now:
        moments.append(vigil.held_until)
    return min(moments)
