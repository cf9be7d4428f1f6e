"""What an agent says of its cluster and of itself: the status of its Member."""

from collections.abc import Iterator, Mapping

import msgspec

from isthmus import __version__
from isthmus.api.about import ClusterProperty
from isthmus.api.core import Service
from isthmus.api.isthmus import MEMBERS, RULES_VERSION, Exports, Member, MemberStatus
from isthmus.kit.clock import Clock
from isthmus.kube.informer import Informer
from isthmus.mcs.controllers.place import Place
from isthmus.mcs.controllers.views import Views
from isthmus.mcs.rules.absence import exports_of, next_exports
from isthmus.mcs.rules.exporting import problem
from isthmus.mcs.rules.names import ExportKey
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.reconcile import Done, Request
from isthmus.runtime.source import Source, each

# Longer values do not fit a ClusterProfile either, and a Member is read by every agent of the set.
_LONGEST_VALUE = 1024


class Report:
    """Writes the Member's status whole: versions, properties, and what this cluster exports.

    What the hub `refused` is not exported: to claim it would hold up whatever else ends in that namespace.
    The epoch of the exports starts at the agent's wall clock, in seconds, so that it is higher than any that
    a former process wrote, even if the hub has lost it.
    """

    def __init__(
        self,
        views: Views,
        properties: Informer[ClusterProperty],
        place: Place,
        writer: Converger,
        *,
        refused: Mapping[Request, str],
        clock: Clock,
    ) -> None:
        self._member = views.member
        self._hub = views.hub
        self._properties = properties
        self._place = place
        self._writer = writer
        self._refused = refused
        self._epoch = int(clock.now().timestamp())
        self._lists = 1
        self._answered_lists = 0
        writer.follow(MEMBERS, views.hub.members)

    def watch(self, controller: Controller) -> None:
        """Whatever the status speaks of."""
        controller.watch(Source(self._member.exports, each(self._ask)))
        controller.watch(Source(self._member.services, each(self._ask_if_exported)))
        controller.watch(Source(self._member.nodes, each(self._ask)))
        controller.watch(Source(self._properties, each(self._ask)))
        controller.watch(Source(self._hub.members, each(self._ask_if_me), required=False))
        controller.add(self.request())

        def publish_anew() -> None:
            # A fresh list: what is ours may have been lost, and is now being published again.
            self._lists += 1
            controller.add(self.request())

        self._hub.own.when_listed(publish_anew)

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
        lists = self._lists
        exports = self._exports(member.status.exports if member.status is not None else Exports())
        status = MemberStatus(
            agent_version=__version__,
            kubernetes_version=self._place.version,
            rules_version=RULES_VERSION,
            region=self._place.region(),
            properties=self._values(),
            exports=exports,
        )
        wanted = msgspec.structs.replace(member, status=status)
        if await self._writer.converge_status(MEMBERS, wanted, member):
            self._epoch = exports.epoch
            self._answered_lists = lists
        return Done()

    def _exports(self, seen: Exports) -> Exports:
        valid = {
            ExportKey(self._member.cluster, export.metadata.namespace, export.metadata.name): export.metadata.uid
            for export in self._member.exports.store.all()
            if problem(self._member.services.store.get(export.metadata.name, export.metadata.namespace)) is None
            and self._member.request(export.metadata.namespace, export.metadata.name) not in self._refused
        }
        anew = self._answered_lists != self._lists
        return next_exports(seen, exports_of(valid), anew=anew, floor=self._epoch + anew)

    def _values(self) -> dict[str, str]:
        return {
            item.metadata.name: item.spec.value
            for item in self._properties.store.all()
            if item.spec is not None and len(item.spec.value) <= _LONGEST_VALUE
        }

    def _ask(self, _: object) -> Iterator[Request]:
        yield self.request()

    def _ask_if_exported(self, service: Service) -> Iterator[Request]:
        if self._member.exports.store.get(service.metadata.name, service.metadata.namespace) is not None:
            yield self.request()

    def _ask_if_me(self, member: Member) -> Iterator[Request]:
        if member.metadata.name == self._member.cluster:
            yield self.request()
