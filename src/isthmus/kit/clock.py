"""Time as an argument: a clock that code below the apps is handed, and one that tests turn by hand."""

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What code may know of time."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed on this clock."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""
        return time.monotonic()

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed."""
        await asyncio.sleep(seconds)


SYSTEM: Clock = SystemClock()


class FakeClock:
    """A clock that stands still until `advance` is called."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._passed

    def now(self) -> datetime:
        """The start, plus what was advanced."""
        return self._start + timedelta(seconds=self._passed)

    async def sleep(self, seconds: float) -> None:
        """Return once `advance` has gone past this moment plus `seconds`."""
        if seconds <= 0:
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._passed + seconds, next(self._order), wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking sleepers in the order of their moments."""
        end = self._passed + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self._passed, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)
            await _settle()
        self._passed = end
        await _settle()


async def _settle() -> None:
    # Woken tasks often take a few turns of the loop before they sleep again.
    for _ in range(10):
        await asyncio.sleep(0)
