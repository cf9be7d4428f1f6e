"""One cluster's API server, put together: start it, and it serves until the block ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from isthmus.api.scheme import Manifest
from isthmus.apiserver import defaultroles
from isthmus.apiserver.admission import Admission
from isthmus.apiserver.aggregation import Aggregation
from isthmus.apiserver.authentication import Tokens
from isthmus.apiserver.authorization import Authorizer
from isthmus.apiserver.builtin import builtin_schema
from isthmus.apiserver.cluster import CRDS, SERVICES, Cluster
from isthmus.apiserver.contents import MANAGER, Contents
from isthmus.apiserver.crds import Definitions
from isthmus.apiserver.deleting import Deleting
from isthmus.apiserver.disk import Disk
from isthmus.apiserver.escalation import Escalation
from isthmus.apiserver.expiry import Expiry
from isthmus.apiserver.garbage import Garbage
from isthmus.apiserver.grants import Grants
from isthmus.apiserver.housekeeping import Housekeeper
from isthmus.apiserver.kinds import BUILT_IN, EVENTS_GROUP, Kind, Kinds
from isthmus.apiserver.pki import PKI
from isthmus.apiserver.policies import Policies
from isthmus.apiserver.reviews import Reviews
from isthmus.apiserver.serve import Server
from isthmus.apiserver.services import ServiceAddresses
from isthmus.apiserver.storage import ADDED, Change, Collection, Storage
from isthmus.apiserver.verbs import Verbs
from isthmus.apiserver.writing import Write, Writing
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kit.http import serve, server_tls

Work: TypeAlias = Callable[[], Coroutine[object, object, None]]

LOCAL = ("127.0.0.1", "::1", "localhost")
IN_CLUSTER = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


@dataclass(frozen=True)
class ServerOptions:
    """What one API server is told at its start.

    `state` is its SQLite file (None: memory only), `pki` the folder of its keys, made where missing.
    Without `listeners` it listens on a free port of 127.0.0.1. `advertised` is where pods reach it, for the
    Service `kubernetes`; `window` how many changes of each kind a watch may lag behind.
    """

    name: str
    pki: Path
    state: Path | None = None
    service_ranges: tuple[str, ...] = ("10.96.0.0/16", "fd00:96::/112")
    pod_ranges: tuple[str, ...] = ()
    kubelet_socket: Path | None = None
    listeners: Sequence[socket.socket] = ()
    advertised: tuple[tuple[str, int], ...] = ()
    window: int = 5000


class APIServer:
    """`async with APIServer(options) as server:` serves until the block ends."""

    def __init__(self, options: ServerOptions, *, clock: Clock = SYSTEM) -> None:
        self._options = options
        self._clock = clock
        self._stack = contextlib.AsyncExitStack()
        self._listeners = list(options.listeners) or [socket.create_server(("127.0.0.1", 0))]
        self.port: int = self._listeners[0].getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self.pki: PKI
        self.storage: Storage

    def kubeconfig(self, user: str = "admin", groups: Sequence[str] = ("system:masters",)) -> Manifest:
        """A kubeconfig for a user of this server."""
        return self.pki.client_config(self.url, user, groups)

    async def __aenter__(self) -> "APIServer":
        options = self._options
        services = ServiceAddresses(options.service_ranges)
        reached = [host for host, _ in options.advertised]
        self.pki = PKI.create(options.pki, options.name, [*LOCAL, *IN_CLUSTER, *services.first(), *reached])
        async with contextlib.AsyncExitStack() as stack:
            storage = self.storage = Storage(Disk(options.state) if options.state else None, options.window)
            stack.callback(storage.close)
            kinds, authority = Kinds(map(_with_schema, BUILT_IN)), self.pki.ca.read_text()
            cluster = Cluster(options.name, storage, kinds, self._clock, authority)
            server, works = self._assembled(cluster, services)
            tls = server_tls(*self.pki.serving, client_ca=self.pki.ca)
            await stack.enter_async_context(serve(server.handle, self._listeners, tls))
            await stack.enter_async_context(_under_way(works))
            # Watches end first, so that nobody waits for them.
            stack.callback(storage.end_watches)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _assembled(self, cluster: Cluster, services: ServiceAddresses) -> tuple[Server, list[Work]]:
        storage, housekeeper = cluster.storage, Housekeeper(self._clock)
        grants = Grants(storage)
        authorizer = Authorizer(grants)
        policies = Policies(cluster, authorizer)
        definitions, deleting = Definitions(cluster), Deleting(cluster, policies)
        admission = Admission(cluster, services, definitions)
        writing = Writing(cluster, admission, authorizer, Escalation(grants, authorizer), policies)
        aggregation = Aggregation(cluster, writing, housekeeper)
        garbage = Garbage(cluster, deleting, housekeeper)
        contents = Contents(cluster, writing, deleting, housekeeper)
        storage.collection(CRDS).listeners.append(definitions.seen)
        storage.collection(SERVICES).listeners.append(services.seen)
        expiry = Expiry(cluster, housekeeper)
        storage.collection("events").listeners.append(expiry.seen)
        for collection, change in _restored(storage):
            for listener in collection.listeners:
                listener(change)
            garbage.known(collection.name, change.record)
        storage.listeners += [garbage.seen, contents.seen]
        contents.start()
        defaultroles.start(cluster, writing)
        aggregation.start()
        _advertise(cluster, writing, services.first()[0], self._options.advertised)
        tokens = Tokens(cluster, self.pki.signing_key())
        verbs = Verbs(
            cluster, writing, deleting, Reviews(cluster, tokens, grants, authorizer), self._options.kubelet_socket
        )
        return Server(cluster, verbs, tokens, authorizer), [housekeeper.run, expiry.run]


@contextlib.asynccontextmanager
async def _under_way(works: Sequence[Work]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work(), name=work.__qualname__) for work in works]
        yield
        for each in running:
            each.cancel()


def _with_schema(kind: Kind) -> Kind:
    schema = builtin_schema(kind.group, kind.version, kind.kind)
    stored = builtin_schema("", "v1", "Event") if kind.group == EVENTS_GROUP else schema
    return replace(kind, schema=schema, stored_schema=stored)


def _restored(storage: Storage) -> Iterator[tuple[Collection, Change]]:
    """What was on disk, as changes for those who keep in step; definitions come before what they define."""
    for collection in sorted(storage.collections(), key=lambda each: each.name != CRDS):
        for record in list(collection.within()):
            yield collection, Change(record.revision, ADDED, record, None)


def _advertise(cluster: Cluster, writing: Writing, address: str, reached: Sequence[tuple[str, int]]) -> None:
    """Make or correct the Service `kubernetes` and its endpoints: none while only loopback is listened on."""
    services, slices = (
        cluster.kinds.at("", "v1", SERVICES),
        cluster.kinds.at("discovery.k8s.io", "v1", "endpointslices"),
    )
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": reached[0][1] if reached else 443}]
    labels = {"component": "apiserver", "provider": "kubernetes"}
    service = {"metadata": {"name": "kubernetes", "labels": labels}, "spec": {"clusterIP": address, "ports": ports}}
    _keep(cluster, writing, services, service)
    for family, name in (("IPv4", "kubernetes"), ("IPv6", "kubernetes-ipv6")):
        own = [(host, port) for host, port in reached if (":" in host) == (family == "IPv6")]
        if own or family == "IPv4":
            _keep(cluster, writing, slices, _slice_of(name, family, own))


def _slice_of(name: str, family: str, reached: Sequence[tuple[str, int]]) -> Manifest:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": family,
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}} for host, _ in reached],
        "ports": [{"name": "https", "port": reached[0][1] if reached else 443, "protocol": "TCP"}],
    }


def _keep(cluster: Cluster, writing: Writing, kind: Kind, obj: Manifest) -> None:
    write = Write(kind, "default", obj["metadata"]["name"], manager=MANAGER)
    if cluster.collection(kind).get(write.key) is None:
        writing.create(write, obj)
    else:
        writing.update(write, obj)
