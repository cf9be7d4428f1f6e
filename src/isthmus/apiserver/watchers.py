"""What happened lately: a window of changes that watchers read at their own pace.

A watcher keeps only the version it has seen. One that falls behind the window is told so (410) and lists
again; nothing queues up for it.
"""

import asyncio
import bisect
from typing import Generic, TypeVar

from isthmus.apiserver.status import expired

E = TypeVar("E")


class Window(Generic[E]):
    """The last `size` changes of one collection, by revision."""

    def __init__(self, size: int, revision: int) -> None:
        self._size = size
        self._revisions: list[int] = []
        self._changes: list[E] = []
        self._waiting: set[asyncio.Future[None]] = set()
        self.horizon = revision
        self.closed = False
        self.interruptions = 0

    def restart(self, revision: int) -> None:
        """Forget everything up to `revision`."""
        self._revisions, self._changes, self.horizon = [], [], revision

    def add(self, revision: int, change: E) -> None:
        """Append a change and wake who waits."""
        self._revisions.append(revision)
        self._changes.append(change)
        # Twice the size before half is dropped, so that dropping costs nothing on average.
        if len(self._changes) >= 2 * self._size:
            self.horizon = self._revisions[-self._size - 1]
            del self._revisions[: -self._size], self._changes[: -self._size]
        self._wake()

    def since(self, revision: int) -> list[E]:
        """All changes after `revision`. Raises Gone when some of them have been forgotten."""
        if revision < self.horizon:
            raise expired(f"too old resource version: {revision} ({self.horizon})")
        return self._changes[bisect.bisect_right(self._revisions, revision) :]

    async def wait(self, seconds: float) -> None:
        """Return at the next change, when the window closes, or after `seconds`."""
        if self.closed:
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(woken)
        try:
            async with asyncio.timeout(seconds):
                await woken
        except TimeoutError:
            return
        finally:
            self._waiting.discard(woken)

    def interrupt(self) -> None:
        """End the watches of now; those that begin later go on from what they have seen."""
        self.interruptions += 1
        self._wake()

    def close(self) -> None:
        """Let every watch end."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)
        self._waiting.clear()
