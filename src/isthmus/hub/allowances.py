"""Holds members to what an admin allows each, in exports and bytes: a full one makes no more, surplus is taken out.

Admission cannot count. So the count is made here, and who is full is marked on its account, where a policy sees it;
what a member stored before that had effect is deleted, the newest first. An honest agent takes the policy's word for
it, and says it on the export.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import msgspec
from msgspec.structs import force_setattr

from isthmus.api.core import SERVICE_ACCOUNTS
from isthmus.api.isthmus import EXPORTED_ENDPOINTS, EXPORTED_SERVICES, FULL_LABELS, MEMBERS_NAMESPACE, Member
from isthmus.api.meta import Object, ObjectMeta
from isthmus.api.scheme import Resource
from isthmus.errors import NotFound
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, DeleteOptions, ListOptions, WriteOptions
from isthmus.kube.informer import Change, Informer
from isthmus.mcs.rules.allowance import allowed, allowed_bytes, allowed_chunks, surplus
from isthmus.runtime.controller import Controller
from isthmus.runtime.reconcile import Done, Request
from isthmus.runtime.source import Source
from isthmus.runtime.together import together

log = logging.getLogger(__name__)

T = TypeVar("T")

# Labels of a field manager of their own: joining writes the rest of the account.
MANAGER: Final = "isthmus-hub-allowances"
FULL: Final = "full"
# Seconds for which new exports are gathered into one look.
_BATCH: Final = 0.05
_SIDE_BY_SIDE: Final = 16
_OWNER: Final = "owner"
_NOTHING: Final = msgspec.Raw()


class _Metadata(ObjectMeta):
    """With what many field managers can make long."""

    managed_fields: msgspec.Raw = _NOTHING


class Sized(Object):
    """An object of which only the metadata and the length are kept."""

    metadata: _Metadata = _Metadata()
    spec: msgspec.Raw = _NOTHING
    size: int = 0

    def __post_init__(self) -> None:
        """Measure what is not kept; a copy has nothing left to measure."""
        if not len(self.spec):
            return
        notes = sum(len(key) + len(value) for key, value in self.metadata.annotations.items())
        force_setattr(self, "size", len(self.spec) + len(self.metadata.managed_fields) + notes)
        force_setattr(self, "spec", _NOTHING)
        force_setattr(self.metadata, "managed_fields", _NOTHING)


@dataclass
class _Feed:
    """The exports, or the chunks, of a set: only what they are called, since when they are there, and how large."""

    informer: Informer[Sized]
    kind: Resource[Sized]
    label: str
    counts: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)

    def counted(self, change: Change[Sized]) -> str:
        """Whose count or size has changed; empty if none has."""
        item = change.after or change.before
        more = (change.after is not None) - (change.before is not None)
        larger = _size(change.after) - _size(change.before)
        if item is None or not (more or larger):
            return ""
        owner = _owner(item)
        self.counts[owner] += more
        self.sizes[owner] += larger
        return owner


class Allowances:
    """Watches what the members of one set have stored."""

    def __init__(self, client: Client, cluster_set: str, members: Informer[Member], *, clock: Clock) -> None:
        self._client = client
        self._set = cluster_set
        self._members = members
        self._feeds = tuple(
            _Feed(_stored(client, kind, cluster_set, clock), kind, FULL_LABELS[kind.plural])
            for kind in (_sized(EXPORTED_SERVICES), _sized(EXPORTED_ENDPOINTS))
        )
        self._marked: dict[str, frozenset[str]] | None = None

    @property
    def informers(self) -> tuple[Informer[Sized], ...]:
        """What has to run with it."""
        return tuple(feed.informer for feed in self._feeds)

    def watch(self, controller: Controller) -> None:
        """What members store, and what they are allowed."""
        controller.watch(Source(self._members, self._changed))
        for feed in self._feeds:
            controller.watch(Source(feed.informer, partial(self._counted, feed)))

    async def reconcile(self, request: Request) -> Done:
        """Hold one member to what it is allowed."""
        member = self._members.store.get(request.name, self._set)
        if member is None:
            return Done()
        full = frozenset(feed.label for feed in self._feeds if self._is_full(feed, request.name, member))
        # First the door, then what came in by it.
        await self._mark(request.name, full)
        if too_much := self._surplus(request.name, member):
            await self._clear(request.name, too_much)
        return Done()

    def _is_full(self, feed: _Feed, name: str, member: Member | None) -> bool:
        return feed.counts[name] >= _most(feed, member) or self._bytes(name) >= allowed_bytes(member)

    def _bytes(self, name: str) -> int:
        return sum(feed.sizes[name] for feed in self._feeds)

    def _surplus(self, name: str, member: Member) -> dict[str, tuple[_Feed, Sized]]:
        """What is too much, by name: first by number, which makes it smaller too; what that leaves, by size."""
        for feed in self._feeds:
            if feed.counts[name] > (most := _most(feed, member)):
                return _beyond(most, (feed,), name, lambda _: 1)
        if self._bytes(name) > (most := allowed_bytes(member)):
            return _beyond(most, self._feeds, name, _size)
        return {}

    async def _mark(self, name: str, full: frozenset[str]) -> None:
        if self._marked is None:
            self._marked = await self._found()
        if self._marked.get(name, frozenset()) == full:
            return
        labels = dict.fromkeys(sorted(full), FULL)
        manifest = {"metadata": {"name": name, "namespace": MEMBERS_NAMESPACE, "labels": labels}}
        options = WriteOptions(manager=MANAGER, force=True)
        await self._client.apply(SERVICE_ACCOUNTS, manifest, namespace=MEMBERS_NAMESPACE, options=options)
        self._marked[name] = full
        log.info("what a member may store", extra={"member": name, "set": self._set, "full": sorted(full)})

    async def _found(self) -> dict[str, frozenset[str]]:
        """Whom a former process has marked."""
        found: dict[str, frozenset[str]] = {}
        for feed in self._feeds:
            options = ListOptions(labels=f"{feed.label}={FULL}")
            listed = await self._client.list(SERVICE_ACCOUNTS, namespace=MEMBERS_NAMESPACE, options=options)
            for account in listed.items:
                name = account["metadata"]["name"]
                found[name] = found.get(name, frozenset()) | {feed.label}
        return found

    async def _clear(self, name: str, found: Mapping[str, tuple[_Feed, Sized]]) -> None:
        places = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def delete(feed: _Feed, item: Sized) -> None:
            options = DeleteOptions(uid=item.metadata.uid)
            async with places:
                with suppress(NotFound):
                    await self._client.delete(feed.kind, item.metadata.name, namespace=self._set, options=options)

        await together(*(delete(feed, item) for feed, item in found.values()))
        log.warning("member stored more than it may", extra={"member": name, "set": self._set, "deleted": len(found)})

    def _counted(self, feed: _Feed, change: Change[Sized]) -> Iterator[Request]:
        owner = feed.counted(change)
        if not owner:
            return
        is_marked = bool((self._marked or {}).get(owner))
        if is_marked or self._is_full(feed, owner, self._members.store.get(owner, self._set)):
            yield self._request(owner)

    def _changed(self, change: Change[Member]) -> Iterator[Request]:
        if change.after is None:
            if change.before is not None and self._marked is not None:
                self._marked.pop(change.before.metadata.name, None)
        elif change.before is None or _allowance(change.before) != _allowance(change.after):
            yield self._request(change.after.metadata.name)

    def _request(self, name: str) -> Request:
        return Request("hub", self._set, name)


def _allowance(member: Member) -> tuple[int, int]:
    return allowed(member), allowed_bytes(member)


def _most(feed: _Feed, member: Member | None) -> int:
    return (allowed if feed.kind.plural == EXPORTED_SERVICES.plural else allowed_chunks)(member)


def _beyond(
    most: int, feeds: Iterable[_Feed], name: str, weight: Callable[[Sized], int]
) -> dict[str, tuple[_Feed, Sized]]:
    stored = {item.metadata.name: (feed, item) for feed in feeds for item in feed.informer.store.by(_OWNER, name)}
    ages = ((item.metadata.creation_timestamp, key, weight(item)) for key, (_, item) in stored.items())
    return {key: stored[key] for key in surplus(ages, most)}


def _size(item: Sized | None) -> int:
    return item.size if item is not None else 0


def _sized(kind: Resource[T]) -> Resource[Sized]:
    return Resource(kind.group, kind.version, kind.plural, kind.kind, Sized, many=True)


def _stored(client: Client, kind: Resource[Sized], cluster_set: str, clock: Clock) -> Informer[Sized]:
    return Informer(client, kind, namespace=cluster_set, indexes={_OWNER: lambda item: (_owner(item),)}, clock=clock)


def _owner(item: Sized) -> str:
    """By the prefix of its name, which the hub ties to its writer."""
    return item.metadata.name.partition(".")[0]


def allowances(
    client: Client, cluster_set: str, members: Informer[Member], *, clock: Clock = SYSTEM
) -> tuple[Controller, tuple[Informer[Sized], ...]]:
    """The control loop that holds a set's members to their allowances, and the informers that run with it."""
    holding = Allowances(client, cluster_set, members, clock=clock)
    # One worker: marks are few, and a look of one member is not worth two at once.
    controller = Controller("allowances", holding.reconcile, workers=1, batch=_BATCH, clock=clock)
    holding.watch(controller)
    return controller, holding.informers
