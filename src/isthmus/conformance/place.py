"""One cluster as one check uses it: what is made there, what is seen there, how it answers from inside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from isthmus.api.apps import DEPLOYMENTS, STATEFUL_SETS, Pod, pods_of
from isthmus.api.core import (
    ENDPOINT_SLICES,
    NAMESPACES,
    PODS,
    SERVICE_NAME_LABEL,
    SERVICES,
    EndpointSlice,
    Service,
)
from isthmus.api.mcs import (
    SERVICE_EXPORTS,
    SERVICE_IMPORTS,
    SOURCE_CLUSTER_LABEL,
    ServiceExport,
    ServiceImportSpec,
    ServiceImportStatus,
)
from isthmus.api.mcs import SERVICE_NAME_LABEL as IMPORT_LABEL
from isthmus.api.meta import Condition
from isthmus.api.scheme import Manifest, Resource
from isthmus.conformance import manifests
from isthmus.conformance.manifests import HELLO
from isthmus.conformance.probing import Lookup, Prober, Reply, Traffic
from isthmus.conformance.witness import ANSWER, POD, SOON, STEADY, Bound, Witness
from isthmus.errors import NotFound
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.config import Config

T = TypeVar("T")
_NO_STATUS = ServiceImportStatus()


@dataclass(frozen=True)
class Imported:
    """A ServiceImport as it is in one cluster."""

    labels: dict[str, str]
    annotations: dict[str, str]
    spec: ServiceImportSpec
    status: ServiceImportStatus

    @property
    def clusters(self) -> list[str]:
        """The exporting clusters, by id."""
        return [source.cluster for source in self.status.clusters]

    @property
    def ports(self) -> set[tuple[str, str, int, str]]:
        """Name, protocol, number and appProtocol of each port."""
        return {(p.name, p.protocol or "TCP", p.port, p.app_protocol or "") for p in self.spec.ports}


@dataclass(frozen=True)
class Place:
    """A cluster, and the check's namespace there; `name` is its context."""

    name: str
    config: Config
    client: Client
    namespace: str
    image: str
    witness: Witness
    prober: Prober | None = None

    async def put(self, resource: Resource[T], manifest: Manifest) -> T:
        """Create an object in the check's namespace."""
        return await self.client.create(resource, manifest, namespace=self.namespace)

    async def begin(self) -> None:
        """Make the check's namespace here."""
        await self.client.create(NAMESPACES, manifests.namespace(self.namespace))

    async def end(self) -> None:
        """Delete the namespace, without waiting; it may never have come, or be gone already."""
        try:
            await self.client.delete(NAMESPACES, self.namespace)
        except NotFound:
            return

    async def serve(self, service: Manifest | None = None, *, replicas: int = 1) -> Service:
        """Make a Service, `hello` as upstream has it by default, and so many backends for it."""
        made = await self.put(SERVICES, service or manifests.service())
        if replicas:
            await self.deploy(replicas=replicas, name=made.metadata.name)
        return made

    async def deploy(self, *, replicas: int = 1, name: str = HELLO, ports: Sequence[int] = (manifests.PORT,)) -> None:
        """Run backends."""
        await self.put(DEPLOYMENTS, manifests.deployment(self.image, replicas=replicas, name=name, ports=ports))

    async def run_pod(self, name: str, labels: Mapping[str, str], **spec: object) -> None:
        """Run one backend alone."""
        await has_account(self.client, self.namespace, self.witness)
        await self.put(PODS, manifests.backend_pod(self.image, name, labels, **spec))

    async def deploy_named(self, replicas: int) -> None:
        """Run backends with names of their own."""
        await self.put(STATEFUL_SETS, manifests.stateful_set(self.image, replicas=replicas))

    async def scale(self, replicas: int) -> None:
        """So many backends from now on."""
        await self.client.merge_patch(DEPLOYMENTS, HELLO, {"spec": {"replicas": replicas}}, namespace=self.namespace)

    async def change(self, spec: Manifest, name: str = HELLO) -> None:
        """Change fields of the Service's spec (a merge patch)."""
        await self.client.merge_patch(SERVICES, name, {"spec": spec}, namespace=self.namespace)

    async def export(self, name: str = HELLO, spec: Manifest | None = None) -> None:
        """Export the Service."""
        await self.put(SERVICE_EXPORTS, manifests.export(name, spec))

    async def unexport(self, name: str = HELLO) -> None:
        """Stop exporting it."""
        await self.client.delete(SERVICE_EXPORTS, name, namespace=self.namespace)

    async def service(self, name: str = HELLO) -> Service:
        """The Service as stored."""
        return await self.client.get(SERVICES, name, namespace=self.namespace)

    async def service_export(self, name: str = HELLO) -> ServiceExport:
        """The ServiceExport as stored."""
        return await self.client.get(SERVICE_EXPORTS, name, namespace=self.namespace)

    async def service_import(self, name: str = HELLO) -> Imported | None:
        """The ServiceImport as stored, if there is one with a spec."""
        try:
            seen = await self.client.get(SERVICE_IMPORTS, name, namespace=self.namespace)
        except NotFound:
            return None
        if seen.spec is None:
            return None
        return Imported(seen.metadata.labels, seen.metadata.annotations, seen.spec, seen.status or _NO_STATUS)

    async def condition(self, kind: str, name: str = HELLO) -> Condition | None:
        """A condition of the ServiceExport."""
        status = (await self.service_export(name)).status
        return next((each for each in (status.conditions if status else ()) if each.type == kind), None)

    async def imported_slices(self, name: str = HELLO) -> list[EndpointSlice]:
        """The EndpointSlices of the import: those with both labels of MCS."""
        found = await self._slices(f"{IMPORT_LABEL}={name}")
        return [each for each in found if each.metadata.labels.get(SOURCE_CLUSTER_LABEL)]

    async def own_slices(self, name: str = HELLO) -> list[EndpointSlice]:
        """The EndpointSlices that this cluster's own Service has."""
        found = await self._slices(f"{SERVICE_NAME_LABEL}={name}")
        return [each for each in found if IMPORT_LABEL not in each.metadata.labels]

    async def _slices(self, labels: str) -> list[EndpointSlice]:
        listed = await self.client.list(ENDPOINT_SLICES, namespace=self.namespace, options=ListOptions(labels=labels))
        return list(listed.items)

    async def pods(self, name: str = HELLO) -> list[Pod]:
        """The backends that are not about to end."""
        listed = await self.client.list(PODS, namespace=self.namespace, options=ListOptions(labels=f"app={name}"))
        return [pod for pod in pods_of(listed.items) if pod.metadata.deletion_timestamp is None]

    # What is waited for.

    async def imports(
        self, what: str, holds: Callable[[Imported], bool] = lambda _: True, bound: Bound = SOON, name: str = HELLO
    ) -> Imported:
        """The ServiceImport, once it is there and holds."""
        return await self.witness.until(f"{self.name}: {what}", lambda: self.service_import(name), holds, bound)

    async def imports_nothing(self, bound: Bound = SOON, name: str = HELLO) -> None:
        """Wait until the ServiceImport is gone."""

        async def absent() -> str:
            return "there" if await self.service_import(name) else "gone"

        await self.witness.until(f"{self.name}: the ServiceImport is gone", absent, lambda seen: seen == "gone", bound)

    async def keeps_import(self, there: bool, bound: Bound = STEADY, name: str = HELLO) -> None:
        """Hold the ServiceImport to be there, or not to be, all the time."""
        what = f"{self.name}: {'the' if there else 'no'} ServiceImport"
        await self.witness.throughout(
            what, lambda: self.service_import(name), lambda one: (one is not None) == there, bound
        )

    async def says(
        self, kind: str, status: str, holds: Callable[[Condition], bool] = lambda _: True, name: str = HELLO
    ) -> Condition:
        """A condition of the ServiceExport, once it has the status and holds."""
        return await self.witness.until(
            f"{self.name}: {kind} of ServiceExport {name} is {status}",
            lambda: self.condition(kind, name),
            lambda one: one.status == status and holds(one),
        )

    async def addresses(self, family: str, count: int = 1, name: str = HELLO) -> list[str]:
        """The addresses of so many ready backends of this cluster, from Kubernetes' own EndpointSlices."""

        async def ready() -> list[str]:
            return ready_addresses(await self.own_slices(name), family)

        what = f"{self.name}: {count} ready backends with {family}"
        return await self.witness.until(what, ready, lambda seen: len(seen) == count, replace(POD, every=0.2))

    # What is asked from inside.

    @property
    def inside(self) -> Prober:
        """The asking pod."""
        assert self.prober is not None, "a check that asks from inside is declared with pods=True"
        return self.prober

    async def traffic(self, question: Traffic) -> list[str]:
        """What is answered, try by try."""
        return await self.inside.traffic(question)

    async def answers(
        self, what: str, question: Traffic, holds: Callable[[list[str]], bool], bound: Bound = ANSWER
    ) -> list[str]:
        """The answers, once they hold."""
        return await self.witness.until(f"{self.name}: {what}", lambda: self.traffic(question), holds, bound)

    async def resolves(
        self, what: str, question: Lookup, holds: Callable[[Reply], bool], bound: Bound = ANSWER
    ) -> Reply:
        """The reply of the cluster's DNS, once it holds."""

        async def reply() -> Reply:
            return (await self.inside.lookups([question]))[0]

        return await self.witness.until(f"{self.name}: {question.type} {question.name} {what}", reply, holds, bound)


async def has_account(client: Client, namespace: str, witness: Witness) -> None:
    """Wait until a namespace has its default account: before, its pods are refused."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    await witness.until("the namespace has its service account", lambda: client.raw("GET", path), bool, POD)


def ready_addresses(slices: Sequence[EndpointSlice], family: str) -> list[str]:
    """The addresses of one family that take traffic; absent `ready` means ready."""
    ready = [
        endpoint
        for each in slices
        if each.address_type == family
        for endpoint in each.endpoints
        if endpoint.conditions.ready is not False
    ]
    return sorted({address for endpoint in ready for address in endpoint.addresses})
