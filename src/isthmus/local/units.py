"""Processes that are kept running: started, started again with back-off when they end, ended in order."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from isthmus.errors import Unreachable
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.local.control import UnitStatus
from isthmus.local.forkserver import Forked, Program

log = logging.getLogger(__name__)

# A process that ran this long, in seconds, was well: its next end is a new trouble.
SETTLED = 10.0
END_LIMIT = 10.0
LARGEST_LOG = 10 * 1024 * 1024
# Starts a program whose output goes to a descriptor.
Starter = Callable[[Program, int], Forked]


@dataclass(frozen=True)
class Unit:
    """One process of a cluster: what to run, and where its output goes."""

    name: str
    cluster: str
    program: Program
    log: Path


class Keeper:
    """Keeps one unit running until it is told to end it."""

    def __init__(self, unit: Unit, start: Starter, *, jitter: Callable[[], float], clock: Clock = SYSTEM) -> None:
        self.unit = unit
        self._start = start
        self.restarts = 0
        self._clock = clock
        self._backoff = Backoff(base=0.1, cap=5.0, jitter=jitter)
        self._process: Forked | None = None
        self._ending = False
        self._task: asyncio.Task[None] | None = None

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start the process as a child of `tasks`."""
        self._task = tasks.create_task(self._run(), name=f"keep {self.unit.name}")

    @property
    def status(self) -> UnitStatus:
        """What the process does now."""
        process = self._process
        running = process is not None and process.returncode is None
        return UnitStatus(
            name=self.unit.name,
            cluster=self.unit.cluster,
            state="running" if running else "restarting",
            pid=process.pid if process and running else 0,
            restarts=self.restarts,
        )

    async def end(self) -> None:
        """End the process: SIGTERM, and after a while SIGKILL."""
        self._ending = True
        process = self._process
        if process and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_LIMIT):
                    await process.wait()
            process.send_signal(signal.SIGKILL)
            await process.wait()
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._ending:
            started = self._clock.monotonic()
            code = await self._once()
            if self._ending:
                return
            if self._clock.monotonic() - started > SETTLED:
                self._backoff.reset()
            self.restarts += 1
            pause = self._backoff.next()
            log.warning(
                "process ended, starting it again",
                extra={"unit": self.unit.name, "code": code, "pause": round(pause, 2)},
            )
            await self._clock.sleep(pause)

    async def _once(self) -> int:
        unit = self.unit
        unit.log.parent.mkdir(parents=True, exist_ok=True)
        if unit.log.exists() and unit.log.stat().st_size > LARGEST_LOG:
            unit.log.replace(unit.log.with_suffix(".old"))
        with unit.log.open("ab") as output:
            try:
                self._process = self._start(unit.program, output.fileno())
            except Unreachable as error:
                log.warning("process not started", extra={"unit": unit.name, "error": str(error)})
                return 1
        return await self._process.wait()


async def wait_until(ready: Callable[[], Awaitable[bool]], *, what: str, limit: float, clock: Clock = SYSTEM) -> None:
    """Return once `ready` says so; raises Unreachable naming `what` after `limit` seconds."""
    end = clock.monotonic() + limit
    while not await ready():
        if clock.monotonic() > end:
            raise Unreachable(f"{what} was not ready after {limit:.0f} s")
        await clock.sleep(0.05)
