"""A cluster in this process, with what its residents share; and a network where service addresses are local."""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Self, TypeVar, cast

import pytest
import yaml

from isthmus.api.core import PODS
from isthmus.api.scheme import Manifest, Resource
from isthmus.apiserver.app import APIServer, ServerOptions
from isthmus.errors import IsthmusError
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.informer import Informer
from isthmus.kube.request import DeleteOptions
from isthmus.local.namespaces import NEW_NETWORK, enter, new_network
from isthmus.local.netlink import Netlink

T = TypeVar("T")

SERVICE_RANGES = ("10.9.128.0/17", "fd69:9:1::/112")
POD_RANGES = ("10.9.0.0/17", "fd69:9::/64")
LIMIT = 20.0
KUBECTL = Path(sys.executable).with_name("kubectl")


class Around:
    """What residents share, over one embedded cluster."""

    def __init__(self, client: Client, tasks: "Residents", kubeconfig: Path, *, namespace: str = "default") -> None:
        self.client = client
        self.namespace = namespace
        self.clock: Clock = SYSTEM
        self.kubeconfig = kubeconfig
        self.tasks = tasks
        self._informers: dict[str, object] = {}

    def informer(self, resource: Resource[T]) -> Informer[T]:
        """The one informer of this kind."""
        if resource.plural not in self._informers:
            made = Informer(self.client, resource)
            self._informers[resource.plural] = made
            self.tasks.create_task(made.run())
        return cast("Informer[T]", self._informers[resource.plural])

    async def make(self, resource: Resource[T], manifest: Manifest) -> T:
        """Create an object in the test's namespace, where the kind has one."""
        namespace = self.namespace if resource.namespaced else ""
        return await self.client.create(resource, manifest, namespace=namespace)


class Residents:
    """Tasks that end with the test; one that fails fails the test."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def create_task(self, job: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run `job` until the test ends."""
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        return task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        errors = [each for each in ended if isinstance(each, Exception)]
        assert not errors, errors


@contextlib.asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Around]:
    """An embedded cluster, with its files in `folder`; what runs in its tasks ends with it."""
    options = ServerOptions(name="east", pki=folder / "pki", service_ranges=SERVICE_RANGES)
    async with APIServer(options) as server:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(server.kubeconfig()))
        async with Client(load_kubeconfig([kubeconfig])) as client, Residents() as tasks:
            yield Around(client, tasks, kubeconfig)


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[Around]:
    """An embedded cluster without controllers."""
    async with embedded(tmp_path) as around:
        yield around


async def eventually(truth: Callable[[], bool | Awaitable[bool]], *, limit: float = LIMIT) -> None:
    """Return once `truth` holds; fail when it does not within `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        answer = truth()
        if await answer if not isinstance(answer, bool) else answer:
            return
        assert time.monotonic() < end, "did not come true in time"
        await asyncio.sleep(0.02)


async def kubectl(around: Around, *arguments: str) -> str:
    """What stock kubectl prints, run in the test's namespace."""
    command = ("--kubeconfig", str(around.kubeconfig), "--namespace", around.namespace, *arguments)
    process = await asyncio.create_subprocess_exec(
        KUBECTL, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    return out.decode()


class Kubelet:
    """Plays the node: gives each pod addresses, says it is ready unless its template is `broken`, lets it go."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._count = 0
        around.informer(PODS).subscribe(lambda change: self._look(change.after))

    def _look(self, pod: Manifest | None) -> None:
        if pod is None or pod["metadata"]["namespace"] != self._around.namespace:
            return
        if "deletionTimestamp" in pod["metadata"]:
            self._around.tasks.create_task(self._let_go(pod["metadata"]["name"]))
        elif not pod.get("status", {}).get("podIP"):
            self._count += 1
            self._around.tasks.create_task(self._run(pod, self._count))

    async def _let_go(self, name: str) -> None:
        options = DeleteOptions(grace=0)
        with contextlib.suppress(IsthmusError):
            await self._around.client.delete(PODS, name, namespace=self._around.namespace, options=options)

    async def _run(self, pod: Manifest, number: int) -> None:
        broken = pod["metadata"].get("annotations", {}).get("broken")
        status = {
            "phase": "Running",
            "podIP": f"10.9.0.{number}",
            "podIPs": [{"ip": f"10.9.0.{number}"}, {"ip": f"fd69:9::{number:x}"}],
            "conditions": [{"type": "Ready", "status": "False" if broken else "True"}],
        }
        with contextlib.suppress(IsthmusError):
            name, namespace = pod["metadata"]["name"], self._around.namespace
            await self._around.client.merge_patch(
                PODS, name, {"status": status}, namespace=namespace, subresource="status"
            )


@pytest.fixture
def service_network() -> Iterator[None]:
    """Be in a fresh network namespace in which all addresses of services and pods are local."""
    try:
        network = new_network()
    except PermissionError:
        pytest.skip("network namespaces need root here. Type: unshare -r make test")
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    enter(network, NEW_NETWORK)
    try:
        netlink = Netlink()
        loopback = socket.if_nametoindex("lo")
        netlink.set_up(loopback)
        for destination in SERVICE_RANGES + POD_RANGES:
            netlink.add_local_route(destination, loopback)
        netlink.close()
        Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")
        yield
    finally:
        enter(before, NEW_NETWORK)
        os.close(before)
        os.close(network)
