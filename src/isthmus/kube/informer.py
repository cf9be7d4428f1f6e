"""A store kept true to one kind in one cluster: list, watch, and what to do when either breaks off."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from isthmus import errors
from isthmus.api.scheme import Resource
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kit.metrics import COUNTER, GAUGE, Metric, Sample, metered
from isthmus.kube.client import Client, Listed
from isthmus.kube.codec import Key, key_of, version_of
from isthmus.kube.request import ListOptions, WatchOptions
from isthmus.kube.store import Change, Held, Store
from isthmus.kube.watch import DELETED, Batch, Bookmark, Event, UndecodableEvent

__all__ = ["Change", "Informer", "Selection", "Store"]

log = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds. A watch that held this long was a success: the next failure is the first again.
HELD: Final = 10.0
BACKOFF_BASE: Final = 0.1
BACKOFF_CAP: Final = 5.0

_BY: Final = ("server", "kind")
OBJECTS: Final = Metric("isthmus_store_objects", GAUGE, "Objects held of what is watched.", _BY)
UNREADABLE: Final = Metric("isthmus_store_undecodable", GAUGE, "Objects set aside because they do not decode.", _BY)
LISTS: Final = Metric("isthmus_lists_total", COUNTER, "Complete lists read.", _BY)
WATCHES: Final = Metric("isthmus_watch_restarts_total", COUNTER, "Watches begun again after they ended.", _BY)
FAILING: Final = Metric("isthmus_watch_failing", GAUGE, "Watches that the server does not grant now.", _BY)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of the kind: a label selector and a field selector."""

    labels: str = ""
    fields: str = ""


ALL: Final = Selection()


@dataclass(frozen=True, slots=True)
class Pinned:
    """Few objects that must be right, by a selection and by the index key under which the store has them."""

    selection: Selection
    index: str
    key: str


