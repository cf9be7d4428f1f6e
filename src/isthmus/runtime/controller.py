"""Workers that take requests from a queue and have them reconciled, whatever fails on the way."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from isthmus.errors import APIError, Conflict, IsthmusError, Throttled, Unreachable
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kit.metrics import COUNTER, GAUGE, HISTOGRAM, Durations, Metric, Sample, metered
from isthmus.kit.workqueue import WorkQueue
from isthmus.runtime.reconcile import After, Done, Reconcile, Request
from isthmus.runtime.source import Following, Source

log = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds.
_UNREACHABLE = 1.0

RECONCILES: Final = Metric(
    "isthmus_reconciles_total", COUNTER, "Keys looked at, by how that ended: done or failed.", ("controller", "outcome")
)
DURATIONS: Final = Metric("isthmus_reconcile_seconds", HISTOGRAM, "How long looking at one key took.", ("controller",))
WAITING: Final = Metric("isthmus_queue_depth", GAUGE, "Keys that wait for a worker.", ("controller",))
OVERDUE: Final = Metric(
    "isthmus_overdue_seconds", GAUGE, "For how long the key that fails longest has not gone well.", ("controller",)
)


class Controller:
    """One entry per key, the latest wins; errors mean back-off per key and a log line.

    With `batch`, a request waits that many seconds for others of its key: many changes, one reconcile.
    """

    def __init__(
        self, name: str, reconcile: Reconcile, *, workers: int = 4, batch: float = 0.0, clock: Clock = SYSTEM
    ) -> None:
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self._batch = batch
        self._clock = clock
        self._queue: WorkQueue[Request] = WorkQueue(clock=clock)
        self._awaited: list[Following] = []
        self.reconciled = 0
        self.failed = 0
        self._durations = Durations()
        # Since when keys fail, the longest first: those that go well are not here.
        self._failing: dict[Request, float] = {}
        metered(self)

    def samples(self) -> Iterator[Sample]:
        """What was done, and what waits."""
        yield Sample(RECONCILES, self.reconciled, (self.name, "done"))
        yield Sample(RECONCILES, self.failed, (self.name, "failed"))
        yield Sample(DURATIONS, self._durations, (self.name,))
        yield Sample(WAITING, len(self._queue), (self.name,))
        since = next(iter(self._failing.values()), None)
        yield Sample(OVERDUE, 0.0 if since is None else self._clock.monotonic() - since, (self.name,))

    def watch(self, source: Source[T]) -> None:
        """Reconcile whatever `source` says is touched, now and from now on."""
        if source.required:
            self._awaited.append(source.informer)
        source.feed(self.add)

    def add(self, request: Request) -> None:
        """Have one key looked at."""
        if self._batch:
            self._queue.add_after(request, self._batch)
        else:
            self._queue.add(request)

    def drop(self, doomed: Callable[[Request], bool]) -> None:
        """Forget the requests of which `doomed` is true: their cluster has left."""
        self._queue.drop(doomed)
        self._failing = {request: since for request, since in self._failing.items() if not doomed(request)}

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting to be done at once."""
        return self._queue.idle

    async def run(self) -> None:
        """Work until cancelled, once the sources have been listed."""
        for informer in self._awaited:
            await informer.wait_synced()
        log.info("controller started", extra={"controller": self.name})
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._workers):
                tasks.create_task(self._work(), name=f"{self.name} worker {number}")

    async def _work(self) -> None:
        while True:
            request = await self._queue.get()
            began = self._clock.monotonic()
            try:
                self._settle(request, await self._reconcile(request))
            except IsthmusError as error:
                self._retry(request, error)
            except Exception:
                # A bug met one key: the others must not suffer for it.
                log.exception("reconcile broke", extra=self._facts(request))
                self._note_failed(request)
                self._queue.add_limited(request)
            finally:
                self._durations.observe(self._clock.monotonic() - began)
                self._queue.done(request)

    def _settle(self, request: Request, outcome: Done | After) -> None:
        self.reconciled += 1
        self._failing.pop(request, None)
        self._queue.forget(request)
        if isinstance(outcome, After):
            self._queue.add_after(request, outcome.seconds)

    def _note_failed(self, request: Request) -> None:
        self.failed += 1
        self._failing.setdefault(request, self._clock.monotonic())

    def _retry(self, request: Request, error: IsthmusError) -> None:
        self._note_failed(request)
        # Conflicts are the ordinary way to learn of a newer version; an unreachable server is
        # reported once, by the informers that lost it.
        quiet = isinstance(error, Conflict | Unreachable)
        level = logging.DEBUG if quiet else logging.WARNING
        facts = self._facts(request) | {"error": str(error)}
        if isinstance(error, APIError):
            facts["code"] = error.code
        log.log(level, "reconcile failed, will be tried again", extra=facts)
        if isinstance(error, Throttled) and error.retry_after is not None:
            self._queue.add_after(request, error.retry_after)
        elif isinstance(error, Unreachable):
            # The client backs off for all keys of a server together; a key of its own would come late.
            self._queue.add_after(request, _UNREACHABLE)
        else:
            self._queue.add_limited(request)

    def _facts(self, request: Request) -> dict[str, object]:
        return {
            "controller": self.name,
            "cluster": request.cluster,
            "object": f"{request.namespace}/{request.name}",
        }
