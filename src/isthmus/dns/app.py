"""The process: informers on the local cluster, a directory in the middle, sockets in front."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.api.core import ENDPOINT_SLICES, NAMESPACES, EndpointSlice, Namespace
from isthmus.api.mcs import SERVICE_IMPORTS, SERVICE_NAME_LABEL, ZONE, ServiceImport
from isthmus.api.scheme import Resource
from isthmus.dns.directory import BY_SERVICE, UNKNOWN, Directory, services_of
from isthmus.dns.standing import Standing
from isthmus.errors import Invalid, IsthmusError
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kit.dns.names import is_name
from isthmus.kit.dns.server import Server, bind
from isthmus.kit.dns.zone import Zone
from isthmus.kit.probes import listen, probed
from isthmus.kube.client import Client
from isthmus.kube.config import in_cluster, load_kubeconfig
from isthmus.kube.informer import Change, Informer, Selection
from isthmus.mcs.controllers.kinds import served

log = logging.getLogger(__name__)

MOST_TTL = 3600


@dataclass(frozen=True, slots=True)
class DNSOptions:
    """Where the cluster is (None: the one this runs in), where to listen, which zone, and its TTL in seconds.

    An empty address is every one that there is. Probes and metrics are served at `metrics`.
    """

    kubeconfig: Path | None
    listen: tuple[tuple[str, int], ...]
    zone: str = ZONE
    ttl: int = 5
    metrics: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        if not self.zone.strip(".") or not is_name(self.zone.rstrip(".")):
            raise Invalid(f"the zone {self.zone!r} is no domain name; write it like {ZONE}")
        if not 0 <= self.ttl <= MOST_TTL:
            raise Invalid(f"the TTL {self.ttl} is not between 0 and {MOST_TTL} seconds")
        if not self.listen:
            raise Invalid("no address to listen on; give at least one")


async def run(options: DNSOptions) -> None:
    """Answer until cancelled; raises Invalid for a kubeconfig or an address that cannot be used."""
    config = load_kubeconfig([options.kubeconfig]) if options.kubeconfig else in_cluster()
    sockets = bind(options.listen)
    standing = Standing()
    async with probed(listen(options.metrics), standing.readiness), Client(config, user_agent="isthmus-dns") as client:
        await serve(client, sockets, options, standing=standing)


async def serve(
    client: Client,
    sockets: Sequence[socket.socket],
    options: DNSOptions,
    *,
    clock: Clock = SYSTEM,
    standing: Standing | None = None,
) -> None:
    """Answer on these sockets from this cluster until cancelled; goes on from memory while it is away."""
    standing = standing or Standing()
    zone = Zone(options.zone.lower().rstrip("."), ttl=options.ttl, serial=int(clock.now().timestamp()))
    known: list[Directory] = []
    server = Server(lambda question: known[0].answer(question) if known else UNKNOWN)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.run(sockets), name="dns server")
        for sock in sockets:
            log.info("dns listening", extra={"address": sock.getsockname()[:2], "transport": sock.type.name})
        imports = Informer(client, await _served_imports(client, clock), clock=clock)
        selection = Selection(labels=SERVICE_NAME_LABEL)
        slices = Informer(client, ENDPOINT_SLICES, options=selection, indexes={BY_SERVICE: services_of}, clock=clock)
        namespaces = Informer(client, NAMESPACES, clock=clock)
        directory = Directory(imports.store, slices.store, namespaces.store, zone=zone, ttl=options.ttl)
        known.append(directory)
        pending = _Pending(lambda services, spaces: server.forget(directory.update(services, spaces)))
        imports.subscribe(pending.import_changed)
        slices.subscribe(pending.slice_changed)
        namespaces.subscribe(pending.namespace_changed)
        for informer in (imports, slices, namespaces):
            tasks.create_task(informer.run(), name="dns informer")
        for informer in (imports, slices, namespaces):
            await informer.wait_synced()
        pending.flush()
        directory.complete = standing.complete = True
        log.info("dns answering", extra={"zone": zone.origin, "imports": len(imports.store)})


async def _served_imports(client: Client, clock: Clock) -> Resource[ServiceImport]:
    """ServiceImport in the version that this cluster serves (MCS-47); without an answer there is nothing to tell."""
    backoff = Backoff(cap=5.0)
    while True:
        try:
            return await served(client, SERVICE_IMPORTS) or SERVICE_IMPORTS
        except IsthmusError as error:
            log.warning("cluster not ready, will be tried again", extra={"error": str(error)})
            await clock.sleep(backoff.next())


class _Pending:
    """What changed since it was last looked at; many changes that come at once are one look."""

    def __init__(self, update: Callable[[set[str], set[str]], None]) -> None:
        self._update = update
        self._services: set[str] = set()
        self._namespaces: set[str] = set()
        self._scheduled = False

    def import_changed(self, change: Change[ServiceImport]) -> None:
        """An import came, changed or went."""
        for seen in filter(None, (change.before, change.after)):
            self._services.add(f"{seen.metadata.namespace}/{seen.metadata.name}")
        self._schedule()

    def slice_changed(self, change: Change[EndpointSlice]) -> None:
        """A slice came, changed, went, or has another service now."""
        for seen in filter(None, (change.before, change.after)):
            self._services.update(services_of(seen))
        self._schedule()

    def namespace_changed(self, change: Change[Namespace]) -> None:
        """A namespace came or went."""
        for seen in filter(None, (change.before, change.after)):
            self._namespaces.add(seen.metadata.name)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Look at all of it now."""
        services, self._services = self._services, set()
        namespaces, self._namespaces = self._namespaces, set()
        self._scheduled = False
        self._update(services, namespaces)