class Informer(Generic[T]):
    """Follows one kind of one cluster, in one namespace or all.

    `last_heard` is when the last byte came, `listed_at` when the last complete list was in, both on the
    clock's monotonic scale; `fresh_lists` counts these lists, `begun` all attempts to list or watch.
    `failing_since` is None while the server answers, else since when it does not, and `problem` says what it is
    that fails; `is_unknown` is set while the server does not know the kind. `relist_when_unknown` is for kinds
    that may be taken away and defined anew, objects and all, with nobody telling; others only miss a server that
    has not come up yet. What is `pinned` is held too where the selection does not have it: listed with it, and looked
    at before each watch, since a server restored from a backup may have caught up with our version before we ask,
    and then nothing else in its answers tells. Only the selection is watched.
    A server that has nothing to tell sends a bookmark about once a minute.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        *,
        namespace: str = "",
        options: Selection = ALL,
        indexes: Mapping[str, Callable[[T], Iterable[str]]] = {},
        clock: Clock = SYSTEM,
    ) -> None:
        self.store: Store[T] = Store(indexes, packed=resource.type if resource.many else None)
        self.synced = False
        self.fresh_lists = 0
        self.begun = 0
        self._gone_back: list[Callable[[], None]] = []
        self.last_heard = self.listed_at = clock.monotonic()
        self.failing_since: float | None = None
        self.problem = ""
        self.is_unknown = False
        self.relist_when_unknown = False
        self.pinned: Pinned | None = None
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._selection = options
        self._clock = clock
        self._backoff = Backoff(BACKOFF_BASE, BACKOFF_CAP)
        self._handlers: list[Callable[[Change[T]], None]] = []
        self._list_handlers: list[Callable[[], None]] = []
        self._first_list = asyncio.Event()
        self._version = ""
        self._relist_wanted = False
        self._watching: asyncio.Timeout | None = None
        metered(self)

    def samples(self) -> Iterator[Sample]:
        """What it holds, and how often it had to begin again."""
        by = (self._client.server, self._resource.kind)
        yield Sample(OBJECTS, len(self.store), by)
        yield Sample(UNREADABLE, len(self.store.undecodable), by)
        yield Sample(LISTS, self.fresh_lists, by)
        yield Sample(WATCHES, max(self.begun - 1, 0), by)
        yield Sample(FAILING, int(self.failing_since is not None), by)

    def subscribe(self, handler: Callable[[Change[T]], None]) -> None:
        """Have `handler` called, from the informer's task, after each change of the store."""
        self._handlers.append(handler)

    def when_listed(self, handler: Callable[[], None]) -> None:
        """Have `handler` called after each complete list, also of what is pinned, when its changes have been told."""
        self._list_handlers.append(handler)

    async def wait_synced(self) -> None:
        """Return once the store holds a complete list."""
        await self._first_list.wait()

    def relist(self) -> None:
        """Ask for a complete list that begins after now. Often asked, it comes with growing delays.

        Until then the watch goes on: what is deleted meanwhile is seen to be deleted.
        """
        self._relist_wanted = True
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.reschedule(asyncio.get_running_loop().time() + self._backoff.next())

    def when_gone_back(self, handler: Callable[[], None]) -> None:
        """Call `handler` when the server turns out to have forgotten, before anything it says is listed again."""
        self._gone_back.append(handler)

    def select(self, selection: Selection) -> None:
        """Follow another selection from now on; what it leaves out goes with the list that this asks for."""
        if selection != self._selection:
            self._selection = selection
            self.relist()

    async def run(self) -> None:
        """Keep the store true until cancelled, whatever the server does."""
        while True:
            began = self._clock.monotonic()
            self.begun += 1
            is_due = False
            try:
                is_due = await self._follow()
            except errors.Gone as problem:
                log.info("watch too old, listing again", extra=self._facts(problem))
                self._version = ""
            except errors.IsthmusError as problem:
                self.is_unknown = isinstance(problem, errors.NotFound)
                self._relist_wanted |= self.is_unknown and self.relist_when_unknown
                self._failed(problem)
            if self._clock.monotonic() - began > HELD:
                self._backoff.reset()
            if not is_due:
                await self._clock.sleep(self._backoff.next())

    async def _follow(self) -> bool:
        """One list, where needed, and one watch, to its end; whether that was for a list which is due now."""
        if self._relist_wanted:
            # A list that breaks off leaves nothing to go on from: the next try is a list too.
            self._relist_wanted, self._version = False, ""
        if not self._version:
            return await self._list()
        options = _listing(self._selection)
        if not await self._client.reaches(self._resource, self._version, namespace=self._namespace, options=options):
            # It was restored from a backup, or forgot: what we have is of a future that it will not see.
            log.warning("server has gone back in time, listing again", extra=self._facts())
            for handler in self._gone_back:
                handler()
        elif await self._is_right():
            self._heard()
            return await self._watch()
        self._version = ""
        return await self._list()

    async def _list(self) -> bool:
        """A list in pages, of one moment, then a watch from there.

        Not a streaming list (KEP-3157): 10,000 slices take an API server twice as long that way.
        """
        listed = await self._gather(self._selection)
        if self.pinned is not None:
            few = await self._gather(self.pinned.selection)
            # What both have counts as of the moment from which the watch goes on.
            items, undecodable = (*few.items, *listed.items), few.undecodable | listed.undecodable
            listed = Listed(items, listed.resource_version, undecodable)
        self._complete(listed)
        return await self._watch()

    async def _gather(self, selection: Selection) -> Listed[Held]:
        options = _listing(selection)
        return await self._client.gather(self._resource, self.store.held, namespace=self._namespace, options=options)

    async def _is_right(self) -> bool:
        """Whether what is pinned is there as we have it; what became of it since we last heard is taken in."""
        if self.pinned is None:
            return True
        options = _listing(self.pinned.selection)
        listed = await self._client.list(self._resource, namespace=self._namespace, options=options)
        held = {key_of(item): item for item in self.store.by(self.pinned.index, self.pinned.key)}
        there = {key_of(item): item for item in listed.items}
        changed = [item for key, item in there.items() if held.get(key) != item]
        is_missing = bool(held.keys() - there.keys() - listed.undecodable.keys())
        if is_missing or not all(_is_newer(version_of(item), self._version) for item in changed):
            log.info("what is pinned is not as it was, listing again", extra=self._facts())
            return False
        for change in filter(None, map(self.store.put, changed)):
            self._tell(change)
        for handler in self._list_handlers:
            handler()
        return True

    async def _watch(self) -> bool:
        """Take in what a watch from our version on tells, until it ends, or the list is due that `relist` asked for."""
        if self._relist_wanted:
            return False
        options = WatchOptions(self._selection.labels, self._selection.fields, self._version)
        watch = self._client.batches(self._resource, namespace=self._namespace, options=options)
        async with aclosing(watch) as batches:
            try:
                async with asyncio.timeout(None) as self._watching:
                    await self._take_all(batches)
            except TimeoutError:
                # Only `relist` sets a limit.
                return self._relist_wanted
        return False

    async def _take_all(self, batches: AsyncGenerator[Batch[T], None]) -> None:
        try:
            async for batch in batches:
                self._heard()
                self._take(batch)
        finally:
            self._watching = None

    def _take(self, batch: Batch[T]) -> None:
        for event in batch:
            change = self._changed_by(event)
            self.store.resource_version = self._version = _version(event) or self._version
            if change is not None:
                self._tell(change)

    def _changed_by(self, event: Event[T]) -> Change[T] | None:
        if isinstance(event, Bookmark):
            return None
        if isinstance(event, UndecodableEvent):
            if event.type == DELETED:
                return self.store.remove(event.key)
            self._set_aside(event.key, event.reason)
            self.store.undecodable[event.key] = event.reason
            return None
        if event.type == DELETED:
            return self.store.remove(key_of(event.object)) or Change(event.object, None)
        return self.store.put(event.object)

    def _complete(self, listed: Listed[Held]) -> None:
        self._heard()
        for key, reason in listed.undecodable.items():
            self._set_aside(key, reason)
        changes = self.store.replace(listed.items, listed.undecodable)
        self.store.resource_version = self._version = listed.resource_version
        self.fresh_lists += 1
        self.listed_at = self._clock.monotonic()
        self.synced = True
        self._first_list.set()
        for change in changes:
            self._tell(change)
        for handler in self._list_handlers:
            handler()

    def _tell(self, change: Change[T]) -> None:
        for handler in self._handlers:
            handler(change)

    def _set_aside(self, key: Key, reason: str) -> None:
        if self.store.undecodable.get(key) != reason:
            log.warning("object set aside", extra=self._facts() | {"object": "/".join(key), "reason": reason})

    def _heard(self) -> None:
        self.last_heard = self._clock.monotonic()
        if self.failing_since is not None:
            log.info("server answers again", extra=self._facts())
            self.failing_since = None
            self.problem = ""
            self.is_unknown = False

    def _failed(self, problem: errors.IsthmusError) -> None:
        if self.failing_since is None:
            self.failing_since = self._clock.monotonic()
        level = logging.DEBUG if str(problem) == self.problem else logging.WARNING
        self.problem = str(problem)
        log.log(level, "not following", extra=self._facts(problem))

    def _facts(self, problem: errors.IsthmusError | None = None) -> dict[str, str]:
        facts = {"server": self._client.server, "kind": self._resource.kind, "namespace": self._namespace}
        return facts | ({"problem": str(problem)} if problem else {})


def _listing(selection: Selection) -> ListOptions:
    return ListOptions(selection.labels, selection.fields)


def _is_newer(version: str, than: str) -> bool:
    # As numbers, as Kubernetes allows for objects of one kind (KEP-5504).
    return version.isdecimal() and than.isdecimal() and int(version) > int(than)


def _version(event: Event[T]) -> str:
    if isinstance(event, Bookmark | UndecodableEvent):
        return event.resource_version
    return version_of(event.object)
