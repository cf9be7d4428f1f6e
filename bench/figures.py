"""Many measurements, a few figures."""

import math
from collections.abc import Iterator, Sequence

from bench.result import Result


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def beside_floor(
    what: str,
    ours: Sequence[float],
    floor: Sequence[float],
    goal: float,
    *,
    by: str = "raw writes and watches",
    share: float = 0.5,
) -> Iterator[Result]:
    """Median and 99th percentile of two series of seconds, and the ratio at `share`, which has the goal."""
    for name, seconds in (("Isthmus", ours), (by, floor)):
        for each in (0.5, 0.99):
            yield Result(f"{what}: {name}, p{each * 100:.0f}", percentile(seconds, each) * 1000, "ms")
    ratio = percentile(ours, share) / percentile(floor, share)
    yield Result(f"{what}: p{share * 100:.0f} beside {by}", ratio, "times", goal)
