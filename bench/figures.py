"""Many measurements, a few figures."""

import math
import statistics
from collections.abc import Iterator, Sequence

from bench.result import Result


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def beside_floor(
    what: str, ours: Sequence[float], floor: Sequence[float], goal: float, *, by: str = "raw writes and watches"
) -> Iterator[Result]:
    """Median and 99th percentile of two series of seconds, and the ratio of the medians, which has the goal."""
    for name, seconds in (("Isthmus", ours), (by, floor)):
        for share in (0.5, 0.99):
            yield Result(f"{what}: {name}, p{share * 100:.0f}", percentile(seconds, share) * 1000, "ms")
    yield Result(f"{what}: p50 beside {by}", statistics.median(ours) / statistics.median(floor), "times", goal)
