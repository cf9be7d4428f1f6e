"""Holds members to as many exports as an admin allows each: a full one makes no more, and what slipped in is taken out.

Admission cannot count. So the count is made here, and who is full is marked on its account, where a policy sees it;
what a member stored before that had effect is deleted, the newest first. An honest agent takes the policy's word for
it, and says it on the export.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from isthmus.api.core import SERVICE_ACCOUNTS
from isthmus.api.isthmus import EXPORTED_ENDPOINTS, EXPORTED_SERVICES, FULL_LABELS, MEMBERS_NAMESPACE, Member
from isthmus.api.meta import Object
from isthmus.api.scheme import Resource
from isthmus.errors import NotFound
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, DeleteOptions, ListOptions, WriteOptions
from isthmus.kube.informer import Change, Informer
from isthmus.mcs.rules.allowance import allowed, allowed_chunks, surplus
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


@dataclass
class _Feed:
    """The exports, or the chunks, of a set: only what they are called, and since when they are there."""

    informer: Informer[Object]
    kind: Resource[Object]
    label: str
    counts: Counter[str] = field(default_factory=Counter)

    def counted(self, change: Change[Object]) -> str:
        """Whose count has changed; empty if none has."""
        item = change.after or change.before
        if item is None or (change.before is None) is (change.after is None):
            return ""
        owner = _owner(item)
        self.counts[owner] += 1 if change.before is None else -1
        return owner


class Allowances:
    """Watches what the members of one set have stored."""

    def __init__(self, client: Client, cluster_set: str, members: Informer[Member], *, clock: Clock) -> None:
        self._client = client
        self._set = cluster_set
        self._members = members
        self._feeds = tuple(
            _Feed(_marks(client, kind, cluster_set, clock), kind, FULL_LABELS[kind.plural])
            for kind in (_only_marks(EXPORTED_SERVICES), _only_marks(EXPORTED_ENDPOINTS))
        )
        self._marked: dict[str, frozenset[str]] | None = None

    @property
    def informers(self) -> tuple[Informer[Object], ...]:
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
        full = frozenset(feed.label for feed in self._feeds if feed.counts[request.name] >= self._most(feed, member))
        # First the door, then what came in by it.
        await self._mark(request.name, full)
        for feed in self._feeds:
            if feed.counts[request.name] > (most := self._most(feed, member)):
                await self._clear(feed, request.name, most)
        return Done()

    def _most(self, feed: _Feed, member: Member | None) -> int:
        return (allowed if feed.kind.plural == EXPORTED_SERVICES.plural else allowed_chunks)(member)

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

    async def _clear(self, feed: _Feed, name: str, most: int) -> None:
        theirs = {item.metadata.name: item.metadata for item in feed.informer.store.by(_OWNER, name)}
        too_many = surplus(((each.creation_timestamp, each.name) for each in theirs.values()), most)
        places = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def delete(surplus_name: str) -> None:
            options = DeleteOptions(uid=theirs[surplus_name].uid)
            async with places:
                with suppress(NotFound):
                    await self._client.delete(feed.kind, surplus_name, namespace=self._set, options=options)

        await together(*map(delete, too_many))
        log.warning(
            "member stored more than it may", extra={"member": name, "set": self._set, "deleted": len(too_many)}
        )

    def _counted(self, feed: _Feed, change: Change[Object]) -> Iterator[Request]:
        owner = feed.counted(change)
        if not owner:
            return
        is_marked = feed.label in (self._marked or {}).get(owner, ())
        if is_marked or feed.counts[owner] >= self._most(feed, self._members.store.get(owner, self._set)):
            yield self._request(owner)

    def _changed(self, change: Change[Member]) -> Iterator[Request]:
        if change.after is None:
            if change.before is not None and self._marked is not None:
                self._marked.pop(change.before.metadata.name, None)
        elif change.before is None or allowed(change.before) != allowed(change.after):
            yield self._request(change.after.metadata.name)

    def _request(self, name: str) -> Request:
        return Request("hub", self._set, name)


def _only_marks(kind: Resource[T]) -> Resource[Object]:
    return Resource(kind.group, kind.version, kind.plural, kind.kind, Object, many=True)


def _marks(client: Client, kind: Resource[Object], cluster_set: str, clock: Clock) -> Informer[Object]:
    return Informer(client, kind, namespace=cluster_set, indexes={_OWNER: lambda item: (_owner(item),)}, clock=clock)


def _owner(item: Object) -> str:
    """By the prefix of its name, which the hub ties to its writer."""
    return item.metadata.name.partition(".")[0]


def allowances(
    client: Client, cluster_set: str, members: Informer[Member], *, clock: Clock = SYSTEM
) -> tuple[Controller, tuple[Informer[Object], ...]]:
    """The control loop that holds a set's members to their allowances, and the informers that run with it."""
    holding = Allowances(client, cluster_set, members, clock=clock)
    # One worker: marks are few, and a look of one member is not worth two at once.
    controller = Controller("allowances", holding.reconcile, workers=1, batch=_BATCH, clock=clock)
    holding.watch(controller)
    return controller, holding.informers
