"""Who is silent: the hub's verdicts on members, judged once for all.

Design, part 3, rule 1; catalogue MCS-76 to MCS-78. All times are seconds of the hub's own monotonic clock: a
member's clock is never read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from isthmus.api.isthmus import HEALTHY, MEMBERS_NAMESPACE, SILENT


@dataclass(frozen=True)
class Grace:
    """How long, in seconds, and how many.

    A member is silent after `silent_after`. When more than `share` of the set and at least `least` fall silent within
    as much again, verdicts wait for `hold`. Members that are lost together reach `silent_after` up to a heartbeat
    apart: once one has, all who were quiet for `doubt` count, which is two missed heartbeats of three. A hub that did
    not judge for `gap` was away itself. Who fell silent `flaps` times within `memory` must be steady to be healthy.
    """

    silent_after: float = 30.0
    hold: float = 300.0
    share: float = 1 / 3
    least: int = 3
    gap: float = 15.0
    flaps: int = 3
    memory: float = 600.0

    @property
    def doubt(self) -> float:
        """Silence that no healthy member keeps."""
        return self.silent_after * 2 / 3

    def settle(self, falls: int) -> float:
        """Seconds without a gap that a member owes after so many silences: a grace, doubled each time, ten at most."""
        return self.silent_after * min(2.0 ** (falls - self.flaps), 10.0) if falls >= self.flaps else 0.0


USUAL = Grace()


@dataclass(frozen=True)
class _Heard:
    """What was last seen in a member's Lease, when that was new, and whether it followed something older.

    Then its latest silences, since when it is back from the last one (None while it is silent), and whether it was
    said that it has to be steady first.
    """

    mark: str
    at: float
    renewed: bool
    falls: tuple[float, ...] = ()
    back: float | None = 0.0
    told: bool = False

    def beat(self, mark: str, now: float) -> "_Heard":
        """After another heartbeat."""
        return replace(self, mark=mark, at=now, renewed=bool(self.mark), back=now if self.back is None else self.back)

    def fell(self, now: float, memory: float, *, counts: bool) -> "_Heard":
        """After a silence, which counts once, if at all."""
        if self.back is None:
            return self
        falls = tuple(fall for fall in self.falls if now - fall <= memory)
        return replace(self, falls=(*falls, now) if counts else falls, back=None, told=False)


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
        entry = before.beat(mark, now) if before else _Heard(mark, now, renewed=False, back=now)
        return replace(self, heard_by={**self.heard_by, cluster: entry})

    def resumed(self, now: float) -> "Vigil":
        """After an outage of the hub or its API server: a full grace for everyone, and old news is no news."""
        heard = {cluster: replace(each, at=now, renewed=False) for cluster, each in self.heard_by.items()}
        return replace(self, judged_at=now, heard_by=heard)


@dataclass(frozen=True)
class Transition:
    """A verdict that differs from what is on record; `{}` in `reason` is a moment, `ago` seconds back."""

    cluster: str
    state: str
    reason: str
    ago: float = 0.0

    def told(self, now: datetime) -> str:
        """The reason with its moment, by the hub's wall clock."""
        return self.reason.format((now - timedelta(seconds=self.ago)).strftime("%Y-%m-%dT%H:%M:%SZ"))


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
    fallen = {cluster for cluster in states if now - met[cluster].at > grace.silent_after}
    vigil = replace(vigil, heard_by=met, judged_at=now)
    recent = {cluster for cluster in states if grace.doubt < now - met[cluster].at <= 2 * grace.silent_after}
    if (
        fallen & recent
        and now >= vigil.held_until
        and len(recent) >= grace.least
        and len(recent) > grace.share * len(states)
    ):
        waiting = any(states[cluster] != SILENT for cluster in recent)
        vigil = replace(vigil, held_until=now + grace.hold if waiting else vigil.held_until)
    holding = now < vigil.held_until
    # Those who fall together while the hub doubts itself have not flapped.
    met |= {cluster: met[cluster].fell(now, grace.memory, counts=not holding) for cluster in fallen}
    newly = sorted(cluster for cluster in fallen if states[cluster] != SILENT)
    returned = sorted(
        cluster for cluster in states if states[cluster] == SILENT and cluster not in fallen and met[cluster].renewed
    )
    unsteady = [cluster for cluster in returned if not _is_steady(met[cluster], grace)]
    transitions = [_back(cluster, met[cluster], now) for cluster in returned if cluster not in unsteady]
    transitions += [_flapping(cluster, met[cluster], now, grace) for cluster in unsteady if not met[cluster].told]
    vigil = replace(vigil, heard_by=met | {cluster: replace(met[cluster], told=True) for cluster in unsteady})
    if not holding:
        transitions += [_silent(cluster, met[cluster], now) for cluster in newly]
    return Judgement(
        tuple(transitions),
        vigil,
        _held(newly, len(states), vigil.held_until - now) if holding and newly else "",
        _judge_at(vigil, states, now, grace),
    )


def _silent(cluster: str, heard: _Heard, now: float) -> Transition:
    lease = f"Lease {MEMBERS_NAMESPACE}/{cluster}"
    tried = f"{lease} was watched all the time and did not change" if heard.mark else f"there is no {lease}"
    return Transition(cluster, SILENT, f"no heartbeat since {{}} by the hub's clock: {tried}", now - heard.at)


def _back(cluster: str, heard: _Heard, now: float) -> Transition:
    return Transition(cluster, HEALTHY, "its heartbeat is back since {}", now - (heard.back or now))


def _flapping(cluster: str, heard: _Heard, now: float, grace: Grace) -> Transition:
    falls = len(heard.falls)
    reason = (
        f"its heartbeat is back since {{}}, but it fell silent {falls} times within {grace.memory:g} seconds: "
        f"Healthy once it has come without a gap for {grace.settle(falls):g} seconds"
    )
    return Transition(cluster, SILENT, reason, now - (heard.back or now))


def _is_steady(heard: _Heard, grace: Grace) -> bool:
    """Whether heartbeats of a member that is back have come for long enough."""
    return heard.at - (heard.back or 0.0) >= grace.settle(len(heard.falls))


def _held(newly: list[str], total: int, seconds: float) -> str:
    return (
        f"{len(newly)} of {total} members fell silent together: the fault may be the hub's, so no verdict on them "
        f"for {seconds:.0f} more seconds"
    )


def _judge_at(vigil: Vigil, states: Mapping[str, str], now: float, grace: Grace) -> float:
    moments = [now + min(grace.gap, grace.silent_after) / 2]
    moments += [
        vigil.heard_by[cluster].at + grace.silent_after
        for cluster in states
        if states[cluster] != SILENT and vigil.heard_by[cluster].at + grace.silent_after > now
    ]
    if vigil.held_until > now:
        moments.append(vigil.held_until)
    return min(moments)
