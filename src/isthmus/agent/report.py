"""What an agent says of its cluster and of itself: the status of its Member."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from isthmus import __version__
from isthmus.agent.outlook import Outlook
from isthmus.api.about import ClusterProperty
from isthmus.api.core import Service
from isthmus.api.isthmus import (
    EXPORTED_SERVICES,
    MEMBERS,
    RULES_VERSION,
    ExportedService,
    Exports,
    Member,
    MemberStatus,
)
from isthmus.inventory.rules.facts import facts, fitting, observed
from isthmus.kit.clock import Clock
from isthmus.kube.informer import Change, Informer
from isthmus.mcs.controllers.place import Place
from isthmus.mcs.controllers.views import Views
from isthmus.mcs.rules.absence import exports_of, next_exports
from isthmus.mcs.rules.exporting import problem, withdrawn
from isthmus.mcs.rules.names import ExportKey
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.reconcile import Done, Request
from isthmus.runtime.source import Source, each


@dataclass(frozen=True)
class Facts:
    """What there is to say of a cluster beside its exports; `uid` is that of its namespace kube-system."""

    uid: str
    properties: Informer[ClusterProperty]
    place: Place
    outlook: Outlook


class Report:
    """Writes the Member's status whole: versions, properties, and what this cluster exports.

    What the hub `refused` is not exported: to claim it would hold up whatever else ends in that namespace.
    The epoch of the exports starts at the agent's wall clock, in seconds, so that it is higher than any that
    a former process wrote, even if the hub has lost it.
    """

    def __init__(
        self,
        views: Views,
        facts: Facts,
        writer: Converger,
        *,
        refused: Mapping[Request, str],
        clock: Clock,
    ) -> None:
        self._member = views.member
        self._hub = views.hub
        self._facts = facts
        self._writer = writer
        self._refused = refused
        # Set once the hub has what we ourselves found of the cluster's address.
        self.is_own = asyncio.Event()
        self._clock = clock
        self._epoch = int(clock.now().timestamp())
        self._losses = 1
        self._answered_losses = 0
        writer.follow(MEMBERS, views.hub.members)

    def watch(self, controller: Controller, when_forgot: Callable[[Callable[[], None]], None]) -> None:
        """Whatever the status speaks of; `when_forgot` has something called when the hub has gone back in time."""
        controller.watch(Source(self._member.exports, each(self._ask)))
        controller.watch(Source(self._member.services, each(self._ask_if_exported)))
        controller.watch(Source(self._member.nodes, each(self._ask)))
        controller.watch(Source(self._facts.properties, each(self._ask)))
        controller.watch(Source(self._hub.members, each(self._ask_if_me), required=False))
        controller.add(self.request())

        def publish_anew() -> None:
            self._losses += 1
            controller.add(self.request())

        # A list that is other than we thought: what is ours was lost, and is now being published again. One that is
        # not says nothing new, and a higher epoch is heard by every agent of the set.
        self._hub.exports.subscribe(lambda change: publish_anew() if self._is_loss(change) else None)
        when_forgot(publish_anew)
        self._facts.outlook.when_changed(lambda: controller.add(self.request()))

    def request(self) -> Request:
        """The one key of this controller."""
        return self._member.request("", "report")

    async def reconcile(self, _: Request) -> Done:
        """Say what is so now; nothing, while there is no Member to say it on."""
        name, namespace = self._member.cluster, self._hub.namespace
        member = self._writer.current(
            MEMBERS, self._hub.members.store.get(name, namespace), name=name, namespace=namespace
        )
        if member is None:
            return Done()
        losses, is_own = self._losses, self._facts.outlook.has_looked
        said = member.status or MemberStatus()
        exports = self._exports(said.exports)
        # Before the write: one that gets no answer may still be heard by others.
        self._epoch = exports.epoch
        self._facts.outlook.remember(said)
        kept, left_out = fitting(self._values())
        version = self._facts.place.version
        nodes = self._member.nodes.store.all()
        status = MemberStatus(
            agent_version=__version__,
            kubernetes_version=version,
            uid=self._facts.uid,
            rules_version=RULES_VERSION,
            region=self._facts.place.region(),
            properties=kept,
            left_out=left_out,
            facts=facts(version, nodes, said.facts),
            exports=exports,
            probe=self._facts.outlook.probe,
            clock_difference=self._facts.outlook.clock_difference,
        )
        wanted = msgspec.structs.replace(member, status=observed(status, said, now=self._clock.now()))
        if await self._writer.converge_status(MEMBERS, wanted, member):
            self._answered_losses = losses
        if is_own:
            self.is_own.set()
        return Done()

    def _exports(self, seen: Exports) -> Exports:
        valid = {
            ExportKey(self._member.cluster, export.metadata.namespace, export.metadata.name): export.metadata.uid
            for export in self._member.exports.store.all()
            if not withdrawn(export)
            and problem(self._member.services.store.get(export.metadata.name, export.metadata.namespace)) is None
            and self._member.request(export.metadata.namespace, export.metadata.name) not in self._refused
        }
        anew = self._answered_losses != self._losses
        return next_exports(seen, exports_of(valid), anew=anew, floor=self._epoch + anew)

    def _values(self) -> dict[str, str]:
        properties = self._facts.properties.store.all()
        return {item.metadata.name: item.spec.value for item in properties if item.spec is not None}

    def _is_loss(self, change: Change[ExportedService]) -> bool:
        """Whether a list has something of ours other than we wrote it."""
        item = change.after or change.before
        if change.seen or item is None or not self._hub.is_own(item):
            return False
        name, namespace = item.metadata.name, item.metadata.namespace
        # A list may well be the first to show what was written where nothing was watched yet.
        written = self._writer.current(EXPORTED_SERVICES, change.before, name=name, namespace=namespace)
        return written != change.after

    def _ask(self, _: object) -> Iterator[Request]:
        yield self.request()

    def _ask_if_exported(self, service: Service) -> Iterator[Request]:
        if self._member.exports.store.get(service.metadata.name, service.metadata.namespace) is not None:
            yield self.request()

    def _ask_if_me(self, member: Member) -> Iterator[Request]:
        if member.metadata.name == self._member.cluster:
            yield self.request()
