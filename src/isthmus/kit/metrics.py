"""What a process tells of itself: counts that its parts keep anyway, gathered when somebody asks for them.

Parts count in plain numbers, which costs them next to nothing; `exposition` makes Prometheus' text of them.
"""

import bisect
import contextlib
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
# Seconds: the upper ends of a histogram's buckets.
BOUNDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0)


@dataclass(frozen=True)
class Metric:
    """One metric: its name by Prometheus' conventions, what it counts, in one sentence, and by what."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


class Durations:
    """How long things took, in seconds: a histogram."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def __add__(self, other: "Durations") -> "Durations":
        both = Durations()
        both.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        both.total = self.total + other.total
        return both

    def buckets(self) -> Iterator[tuple[str, int]]:
        """How many took at most so long, for each end of a bucket."""
        seen = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            seen += count
            yield bound, seen


Labels: TypeAlias = tuple[str, ...]
Value: TypeAlias = float | Durations


@dataclass(frozen=True)
class Sample:
    """What one metric is at now, for the values of its labels."""

    metric: Metric
    value: Value
    labels: Labels = ()


class Metered(Protocol):
    """A part that can say what it counted."""

    def samples(self) -> Iterable[Sample]:
        """All of it, as it is now."""


@dataclass(eq=False)
class Meters:
    """The parts of one process that are asked, each as long as it lives; all that they tell bears `labels`."""

    labels: Mapping[str, str] = field(default_factory=dict)
    parts: "weakref.WeakSet[Metered]" = field(default_factory=weakref.WeakSet)

    def samples(self) -> Iterator[Sample]:
        """What all parts tell."""
        for part in list(self.parts):
            yield from part.samples()

    @contextlib.contextmanager
    def gathering(self) -> Iterator[None]:
        """Take in every part that is made inside the block, and in tasks that are begun there."""
        token = _METERS.set(self)
        try:
            yield
        finally:
            _METERS.reset(token)

    def totals(self) -> dict[Metric, dict[Labels, Value]]:
        """All metrics by name; of parts that count the same thing, the sum."""
        summed: dict[Metric, dict[Labels, Value]] = {}
        for sample in self.samples():
            values = summed.setdefault(sample.metric, {})
            values[sample.labels] = _plus(values.get(sample.labels), sample.value)
        return dict(sorted(summed.items(), key=lambda item: item[0].name))


_METERS: ContextVar[Meters | None] = ContextVar("meters", default=None)


def metered(part: Metered) -> None:
    """Have this part asked, if this process tells of itself."""
    if meters := _METERS.get():
        meters.parts.add(part)


@contextlib.contextmanager
def metered_until_left() -> Iterator[None]:
    """Parts that are made inside the block are asked until it ends, though something may hold them for longer."""
    whole = _METERS.get()
    if whole is None:
        yield
        return
    some = Meters()
    whole.parts.add(some)
    try:
        with some.gathering():
            yield
    finally:
        whole.parts.discard(some)


def _plus(before: Value | None, value: Value) -> Value:
    if isinstance(before, Durations) and isinstance(value, Durations):
        return before + value
    if before is None or isinstance(before, Durations) or isinstance(value, Durations):
        return value
    return before + value
