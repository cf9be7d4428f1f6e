"""A queue of keys, not of events: what is asked for twice is done once, and never by two workers at a time."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys wait here until a worker takes them; keys asked for while they are worked on come again after."""

    def __init__(self, *, clock: Clock = SYSTEM, backoff: Callable[[], Backoff] | None = None) -> None:
        self._clock = clock
        self._backoff = backoff or Backoff
        self._ready: dict[K, None] = {}  # a set that keeps its order
        self._busy: set[K] = set()
        self._again: set[K] = set()
        self._due: dict[K, float] = {}
        self._alarms: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._failures: dict[K, Backoff] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Keys that are ready and not yet taken."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing is ready and nothing is being worked on; delayed keys do not count."""
        return not self._ready and not self._busy

    def add(self, key: K) -> None:
        """Have `key` worked on as soon as a worker is free."""
        if key in self._busy:
            self._again.add(key)
            return
        self._ready[key] = None
        self._changed.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Have `key` worked on in `seconds`, or earlier if something else asks; the earliest moment counts."""
        due = self._clock.monotonic() + seconds
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._alarms, (due, next(self._order), key))
            self._changed.set()

    def add_limited(self, key: K) -> None:
        """Have `key` worked on later: the more often in a row it came this way, the later."""
        if key not in self._failures:
            self._failures[key] = self._backoff()
        self.add_after(key, self._failures[key].next())

    def forget(self, key: K) -> None:
        """`key` went well: its next failure waits briefly again."""
        self._failures.pop(key, None)

    def drop(self, doomed: Callable[[K], bool]) -> None:
        """Take out all keys of which `doomed` is true; those being worked on do not come again."""
        for key in [key for key in self._ready if doomed(key)]:
            del self._ready[key]
        for key in [key for key in self._due if doomed(key)]:
            del self._due[key]
        for key in [key for key in self._failures if doomed(key)]:
            del self._failures[key]
        self._again = {key for key in self._again if not doomed(key)}

    async def get(self) -> K:
        """The next key; it is the caller's alone until `done`."""
        while True:
            self._release_due()
            if self._ready:
                return self._take()
            await self._wait_changed()

    def done(self, key: K) -> None:
        """Give `key` back; if it was asked for meanwhile, it is ready at once."""
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _take(self) -> K:
        key = next(iter(self._ready))
        del self._ready[key]
        self._busy.add(key)
        # What is worked on now decides anew when it wants to be seen again.
        self._due.pop(key, None)
        return key

    def _release_due(self) -> None:
        now = self._clock.monotonic()
        while self._alarms and (self._alarms[0][0] <= now or self._is_stale(self._alarms[0])):
            alarm = heapq.heappop(self._alarms)
            if not self._is_stale(alarm):
                del self._due[alarm[2]]
                self.add(alarm[2])

    def _is_stale(self, alarm: tuple[float, int, K]) -> bool:
        return self._due.get(alarm[2]) != alarm[0]

    async def _wait_changed(self) -> None:
        self._changed.clear()
        if not self._alarms:
            await self._changed.wait()
            return
        async with asyncio.TaskGroup() as tasks:
            alarm = tasks.create_task(self._ring_at(self._alarms[0][0]), name="workqueue alarm")
            await self._changed.wait()
            alarm.cancel()

    async def _ring_at(self, due: float) -> None:
        await self._clock.sleep(due - self._clock.monotonic())
        self._changed.set()
