"""kube-proxy's part on a node: every service address answers, by Envoy or a relay, from the Service's endpoints."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from isthmus.api.core import (
    ENDPOINT_SLICES,
    NODES,
    SERVICE_NAME_LABEL,
    SERVICES,
    ZONE_LABEL,
    EndpointSlice,
    Node,
    Service,
)
from isthmus.kube.informer import Change
from isthmus.local.controllers.surroundings import Surroundings
from isthmus.local.envoy import EnvoyFiles, run_envoy
from isthmus.local.relay import Relays
from isthmus.local.rules.proxy import Resources, resources
from isthmus.local.rules.routes import Place, Route, routes

log = logging.getLogger(__name__)

# Seconds between two changes of Envoy's files: it reads all of them anew each time.
_PAUSE = 0.05


@dataclass(frozen=True)
class ProxyOptions:
    """Where Envoy's files go, and where the node stands; its zone is what its Node says, once there is one."""

    directory: Path
    node: str
    zone: str = ""


async def run_proxy(around: Surroundings, options: ProxyOptions) -> None:
    """Serve the service addresses of this network namespace until cancelled; Envoy is a child process."""
    files = EnvoyFiles(options.directory)
    files.create(options.node)
    table = Table(around, Place(options.node, options.zone))
    await table.wait_synced()
    async with asyncio.TaskGroup() as tasks:
        relays = Relays(tasks, around.clock)
        _serve(table, files, relays)
        tasks.create_task(run_envoy(files, clock=around.clock), name="envoy")
        tasks.create_task(_follow(table, files, relays, around), name="routes")


async def _follow(table: "Table", files: EnvoyFiles, relays: Relays, around: Surroundings) -> None:
    while True:
        await table.wait_changed()
        _serve(table, files, relays)
        await around.clock.sleep(_PAUSE)


def _serve(table: "Table", files: EnvoyFiles, relays: Relays) -> None:
    wanted = table.routes()
    relays.follow(route for route in wanted if route.sticky)
    if files.write(table.resources()):
        log.debug("routes changed", extra={"directory": str(files.directory)})


class Table:
    """The node's routes, kept per Service, so that a change costs only the Services it touches."""

    def __init__(self, around: Surroundings, place: Place) -> None:
        self._place = place
        self._services = around.informer(SERVICES)
        self._slices = around.informer(ENDPOINT_SLICES)
        self._nodes = around.informer(NODES)
        self._known: dict[tuple[str, str], tuple[tuple[Route, ...], Resources]] = {}
        self._dirty: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._nodes.subscribe(self._node_changed)
        if node := self._nodes.store.get(place.node):
            self._node_changed(Change(before=None, after=node))

    async def wait_synced(self) -> None:
        """Until all Services and their endpoints are known."""
        await self._services.wait_synced()
        await self._slices.wait_synced()
        for service in self._services.store.all():
            self._touch(service.metadata.namespace, service.metadata.name)

    async def wait_changed(self) -> None:
        """Until something may differ from what `resources` last said."""
        await self._changed.wait()

    def routes(self) -> tuple[Route, ...]:
        """What is true now, in an order that does not depend on what happened before."""
        self._changed.clear()
        by_service = self._slices_of({namespace for namespace, _ in self._dirty})
        for key in self._dirty:
            self._decide(key, by_service.get(key, []))
        self._dirty.clear()
        return tuple(route for key in sorted(self._known) for route in self._known[key][0])

    def resources(self) -> Resources:
        """What Envoy should know of what `routes` last said."""
        known = [self._known[key][1] for key in sorted(self._known)]
        return Resources(
            tuple(listener for each in known for listener in each.listeners),
            tuple(cluster for each in known for cluster in each.clusters),
        )

    def _decide(self, key: tuple[str, str], slices: list[EndpointSlice]) -> None:
        namespace, name = key
        service = self._services.store.get(name, namespace)
        wanted = routes(service, slices, self._place) if service else ()
        if wanted:
            self._known[key] = wanted, resources(wanted)
        else:
            self._known.pop(key, None)

    def _slices_of(self, namespaces: set[str]) -> dict[tuple[str, str], list[EndpointSlice]]:
        found: dict[tuple[str, str], list[EndpointSlice]] = {}
        for namespace in namespaces:
            for each in self._slices.store.all(namespace):
                found.setdefault((namespace, each.metadata.labels.get(SERVICE_NAME_LABEL, "")), []).append(each)
        return found

    def _service_changed(self, change: Change[Service]) -> None:
        for service in (change.before, change.after):
            if service is not None:
                self._touch(service.metadata.namespace, service.metadata.name)

    def _slice_changed(self, change: Change[EndpointSlice]) -> None:
        for each in (change.before, change.after):
            if each is not None:
                self._touch(each.metadata.namespace, each.metadata.labels.get(SERVICE_NAME_LABEL, ""))

    def _node_changed(self, change: Change[Node]) -> None:
        node = change.after
        if node is None or node.metadata.name != self._place.node:
            return
        place = Place(self._place.node, node.metadata.labels.get(ZONE_LABEL, ""))
        if place != self._place:
            self._place = place
            for service in self._services.store.all():
                self._touch(service.metadata.namespace, service.metadata.name)

    def _touch(self, namespace: str, name: str) -> None:
        if name:
            self._dirty.add((namespace, name))
            self._changed.set()
