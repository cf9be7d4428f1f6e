"""Keeps the EndpointSlices of every Service with a selector."""

from collections.abc import Iterator, Mapping

from isthmus.api.apps import LabelSelector, metadata_of, pods_of
from isthmus.api.core import (
    CORE_MANAGED_BY,
    ENDPOINT_SLICES,
    MANAGED_BY_LABEL,
    NODES,
    PODS,
    SERVICE_NAME_LABEL,
    SERVICES,
    ZONE_LABEL,
    EndpointSlice,
    Node,
    Service,
)
from isthmus.api.scheme import Manifest
from isthmus.kube.informer import Change
from isthmus.local.controllers.surroundings import MANAGER, Surroundings
from isthmus.local.rules.endpointslices import wanted_slices
from isthmus.local.rules.ownership import selects
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.reconcile import Done, Request
from isthmus.runtime.source import Source, each


class EndpointSlices:
    """Reconciles Services of one cluster."""

    def __init__(self, around: Surroundings) -> None:
        self._clock = around.clock
        self._services = around.informer(SERVICES)
        self._pods = around.informer(PODS)
        self._slices = around.informer(ENDPOINT_SLICES)
        self._nodes = around.informer(NODES)
        self._converger = Converger(around.client, manager=MANAGER, force=True, clock=around.clock)
        self._converger.follow(ENDPOINT_SLICES, self._slices)

    def controller(self) -> Controller:
        """The loop that calls `reconcile` for what changes."""
        controller = Controller("endpointslice", self.reconcile, clock=self._clock)
        controller.watch(Source(self._services, each(_own_key)))
        controller.watch(Source(self._pods, each(self._keys_of_pod)))
        controller.watch(Source(self._slices, each(_key_of_slice)))
        controller.watch(Source(self._nodes, self._keys_of_node))
        return controller

    async def reconcile(self, request: Request) -> Done:
        """Make the slices say what the pods are; a Service that is gone, or has no selector, has none of ours."""
        service = self._services.store.get(request.name, request.namespace)
        seen = [
            current
            for each_slice in self._slices.store.all(request.namespace)
            if (current := self._current(each_slice)) and _is_ours(current, request.name)
        ]
        wanted: tuple[EndpointSlice, ...] = ()
        if service is not None and service.metadata.deletion_timestamp is None:
            pods = pods_of(self._pods.store.all(request.namespace))
            wanted = wanted_slices(service, pods, seen, zones=self._zones())
        await self._converger.converge(ENDPOINT_SLICES, wanted, seen)
        return Done()

    def _current(self, seen: EndpointSlice) -> EndpointSlice | None:
        meta = seen.metadata
        return self._converger.current(ENDPOINT_SLICES, seen, name=meta.name, namespace=meta.namespace)

    def _zones(self) -> Mapping[str, str]:
        return {node.metadata.name: node.metadata.labels.get(ZONE_LABEL, "") for node in self._nodes.store.all()}

    def _keys_of_pod(self, manifest: Manifest) -> Iterator[Request]:
        meta = metadata_of(manifest)
        for service in self._services.store.all(meta.namespace):
            if selects(LabelSelector(match_labels=service.spec.selector), meta.labels):
                yield Request("", meta.namespace, service.metadata.name)

    def _keys_of_node(self, change: Change[Node]) -> Iterator[Request]:
        """All Services when a zone changes; a heartbeat touches none."""
        zones = [node.metadata.labels.get(ZONE_LABEL) for node in (change.before, change.after) if node]
        if len(set(zones)) > 1 or (len(zones) == 1 and zones[0]):
            for service in self._services.store.all():
                yield from _own_key(service)


def _is_ours(each_slice: EndpointSlice, service: str) -> bool:
    labels = each_slice.metadata.labels
    return labels.get(SERVICE_NAME_LABEL) == service and labels.get(MANAGED_BY_LABEL) == CORE_MANAGED_BY


def _own_key(service: Service) -> Iterator[Request]:
    yield Request("", service.metadata.namespace, service.metadata.name)


def _key_of_slice(each_slice: EndpointSlice) -> Iterator[Request]:
    name = each_slice.metadata.labels.get(SERVICE_NAME_LABEL)
    if name and each_slice.metadata.labels.get(MANAGED_BY_LABEL) == CORE_MANAGED_BY:
        yield Request("", each_slice.metadata.namespace, name)
