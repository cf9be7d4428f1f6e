"""Which changes touch which services: what the import and conditions controllers watch."""

from collections.abc import Iterator

import msgspec

from isthmus.api.core import REGION_LABEL, SERVICE_NAME_LABEL, ZONE_LABEL, EndpointSlice, Namespace, Node, Service
from isthmus.api.isthmus import ExportedEndpoints, ExportedService, ExportedServiceSpec, ExportGrant, Member
from isthmus.api.mcs import SERVICE_NAME_LABEL as IMPORT_NAME_LABEL
from isthmus.api.mcs import ServiceExport, ServiceImport
from isthmus.kube.informer import Change
from isthmus.mcs.controllers.views import CLUSTER, NAMESPACE, Views
from isthmus.runtime.controller import Controller
from isthmus.runtime.reconcile import Request
from isthmus.runtime.source import Source, each


class Triggers:
    """Maps what changed, on either side, to the services that it touches."""

    def __init__(self, views: Views) -> None:
        self._member = views.member
        self._hub = views.hub

    def watch_for_imports(self, controller: Controller) -> None:
        """An import is touched by what it is made from, and by what it is made of."""
        member = self._member
        controller.watch(Source(member.imports, each(self._same_name)))
        controller.watch(Source(member.exports, each(self._same_name)))
        controller.watch(Source(member.services, each(self._stood_in_for)))
        controller.watch(Source(member.slices, each(self._backed)))
        controller.watch(Source(member.namespaces, self._came))
        controller.watch(Source(member.nodes, self._moved))
        controller.watch(Source(self._hub.chunks, each(self._exported), required=False))
        self.watch_for_merges(controller)

    def watch_for_merges(self, controller: Controller) -> None:
        """A merge is touched by its exports, by who the exporters are, and by what they may export."""
        controller.watch(Source(self._hub.exports, each(self._exported), required=False))
        self._watch_for_members(controller)

    def watch_for_conditions(self, controller: Controller) -> None:
        """Conditions are touched by what touches the merge, except endpoints: those change often, and say nothing.

        A new export is touched when its publication is echoed: so it is written once, not first as pending.
        """
        controller.watch(Source(self._hub.exports, self._redescribed, required=False))
        controller.watch(Source(self._member.exports, self._edited))
        self._watch_for_members(controller)

    def _watch_for_members(self, controller: Controller) -> None:
        controller.watch(Source(self._hub.members, self._judged, required=False))
        controller.watch(Source(self._hub.grants, each(self._granted), required=False))

    def all_imports(self) -> Iterator[Request]:
        """Every service that this cluster imports, or that the set exports to it."""
        for item in self._member.imports.store.all():
            yield from self._same_name(item)
        for export in self._hub.exports.store.all():
            yield from self._exported(export)

    def all_exports(self) -> Iterator[Request]:
        """Every service that this cluster exports, or that the hub believes it does."""
        for item in self._member.exports.store.all():
            yield from self._same_name(item)
        for export in self._hub.exports.store.by(CLUSTER, self._hub.cluster):
            yield from self._exported(export)

    def _request(self, namespace: str, name: str) -> Iterator[Request]:
        yield self._member.request(namespace, name)

    def _same_name(self, item: ServiceImport | ServiceExport) -> Iterator[Request]:
        return self._request(item.metadata.namespace, item.metadata.name)

    def _exported(self, item: ExportedService | ExportedEndpoints) -> Iterator[Request]:
        if item.spec is not None:
            yield from self._request(item.spec.namespace, item.spec.name)

    def _redescribed(self, change: Change[ExportedService]) -> Iterator[Request]:
        if _description(change.before) != _description(change.after):
            for version in (change.before, change.after):
                yield from self._exported(version) if version is not None else ()

    def _edited(self, change: Change[ServiceExport]) -> Iterator[Request]:
        if change.before is not None and change.after is not None:
            yield from self._same_name(change.after)

    def _stood_in_for(self, item: Service) -> Iterator[Request]:
        if name := item.metadata.labels.get(IMPORT_NAME_LABEL):
            yield from self._request(item.metadata.namespace, name)

    def _backed(self, item: EndpointSlice) -> Iterator[Request]:
        """A slice of an import, one of a Service that is imported too, or one that stands in a derived one's name."""
        namespace, labels = item.metadata.namespace, item.metadata.labels
        if name := labels.get(IMPORT_NAME_LABEL):
            yield from self._request(namespace, name)
        elif name := labels.get(SERVICE_NAME_LABEL):
            if self._member.exports.store.get(name, namespace) is not None:
                yield from self._request(namespace, name)
            service = self._member.services.store.get(name, namespace)
            if service is not None:
                yield from self._stood_in_for(service)

    def _came(self, change: Change[Namespace]) -> Iterator[Request]:
        if change.before is None and change.after is not None:
            name = change.after.metadata.name
            for export in self._hub.exports.store.by(NAMESPACE, name):
                yield from self._exported(export)

    def _moved(self, change: Change[Node]) -> Iterator[Request]:
        if _place(change.before) != _place(change.after):
            for item in self._member.imports.store.all():
                if item.spec is not None and item.spec.traffic_distribution:
                    yield from self._same_name(item)

    def _judged(self, change: Change[Member]) -> Iterator[Request]:
        # A Member's status changes with each of its exports, and touches no import by that.
        before, after = _known(change.before), _known(change.after)
        if before != after:
            member = change.after or change.before
            for export in self._hub.exports.store.by(CLUSTER, member.metadata.name if member else ""):
                yield from self._exported(export)

    def _granted(self, grant: ExportGrant) -> Iterator[Request]:
        for namespace in grant.spec.namespaces if grant.spec is not None else ():
            for export in self._hub.exports.store.by(NAMESPACE, namespace):
                yield from self._exported(export)


def _description(export: ExportedService | None) -> ExportedServiceSpec | None:
    """What is said of an export, without the endpoints."""
    if export is None or export.spec is None:
        return None
    return msgspec.structs.replace(export.spec, slices=(), chunks=None)


def _place(node: Node | None) -> tuple[str, str]:
    labels = node.metadata.labels if node is not None else {}
    return labels.get(REGION_LABEL, ""), labels.get(ZONE_LABEL, "")


def _known(member: Member | None) -> tuple[object, str]:
    if member is None:
        return None, ""
    return member.spec, member.status.region if member.status is not None else ""
