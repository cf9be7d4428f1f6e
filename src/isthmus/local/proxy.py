"""kube-proxy's part on a node: every service address answers, by Envoy, from the Service's endpoints."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from isthmus.api.core import ENDPOINT_SLICES, SERVICE_NAME_LABEL, SERVICES, EndpointSlice, Service
from isthmus.kube.informer import Change
from isthmus.local.controllers.surroundings import Surroundings
from isthmus.local.envoy import EnvoyFiles, run_envoy
from isthmus.local.rules.proxy import Resources, resources
from isthmus.local.rules.routes import Place, routes

log = logging.getLogger(__name__)

# Seconds between two changes of Envoy's files: it reads all of them anew each time.
_PAUSE = 0.05


@dataclass(frozen=True)
class ProxyOptions:
    """Where Envoy's files go, and where the node stands."""

    directory: Path
    node: str
    zone: str = ""


async def run_proxy(around: Surroundings, options: ProxyOptions) -> None:
    """Serve the service addresses of this network namespace until cancelled; Envoy is a child process."""
    files = EnvoyFiles(options.directory)
    files.create(options.node)
    table = Table(around, Place(options.node, options.zone))
    await table.wait_synced()
    files.write(table.resources())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_envoy(files, clock=around.clock), name="envoy")
        tasks.create_task(_follow(table, files, around), name="routes to envoy")


async def _follow(table: "Table", files: EnvoyFiles, around: Surroundings) -> None:
    while True:
        await table.wait_changed()
        if files.write(table.resources()):
            log.debug("routes changed", extra={"directory": str(files.directory)})
        await around.clock.sleep(_PAUSE)


class Table:
    """What Envoy should know, kept per Service, so that a change costs only the Services it touches."""

    def __init__(self, around: Surroundings, place: Place) -> None:
        self._place = place
        self._services = around.informer(SERVICES)
        self._slices = around.informer(ENDPOINT_SLICES)
        self._known: dict[tuple[str, str], Resources] = {}
        self._dirty: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)

    async def wait_synced(self) -> None:
        """Until all Services and their endpoints are known."""
        await self._services.wait_synced()
        await self._slices.wait_synced()
        for service in self._services.store.all():
            self._touch(service.metadata.namespace, service.metadata.name)

    async def wait_changed(self) -> None:
        """Until something may differ from what `resources` last said."""
        await self._changed.wait()

    def resources(self) -> Resources:
        """What is true now, in an order that does not depend on what happened before."""
        self._changed.clear()
        by_service = self._slices_of({namespace for namespace, _ in self._dirty})
        for key in self._dirty:
            self._decide(key, by_service.get(key, []))
        self._dirty.clear()
        known = [self._known[key] for key in sorted(self._known)]
        return Resources(
            tuple(listener for each in known for listener in each.listeners),
            tuple(cluster for each in known for cluster in each.clusters),
        )

    def _decide(self, key: tuple[str, str], slices: list[EndpointSlice]) -> None:
        namespace, name = key
        service = self._services.store.get(name, namespace)
        wanted = resources(routes(service, slices, self._place)) if service else Resources()
        if wanted.listeners:
            self._known[key] = wanted
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

    def _touch(self, namespace: str, name: str) -> None:
        if name:
            self._dirty.add((namespace, name))
            self._changed.set()
