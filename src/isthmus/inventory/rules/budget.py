"""How often a profile may be written: fewer than one update per 30 s on average, in bursts of ten (INV-21).

KEP-4322, Scalability.
"""

from dataclasses import dataclass
from typing import Final

BURST: Final = 10
# Seconds until another write is allowed; a little more than the 30 that the average must stay under.
EVERY: Final = 31.0
# Writes that are kept back for what cannot wait: that a cluster is lost, is back, or can be reached elsewhere.
RESERVE: Final = 5


@dataclass(frozen=True)
class Budget:
    """What one profile may still spend, as of a moment on a monotonic clock, in seconds."""

    left: float = BURST
    at: float = 0.0

    def wait(self, now: float, writes: int, *, urgent: bool) -> float:
        """Seconds until so many writes are allowed; 0: now."""
        lacking = writes + (0 if urgent else RESERVE) - self._now(now)
        return max(lacking * EVERY, 0.0)

    def spent(self, now: float, writes: int) -> "Budget":
        """After so many writes."""
        return Budget(self._now(now) - writes, now)

    def _now(self, now: float) -> float:
        return min(self.left + (now - self.at) / EVERY, BURST)
