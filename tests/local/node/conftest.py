"""A whole node for the tests of this folder: real API server, real processes, driven from outside by the API."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from isthmus.api.core import PODS
from isthmus.api.scheme import Manifest
from isthmus.errors import NotFound
from isthmus.kit.clock import SYSTEM
from isthmus.kube.client import Client, DeleteOptions
from isthmus.kube.config import load_kubeconfig
from tests.local.inside import AS_ROOT, AS_USER, unshare, why_not

LIMIT = 30.0
KUBECTL = Path(sys.executable).with_name("kubectl")


class Stage:
    """A cluster with a node, in namespaces of its own."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self.kubeconfig = folder / "kubeconfig"

    @property
    def node_pid(self) -> int:
        """The node's process, or the launcher that becomes it."""
        return int((self.folder / "node.pid").read_text())

    def kill_node(self) -> None:
        """End the node's process as a crash would."""
        os.kill(self.node_pid, signal.SIGKILL)

    def kubectl(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run stock kubectl."""
        command = [str(KUBECTL), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=LIMIT, check=False)

    def processes(self) -> set[int]:
        """All processes that live in the stage's namespaces or below."""
        children: dict[int, list[int]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
        found: set[int] = set()
        waiting = [self.process.pid]
        while waiting:
            below = children.get(waiting.pop(), [])
            found.update(below)
            waiting += below
        return found


class Cluster:
    """What a test does with the stage: pods made, waited for, and removed at the end."""

    def __init__(self, stage: Stage, client: Client) -> None:
        self.stage = stage
        self.client = client
        self._made: list[str] = []

    async def make(self, name: str, spec: Manifest, **metadata: object) -> Manifest:
        """Create a pod in the namespace default."""
        self._made.append(name)
        manifest = {"metadata": {"name": name, **metadata}, "spec": {"terminationGracePeriodSeconds": 1} | spec}
        return await self.client.create(PODS, manifest, namespace="default")

    async def get(self, name: str) -> Manifest:
        """A pod as it is now."""
        return await self.client.get(PODS, name, namespace="default")

    async def when(self, name: str, fits: Callable[[Manifest], object]) -> Manifest:
        """A pod once it is as wanted."""
        seen: Manifest = {}

        async def there() -> object:
            nonlocal seen
            seen = await self.get(name)
            return fits(seen)

        try:
            await wait_until(there)
        except TimeoutError:
            raise AssertionError(f"{name} is not as wanted: {seen.get('status')}") from None
        return seen

    async def ready(self, name: str) -> Manifest:
        """A pod once it is ready."""
        return await self.when(name, lambda pod: condition(pod, "Ready") == "True")

    async def over(self, name: str) -> Manifest:
        """A pod once its containers ended for good."""
        return await self.when(name, lambda pod: pod["status"]["phase"] in {"Succeeded", "Failed"})

    async def log(self, name: str, **query: str) -> str:
        """What a pod's only container wrote."""
        path = PODS.path(name, namespace="default", subresource="log")
        return (await self.client.raw("GET", path, query=query)).decode()

    async def gone(self, name: str) -> None:
        """Return once the pod is not there."""

        async def absent() -> bool:
            try:
                await self.get(name)
            except NotFound:
                return True
            return False

        await wait_until(absent)

    async def remove(self, name: str, grace: int | None = None) -> None:
        """Delete a pod, without waiting."""
        with contextlib.suppress(NotFound):
            await self.client.delete(PODS, name, namespace="default", options=DeleteOptions(grace=grace))

    async def clear(self) -> None:
        """Remove every pod that was made."""
        for name in self._made:
            await self.remove(name, grace=0)


async def wait_until(fits: Callable[[], Awaitable[object]], limit: float = LIMIT) -> None:
    """Return once it fits; raises TimeoutError."""
    end = SYSTEM.monotonic() + limit
    while not await fits():
        if SYSTEM.monotonic() > end:
            raise TimeoutError
        await SYSTEM.sleep(0.03)


def condition(pod: Manifest, kind: str) -> str:
    """The status of one of a pod's conditions."""
    found = [each for each in pod.get("status", {}).get("conditions", []) if each["type"] == kind]
    return str(found[0]["status"]) if found else ""


def container(pod: Manifest, index: int = 0) -> Manifest:
    """The status of one of a pod's containers."""
    statuses: list[Manifest] = pod.get("status", {}).get("containerStatuses") or []
    return statuses[index] if index < len(statuses) else {"state": {}, "lastState": {}, "restartCount": 0}


def shell(script: str, **more: object) -> Manifest:
    """A container that runs a script."""
    return {"name": "main", "image": "host", "command": ["/bin/sh", "-c", script], **more}


def once(script: str, **more: object) -> Manifest:
    """A pod that runs a script, once."""
    return {"restartPolicy": "Never", "containers": [shell(script)], **more}


@contextlib.contextmanager
def staged(folder: Path, way: str) -> Iterator[Stage]:
    """A stage of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener, (folder / "stage.log").open("wb") as log:
        command = [*unshare(way), sys.executable, "-m", "tests.local.node.stage", str(folder), str(listener.fileno())]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=[listener.fileno()])
    try:
        end = time.monotonic() + LIMIT
        while not (folder / "node.pid").exists():
            assert process.poll() is None, (folder / "stage.log").read_text()
            assert time.monotonic() < end, "the stage did not start"
            time.sleep(0.02)
        yield Stage(folder, process)
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(LIMIT)
        finally:
            process.kill()


@pytest.fixture(scope="package", params=[AS_ROOT, AS_USER])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if reason := why_not(request.param):
        pytest.skip(f"{request.param}: {reason}")
    with staged(tmp_path_factory.mktemp("stage"), request.param) as stage:
        yield stage


@pytest.fixture
async def cluster(stage: Stage) -> AsyncIterator[Cluster]:
    async with Client(load_kubeconfig([stage.kubeconfig])) as client:
        cluster = Cluster(stage, client)
        yield cluster
        await cluster.clear()
