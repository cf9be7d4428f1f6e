"""What an agent reads: its own cluster, and its set on the hub, each through informers that all controllers share."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias, TypeVar

from isthmus.api import core, isthmus, mcs
from isthmus.api.core import EndpointSlice, Namespace, Node, Service
from isthmus.api.isthmus import ExportedEndpoints, ExportedService, ExportGrant, Member
from isthmus.api.mcs import ServiceExport, ServiceImport
from isthmus.api.meta import Object
from isthmus.api.scheme import Resource
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer, Pinned, Selection
from isthmus.mcs.controllers.kinds import KNOWN, Kinds
from isthmus.mcs.rules.names import export_name
from isthmus.runtime.converge import Converger
from isthmus.runtime.fleet import Cluster
from isthmus.runtime.reconcile import Request

T = TypeVar("T")
Index: TypeAlias = Callable[[T], Iterable[str]]

# Servers end a request line at 8 KiB, aiohttp's as well as many proxies.
_LONGEST_SELECTOR = 6000
# Seconds without an answer before anybody is told.
_HICCUP = 30.0

# Names of indexes. The key of the first two is "<namespace>/<name>" of a service.
SERVICE = "service"
IMPORT = "import"
CLUSTER = "cluster"
NAMESPACE = "namespace"


def key_of(request: Request) -> str:
    """The index key of the service that a request names."""
    return f"{request.namespace}/{request.name}"


class MemberView:
    """The agent's own cluster."""

    def __init__(self, cluster: str, client: Client, *, kinds: Kinds = KNOWN, clock: Clock = SYSTEM) -> None:
        self.cluster = cluster
        self.client = client
        self.kinds = kinds
        self.namespaces: Informer[Namespace] = Informer(client, core.NAMESPACES, clock=clock)
        self.nodes: Informer[Node] = Informer(client, core.NODES, clock=clock)
        self.services: Informer[Service] = Informer(
            client, core.SERVICES, indexes={IMPORT: _derived_import}, clock=clock
        )
        self.slices: Informer[EndpointSlice] = Informer(
            client,
            core.ENDPOINT_SLICES,
            indexes={SERVICE: _backed_service, IMPORT: _backed_import},
            clock=clock,
        )
        self.exports: Informer[ServiceExport] = Informer(client, kinds.exports, clock=clock)
        self.imports: Informer[ServiceImport] = Informer(client, kinds.imports, clock=clock)
        self.exports.relist_when_unknown = self.imports.relist_when_unknown = True

    def as_cluster(self) -> Cluster:
        """This view as the runtime's fleet engages it."""
        informers = (self.namespaces, self.nodes, self.services, self.slices, self.exports, self.imports)
        return Cluster(self.cluster, self.client, informers)

    def request(self, namespace: str, name: str) -> Request:
        """The key of one service, as all controllers of this agent use it."""
        return Request(self.cluster, namespace, name)

    def has_namespace(self, name: str) -> bool:
        """Whether things can be made there: it exists, and is not on its way out."""
        namespace = self.namespaces.store.get(name)
        return namespace is not None and namespace.metadata.deletion_timestamp is None


