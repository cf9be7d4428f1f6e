"""How long to wait before the next try, so that many who fail together do not try together."""

import random
from collections.abc import Callable


class Backoff:
    """Exponential back-off with full jitter.

    The n-th delay is drawn evenly from nothing to `base * 2**n` seconds, at most `cap`. Full jitter rather
    than decorrelated: it spreads a crowd widest, and one delay does not depend on luck with the last.
    """

    def __init__(
        self,
        base: float = 0.05,
        cap: float = 5.0,
        jitter: Callable[[], float] = random.random,  # nothing secret hangs on it
    ) -> None:
        self._base = base
        self._cap = cap
        self._jitter = jitter
        self._limit = base

    def next(self) -> float:
        """Seconds to wait before the next try."""
        limit = min(self._limit, self._cap)
        self._limit = min(limit * 2, self._cap)
        return limit * self._jitter()

    def reset(self) -> None:
        """It worked: the next delay is a short one again."""
        self._limit = self._base
