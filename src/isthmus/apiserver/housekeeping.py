"""What the server does by itself, soon after a change: one queue, one task, one step at a time."""

import asyncio
import logging
from collections.abc import Callable, Hashable

from isthmus.errors import APIError
from isthmus.kit.clock import SYSTEM, Clock

log = logging.getLogger(__name__)

RETRY = 1.0
# Steps between two turns of the event loop, so that callers are answered meanwhile.
BATCH = 20


class Housekeeper:
    """Runs each step once, however often it was asked for meanwhile."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._steps: dict[tuple[Callable[..., None], tuple[Hashable, ...]], None] = {}
        self._wake = asyncio.Event()

    def soon(self, step: Callable[..., None], *about: Hashable) -> None:
        """Ask for `step(*about)`."""
        self._steps[step, about] = None
        self._wake.set()

    async def run(self) -> None:
        """Take the steps, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._steps:
                failed = self._some()
                await asyncio.sleep(0)
                if failed:
                    await self._clock.sleep(RETRY)

    def _some(self) -> bool:
        failed = False
        for _ in range(min(BATCH, len(self._steps))):
            step, about = next(iter(self._steps))
            del self._steps[step, about]
            try:
                step(*about)
            except OSError as error:
                # The disk is full or broken; it may get better.
                log.warning("housekeeping failed", extra={"about": about, "error": str(error)})
                self._steps[step, about] = None
                failed = True
            except APIError as error:
                log.warning("housekeeping refused", extra={"about": about, "error": str(error)})
        return failed