class HubView:
    """The agent's set, as the hub holds it.

    Exports are watched in the namespaces that this cluster has: a filtered event costs the API server a third of a
    sent one. What the own cluster exports in others is known by lists, so that it can be taken back.
    """

    def __init__(self, cluster: str, client: Client, *, namespace: str, clock: Clock = SYSTEM) -> None:
        self.cluster = cluster
        self.client = client
        self.namespace = namespace
        self._clock = clock
        self._silence = (0.0, "")
        self._selected: frozenset[str] = frozenset()
        services = {SERVICE: _exported_service, CLUSTER: _exporter, NAMESPACE: _exported_namespace}
        self.exports = self._informer(isthmus.EXPORTED_SERVICES, services)
        self.chunks = self._informer(isthmus.EXPORTED_ENDPOINTS, {SERVICE: _chunked_service, CLUSTER: _exporter})
        own = Pinned(Selection(f"{isthmus.CLUSTER_LABEL}={cluster}"), CLUSTER, cluster)
        self.exports.pinned = self.chunks.pinned = own
        self.select(frozenset())
        self.members = self._informer(isthmus.MEMBERS)
        self.grants = self._informer(isthmus.EXPORT_GRANTS)

    @property
    def informers(
        self,
    ) -> tuple[Informer[ExportedService], Informer[ExportedEndpoints], Informer[Member], Informer[ExportGrant]]:
        """All that is watched on the hub: each costs its API server a watch per member."""
        return (self.exports, self.chunks, self.members, self.grants)

    def relist(self) -> None:
        """Read all of it anew: what was noted may never have been, or be no longer."""
        for informer in self.informers:
            informer.relist()

    @property
    def synced(self) -> bool:
        """Whether the hub was read completely once: before, nothing may be concluded from it."""
        return all(informer.synced for informer in self.informers)

    def when_synced(self, handler: Callable[[], None]) -> None:
        """Have `handler` called once the hub was read completely for the first time."""
        waiting = [handler]

        def listed() -> None:
            if waiting and self.synced:
                waiting.pop()()

        for informer in self.informers:
            informer.when_listed(listed)

    def silence(self) -> str:
        """Since when the hub does not answer, in words; nothing while it does, or for a mere hiccup."""
        since = self.exports.failing_since
        if since is None or self._clock.monotonic() - since < _HICCUP:
            return ""
        if since != self._silence[0]:
            moment = self._clock.now() - timedelta(seconds=self._clock.monotonic() - since)
            self._silence = (since, moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
        return self._silence[1]

    def as_cluster(self) -> Cluster:
        """This view as the runtime's fleet engages it."""
        return Cluster("hub", self.client, self.informers)

    def select(self, namespaces: frozenset[str]) -> None:
        """Watch what is exported in these namespaces, and nothing else."""
        self._selected = namespaces
        selection = Selection(_exported_in(namespaces))
        self.exports.select(selection)
        self.chunks.select(selection)

    def look_at(self, namespace: str) -> None:
        """Have it heard of what was written into that namespace, also where nothing is watched."""
        if namespace not in self._selected:
            self.exports.relist()
            self.chunks.relist()

    def is_own(self, item: Object) -> bool:
        """Whether this cluster wrote it: the name's prefix is what the hub ties to the writer."""
        return item.metadata.name.startswith(f"{self.cluster}.")

    def exports_of(self, key: str) -> list[ExportedService]:
        """What all clusters export under one "<namespace>/<name>", as the hub echoes it."""
        return [export for export in self.exports.store.by(SERVICE, key) if is_genuine(export)]

    def own_exports_of(self, key: str) -> list[ExportedService]:
        """What this cluster exports under that key: one object, or none."""
        return [export for export in self.exports_of(key) if self.is_own(export)]

    def own_chunks_of(self, key: str) -> list[ExportedEndpoints]:
        """The endpoint chunks of this cluster's export."""
        return [chunk for chunk in self.chunks.store.by(SERVICE, key) if self.is_own(chunk)]

    def chunks_of(self, key: str) -> dict[str, list[ExportedEndpoints]]:
        """The endpoint chunks of one service, by cluster."""
        found: dict[str, list[ExportedEndpoints]] = {}
        for chunk in self.chunks.store.by(SERVICE, key):
            if chunk.spec is not None and chunk.metadata.name.startswith(f"{chunk.spec.cluster}."):
                found.setdefault(chunk.spec.cluster, []).append(chunk)
        return found

    def _informer(self, resource: Resource[T], indexes: Mapping[str, Index[T]] | None = None) -> Informer[T]:
        return Informer(self.client, resource, namespace=self.namespace, indexes=indexes or {}, clock=self._clock)


@dataclass(frozen=True)
class Views:
    """The two sides of an agent, to read."""

    member: MemberView
    hub: HubView


@dataclass(frozen=True)
class Writers:
    """The two sides of an agent, to write."""

    member: Converger
    hub: Converger

    def follow(self, views: Views) -> None:
        """Let both read their own writes."""
        self.member.follow(core.SERVICES, views.member.services)
        self.member.follow(core.ENDPOINT_SLICES, views.member.slices)
        self.member.follow(views.member.kinds.imports, views.member.imports)
        self.member.follow(views.member.kinds.exports, views.member.exports)
        self.hub.follow(isthmus.EXPORTED_SERVICES, views.hub.exports)
        self.hub.follow(isthmus.EXPORTED_ENDPOINTS, views.hub.chunks)


def _exported_in(namespaces: frozenset[str]) -> str:
    """The selector of what is exported in these namespaces."""
    if not namespaces:
        return f"{isthmus.NAMESPACE_LABEL},!{isthmus.NAMESPACE_LABEL}"  # nothing; `in ()` is no selector
    listed = f"{isthmus.NAMESPACE_LABEL} in ({','.join(sorted(namespaces))})"
    # A longer selector than servers accept in a URL: then everything is read, and most of it ignored.
    return listed if len(listed) <= _LONGEST_SELECTOR else ""


def is_genuine(export: ExportedService) -> bool:
    """Whether it is what its name says; the name's prefix is what the hub ties to the writer."""
    spec = export.spec
    return spec is not None and export.metadata.name == export_name(spec.cluster, spec.namespace, spec.name)


def _exported_service(item: ExportedService) -> Iterator[str]:
    if item.spec is not None:
        yield f"{item.spec.namespace}/{item.spec.name}"


def _exporter(item: Object) -> Iterator[str]:
    # By its label, as the hub selects.
    yield item.metadata.labels.get(isthmus.CLUSTER_LABEL, "")


def _exported_namespace(item: ExportedService) -> Iterator[str]:
    if item.spec is not None:
        yield item.spec.namespace


def _chunked_service(item: ExportedEndpoints) -> Iterator[str]:
    if item.spec is not None:
        yield f"{item.spec.namespace}/{item.spec.name}"


def _derived_import(item: Service) -> Iterator[str]:
    if item.metadata.labels.get(isthmus.MARKER_LABEL) == isthmus.MANAGED_BY:
        yield f"{item.metadata.namespace}/{item.metadata.labels.get(mcs.SERVICE_NAME_LABEL, '')}"


def _backed_service(item: EndpointSlice) -> Iterator[str]:
    if name := item.metadata.labels.get(core.SERVICE_NAME_LABEL):
        yield f"{item.metadata.namespace}/{name}"


def _backed_import(item: EndpointSlice) -> Iterator[str]:
    if name := item.metadata.labels.get(mcs.SERVICE_NAME_LABEL):
        yield f"{item.metadata.namespace}/{name}"
