"""One cluster of a test: an API server, and what a test does there by hand."""

import shutil
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Protocol

import yaml

from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.core import ENDPOINT_SLICES, LEASES, NAMESPACES, SERVICES, EndpointSlice, Service
from isthmus.api.isthmus import MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.api.mcs import (
    SERVICE_EXPORTS,
    SERVICE_IMPORTS,
    SERVICE_NAME_LABEL,
    SOURCE_CLUSTER_LABEL,
    ServiceExport,
    ServiceImport,
)
from isthmus.api.scheme import Manifest
from isthmus.apiserver.app import APIServer, ServerOptions
from isthmus.errors import NotFound
from isthmus.kube.client import Client, ListOptions, WriteOptions
from isthmus.kube.config import load_kubeconfig
from isthmus.testing import objects
from isthmus.testing.waiting import WITHIN, eventually

BY_HAND = WriteOptions(manager="test", force=True)


class Host(Protocol):
    """An API server that can be stopped and started again at the same address."""

    kubeconfig: Path
    # Others will use it after this test: what it holds is cleared away by hand.
    shared: bool

    async def start(self) -> None:
        """Serve, with what was stored before; at once again after `stop`."""

    async def stop(self) -> None:
        """Be away."""


class EmbeddedHost:
    """An API server in this process, its state in SQLite."""

    shared = False

    def __init__(self, name: str, folder: Path, number: int) -> None:
        self.kubeconfig = folder / name / "kubeconfig"
        self._name = name
        self._folder = folder / name
        self._number = number
        self._port = 0
        self._serving: AsyncExitStack | None = None

    async def start(self) -> None:
        """Serve, with what was stored before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        options = ServerOptions(
            name=self._name,
            pki=self._folder / "pki",
            state=self._folder / "state.db",
            service_ranges=(f"10.{self._number}.128.0/17", f"fd69:{self._number}:1::/112"),
            listeners=(listener,),
            # Nobody here reaches it by this address; loopback ones are refused as endpoints.
            advertised=((f"10.0.0.{self._number + 1}", 6443),),
        )
        self._serving = AsyncExitStack()
        server = await self._serving.enter_async_context(APIServer(options))
        self.kubeconfig.write_text(yaml.safe_dump(server.kubeconfig()))

    async def stop(self) -> None:
        """Be away."""
        serving, self._serving = self._serving, None
        if serving is not None:
            await serving.aclose()

    def empty(self) -> None:
        """Forget everything that was stored; only while stopped."""
        for file in self._stored():
            file.unlink()

    def back_up(self) -> None:
        """Keep a copy of all that is stored; only while stopped."""
        for file in self._stored():
            shutil.copy(file, self._folder / f"backup-{file.name}")

    def restore(self) -> None:
        """Go back to the copy; only while stopped."""
        self.empty()
        for file in self._folder.glob("backup-*"):
            shutil.copy(file, self._folder / file.name.removeprefix("backup-"))

    async def restore_and_go_on(self, writes: int) -> None:
        """Go back to the copy, and from there so many writes ahead before anybody can ask; only while stopped."""
        self.restore()
        elsewhere = EmbeddedHost(self._name, self._folder.parent, self._number)
        await elsewhere.start()
        try:
            async with Client(load_kubeconfig([elsewhere.kubeconfig])) as client:
                for number in range(writes):
                    manifest = {"metadata": {"name": "passing", "labels": {"number": str(number)}}}
                    await client.apply(NAMESPACES, manifest, options=BY_HAND)
        finally:
            await elsewhere.stop()

    def _stored(self) -> list[Path]:
        assert self._serving is None, "stop it first"
        return list(self._folder.glob("state.db*"))


class TestCluster:
    """A cluster, a client of an admin, and what tests do there by hand; `async with` starts and ends it."""

    __test__ = False  # pytest must not take it for a test

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        self.host = host
        self.client: Client
        self._stack = AsyncExitStack()
        self._namespaces: list[str] = []

    async def __aenter__(self) -> "TestCluster":
        await self.host.start()
        self.client = await self._stack.enter_async_context(self.connect())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.host.shared:
            await self._tidy()
        await self._stack.aclose()
        await self.host.stop()

    def connect(self) -> Client:
        """Another client, with connections of its own, to be entered."""
        return Client(load_kubeconfig([self.host.kubeconfig]))

    async def _tidy(self) -> None:
        for name in self._namespaces:
            with suppress(NotFound):
                await self.client.delete(NAMESPACES, name)
        for kind in ("clusterset.k8s.io", "cluster.clusterset.k8s.io"):
            with suppress(NotFound):
                await self.client.delete(CLUSTER_PROPERTIES, kind)
        for namespace in (SYSTEM_NAMESPACE, MEMBERS_NAMESPACE):
            with suppress(NotFound):
                await self.client.delete_collection(LEASES, namespace=namespace)

    def cleared_later(self, namespace: str) -> None:
        """Delete this namespace at the end, where the server lives longer than the test."""
        self._namespaces.append(namespace)

    async def namespace(self, *names: str) -> None:
        """Make namespaces."""
        for name in names:
            self.cleared_later(name)
            manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await self.client.apply(NAMESPACES, manifest, options=BY_HAND)

    async def serve(
        self, namespace: str, name: str, addresses: Sequence[str], *, service: Manifest | None = None
    ) -> None:
        """A Service with ready endpoints, as if pods backed it; the slice of the addresses' family is replaced."""
        manifest = service or objects.service(namespace, name)
        await self.client.apply(SERVICES, manifest, namespace=namespace, options=BY_HAND)
        await self.back(namespace, name, addresses)

    async def back(self, namespace: str, name: str, addresses: Sequence[str]) -> None:
        """Change the endpoints of a Service, as if pods had come or gone."""
        piece = objects.endpoints(namespace, name, addresses)
        await self.client.apply(ENDPOINT_SLICES, piece, namespace=namespace, options=BY_HAND)

    async def export(self, namespace: str, name: str, **spec: object) -> None:
        """A ServiceExport, as `kubectl apply` would make it."""
        manifest = objects.service_export(namespace, name, **spec)
        await self.client.apply(SERVICE_EXPORTS, manifest, namespace=namespace, options=BY_HAND)

    async def unexport(self, namespace: str, name: str) -> None:
        """Delete a ServiceExport."""
        with suppress(NotFound):
            await self.client.delete(SERVICE_EXPORTS, name, namespace=namespace)

    async def service_import(self, namespace: str, name: str) -> ServiceImport:
        """The ServiceImport; NotFound without."""
        return await self.client.get(SERVICE_IMPORTS, name, namespace=namespace)

    async def service_export(self, namespace: str, name: str) -> ServiceExport:
        """The ServiceExport; NotFound without."""
        return await self.client.get(SERVICE_EXPORTS, name, namespace=namespace)

    async def derived(self, namespace: str, name: str) -> Service | None:
        """The Service that stands in for an import."""
        found = await self.client.list(
            SERVICES, namespace=namespace, options=ListOptions(labels=f"{SERVICE_NAME_LABEL}={name}")
        )
        return found.items[0] if found.items else None

    async def slices(self, namespace: str, name: str, source: str = "") -> list[EndpointSlice]:
        """The imported EndpointSlices, of one source cluster or all, by name."""
        labels = f"{SERVICE_NAME_LABEL}={name}"
        if source:
            labels += f",{SOURCE_CLUSTER_LABEL}={source}"
        found = await self.client.list(ENDPOINT_SLICES, namespace=namespace, options=ListOptions(labels=labels))
        return sorted(found.items, key=lambda each: each.metadata.name)

    async def addresses(self, namespace: str, name: str, source: str = "") -> set[str]:
        """All addresses of the imported EndpointSlices."""
        slices = await self.slices(namespace, name, source)
        return {address for each in slices for point in each.endpoints for address in point.addresses}

    async def condition(self, namespace: str, name: str, kind: str) -> str:
        """Status and reason of one condition of a ServiceExport: "True/Exported"; empty without."""
        export = await self.service_export(namespace, name)
        for condition in export.status.conditions if export.status is not None else ():
            if condition.type == kind:
                return f"{condition.status}/{condition.reason}"
        return ""

    async def wait_import(self, namespace: str, name: str, *, within: float = WITHIN) -> ServiceImport:
        """The ServiceImport, once it is Ready."""

        async def check() -> ServiceImport | None:
            item = await self.service_import(namespace, name)
            conditions = item.status.conditions if item.status is not None else ()
            return item if any((each.type, each.status) == ("Ready", "True") for each in conditions) else None

        return await eventually(check, within=within, what=f"import {name} ready in {self.name}")

    async def wait_no_import(self, namespace: str, name: str, *, within: float = WITHIN) -> None:
        """Return once there is neither ServiceImport, nor slice, nor derived Service."""

        async def check() -> bool:
            try:
                await self.service_import(namespace, name)
            except NotFound:
                return not await self.slices(namespace, name) and await self.derived(namespace, name) is None
            return False

        await eventually(check, within=within, what=f"nothing of {name} in {self.name}")

    async def wait_addresses(self, namespace: str, name: str, addresses: set[str], *, within: float = WITHIN) -> None:
        """Return once the imported slices hold exactly these addresses."""

        async def check() -> bool:
            return await self.addresses(namespace, name) == addresses

        await eventually(check, within=within, what=f"{name} in {self.name} at {sorted(addresses)}")

    async def wait_condition(
        self, namespace: str, name: str, kind: str, wanted: str, *, within: float = WITHIN
    ) -> None:
        """Return once a condition of the ServiceExport is as wanted: "True/Exported"; empty: not there."""

        async def check() -> bool:
            return await self.condition(namespace, name, kind) == wanted

        await eventually(check, within=within, what=f"{kind} of {name} in {self.name} is {wanted}")
