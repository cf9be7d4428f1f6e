"""One cluster of either kind, whose API server a test may take away and bring back."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import yaml

from isthmus.api.core import CRDS, NAMESPACES
from isthmus.api.crds import MCS_CRDS
from isthmus.api.mcs import SERVICE_IMPORTS
from isthmus.apiserver.app import APIServer, ServerOptions
from isthmus.errors import Conflict
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from tests.real.controlplane import ControlPlane

LIMIT = 60.0


async def eventually(holds: Callable[[], Awaitable[bool]], *, within: float = LIMIT) -> None:
    """Return once the condition holds; fail when it does not in time."""
    async with asyncio.timeout(within):
        while not await holds():
            await asyncio.sleep(0.02)


class Place(Protocol):
    """A cluster."""

    kubeconfig: Path

    async def take_away(self) -> None: ...

    async def bring_back(self) -> None: ...


class Embedded:
    """The embedded API server, inside this process, with its state on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0
        self._stack = contextlib.AsyncExitStack()
        self.kubeconfig = folder / "kubeconfig"

    async def bring_back(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        options = ServerOptions("east", self._folder / "pki", self._folder / "state.db", listeners=(listener,))
        server = await self._stack.enter_async_context(APIServer(options))
        self.kubeconfig.write_text(yaml.safe_dump(server.kubeconfig()))

    async def take_away(self) -> None:
        await self._stack.aclose()


class Real:
    """A real control plane; its kube-apiserver is killed with -9."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.kubeconfig = plane.kubeconfig

    async def bring_back(self) -> None:
        if "kube-apiserver" not in self._plane.processes:
            # Not in a thread: the server would die with it.
            self._plane.start_server()

    async def take_away(self) -> None:
        self._plane.kill("kube-apiserver")


@contextlib.asynccontextmanager
async def admin_of(place: Place) -> AsyncIterator[Client]:
    """A client with all rights, on a cluster with the CRDs of the Multi-Cluster Services API."""
    async with Client(load_kubeconfig([place.kubeconfig])) as client:
        for manifest in MCS_CRDS:
            with contextlib.suppress(Conflict):
                await client.create(CRDS, manifest)
        await eventually(lambda: client.serves(SERVICE_IMPORTS))
        yield client


@contextlib.asynccontextmanager
async def namespace(client: Client, name: str) -> AsyncIterator[str]:
    """A namespace for the length of a block."""
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        await client.delete(NAMESPACES, name)
