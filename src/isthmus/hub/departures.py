"""Clears up on the hub after members that have left: what they exported. Their access is `Joining`'s, with the rest.

Their agents do it too, while they can: who was taken off the list may have lost its rights by then (MCS-5).
"""

import logging

from isthmus.api.isthmus import Member
from isthmus.inventory.controllers.access import drop_exports
from isthmus.kit.clock import Clock
from isthmus.kube.client import Client
from isthmus.kube.informer import Change, Informer
from isthmus.mcs.rules.absence import Roster
from isthmus.runtime.controller import Controller
from isthmus.runtime.reconcile import After, Done, Request
from isthmus.runtime.source import Source

log = logging.getLogger(__name__)

# Seconds between two looks whether a list that was asked for has come.
_LOOK = 1.0


class Departures:
    """A Member is gone when its deletion was seen, and two lists ten seconds apart lack it while others are there.

    Deletions that happened while no hub controller ran are not seen: what those members left behind goes with their
    accounts.
    """

    def __init__(self, client: Client, cluster_set: str, members: Informer[Member], *, clock: Clock) -> None:
        self._client = client
        self._set = cluster_set
        self._members = members
        self._clock = clock
        self._roster = Roster()
        self._leaving: set[str] = set()

    def watch(self, controller: Controller) -> None:
        """Members that come and go, and complete lists of them."""
        self._members.subscribe(self._changed)
        controller.watch(Source(self._members, lambda _: [self.request()]))

        def listed() -> None:
            self._roster = self._roster.listed(self._members.store.all(), self._clock.monotonic())
            controller.add(self.request())

        self._members.when_listed(listed)

    def request(self) -> Request:
        """The one key of this controller."""
        return Request("hub", "", "departures")

    async def reconcile(self, _: Request) -> Done | After:
        """Clear up after those that are known to have left; ask for the lists that settle the others."""
        for member in sorted(self._leaving):
            if self._roster.has_left(member):
                await self._clear(member)
                self._leaving.discard(member)
        at = self._roster.list_at
        if not self._leaving or at is None:
            return Done()
        now = self._clock.monotonic()
        if at <= now:
            self._members.relist()
        return After(max(at - now, _LOOK))

    def _changed(self, change: Change[Member]) -> None:
        now = self._clock.monotonic()
        if change.after is not None:
            self._roster = self._roster.changed(change.after, now)
            self._leaving.discard(change.after.metadata.name)
        elif change.before is not None:
            self._leaving.add(change.before.metadata.name)
            if change.seen:
                self._roster = self._roster.deleted(change.before.metadata.name, now)

    async def _clear(self, member: str) -> None:
        await drop_exports(self._client, member, self._set)
        log.info("cleared up after a member that left", extra={"member": member, "set": self._set})
