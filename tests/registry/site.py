"""A real control plane to join, whose pods nobody runs: the test is their kubelet, and a proxy their network.

The one control plane is hub and member at once. Its address for others is one that only the proxy reaches.
"""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import PODS, SECRETS, SERVICE_ACCOUNTS
from isthmus.api.scheme import Manifest
from isthmus.errors import IsthmusError
from isthmus.install.kinds import whole
from isthmus.install.roles import AGENT_USER, HUB_USER
from isthmus.kube.client import Client
from isthmus.kube.config import SERVICE_ACCOUNT, load_kubeconfig
from isthmus.testing.waiting import eventually
from tests.kube.test_config_proxy import pump
from tests.real.build import binary
from tests.real.controlplane import ControlPlane
from tests.registry.left import on_hub, on_member

ROOT = Path(__file__).parents[2]
NUMBER = 7
TUNNEL = "--tunnel=http://tunnel.example:8132"
OUTSIDE = f"10.{NUMBER}.128.1"
SYSTEM, MEMBERS = "isthmus-system", "isthmus-members"


DEFINITIONS = (
    "clusterproperties.about.k8s.io",
    "serviceexports.multicluster.x-k8s.io",
    "serviceimports.multicluster.x-k8s.io",
)


@pytest.fixture(scope="package")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of our own: policies would be in other tests' way."""
    if not binary().exists():
        pytest.skip("no real control plane here. Type: make real")
    plane = ControlPlane(tmp_path_factory.mktemp("registry"), number=NUMBER)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@dataclass
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


def under(clock: float) -> tuple[str, ...]:
    """`isthmus`, by a clock so many seconds off."""
    return (sys.executable, "-m", "tests.faults.launcher", f"--clock={clock}", "--")


async def typed(plane: ControlPlane, *words: str, user: Path | None = None, clock: float = 0.0) -> Said:
    """`isthmus WORDS` on that control plane, by its admin or another user, by a clock so many seconds off."""
    command = [*under(clock), *words, f"--kubeconfig={user or plane.kubeconfig}"]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert "Traceback" not in err.decode()
    return Said(process.returncode or 0, out.decode(), err.decode())


async def well(plane: ControlPlane, *words: str) -> str:
    """What it printed, where it must succeed."""
    done = await typed(plane, *words)
    assert done.code == 0, f"isthmus {' '.join(words)}: {done.err}"
    return done.out.strip()


@dataclass
class Proxy:
    """The only way to the address that others know."""

    url: str = ""
    asked: set[str] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, target, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split(maxsplit=2)
        self.asked.add(target)
        try:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
        except ConnectionRefusedError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pump(reader, upstream))
            tasks.create_task(pump(upstream_reader, writer))


class Kubelet:
    """Runs the agent of a Deployment while that is there, and says of all pods that they are ready."""

    def __init__(self, plane: ControlPlane, client: Client, folder: Path) -> None:
        # Seconds that the nodes' clocks are off.
        self.clock = 0.0
        self._plane = plane
        self._client = client
        self._folder = folder

    async def run(self) -> None:
        running: dict[str, asyncio.subprocess.Process] = {}
        try:
            while True:
                wanted = {each["metadata"]["name"]: each for each in await self._agents()}
                for name in wanted.keys() - running.keys():
                    running[name] = await self._start(wanted[name])
                for name in running.keys() - wanted.keys():
                    await end(running.pop(name))
                for namespace in (SYSTEM, MEMBERS):
                    await self._say_ready(namespace)
                await asyncio.sleep(0.1)
        finally:
            for process in running.values():
                await end(process)

    async def _agents(self) -> list[Manifest]:
        found = []
        for namespace in (SYSTEM, MEMBERS):
            for item in (await self._client.list(whole(DEPLOYMENTS), namespace=namespace)).items:
                is_going = item["metadata"].get("deletionTimestamp")
                if item["metadata"]["name"].startswith("isthmus-agent") and not is_going:
                    found.append(item)
        return found

    async def _start(self, deployment: Manifest) -> asyncio.subprocess.Process:
        """As the pod would be: with its Secret's files, its account's identity, and its own way to the servers."""
        namespace, pod = deployment["metadata"]["namespace"], deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        name = next(volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume)
        mount = next(each["mountPath"] for each in container["volumeMounts"] if each["name"] == name)
        secret = await self._client.get(SECRETS, name, namespace=namespace)
        identity = self._folder / "identity"
        identity.mkdir(exist_ok=True)
        here = {mount: str(self._folder), str(SERVICE_ACCOUNT): str(identity)}
        here["https://kubernetes.default.svc"] = self._plane.server
        path = SERVICE_ACCOUNTS.path(pod["serviceAccountName"], namespace=namespace, subresource="token")
        made = json.loads(await self._client.raw("POST", path, body=b"{}"))
        (identity / "token").write_text(made["status"]["token"])
        (identity / "ca.crt").write_bytes((self._plane.folder / "ca.crt").read_bytes())
        for key, value in secret["data"].items():
            text = base64.b64decode(value).decode()
            # Pods of the hub's cluster need no proxy.
            direct = {} if "proxy-url" in text else {f"{OUTSIDE}:{self._plane.port}": f"127.0.0.1:{self._plane.port}"}
            (self._folder / key).write_text(replaced(text, here | direct))
        args = [replaced(each, here) for each in container["args"] if not each.startswith("--metrics")]
        if not any(each.startswith("--kubeconfig=") for each in args):
            args.append(f"--kubeconfig={self._plane.kubeconfig_of(AGENT_USER)}")
        return await running(*args, "--heartbeat=1", log=self._folder / "agent.log", clock=self.clock)

    async def _say_ready(self, namespace: str) -> None:
        ready = {"conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]}
        for pod in (await self._client.list(PODS, namespace=namespace)).items:
            name, status = pod["metadata"]["name"], pod.get("status") or {}
            try:
                if pod["metadata"].get("deletionTimestamp"):
                    await self._client.raw("DELETE", PODS.path(name, namespace=namespace), body=NO_GRACE)
                elif status.get("phase") != "Running":
                    patch = {"status": ready | {"phase": "Running"}}
                    await self._client.merge_patch(PODS, name, patch, namespace=namespace, subresource="status")
            except IsthmusError:
                continue


def replaced(text: str, words: Mapping[str, str]) -> str:
    """The text with each of the words as it is here."""
    for there, here in words.items():
        text = text.replace(there, here)
    return text


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill it."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


NO_GRACE = b'{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0}'


async def running(*words: str, log: Path, clock: float = 0.0) -> asyncio.subprocess.Process:
    """`isthmus WORDS` as a process that does not outlive the tests, by a clock so many seconds off."""
    command = ["setpriv", "--pdeathsig", "KILL", *under(clock), *words]
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output, env=dict(os.environ))


@dataclass
class Site:
    """The control plane with a hub, a kubelet for its agent, and the proxy before it."""

    plane: ControlPlane
    client: Client
    proxy: Proxy
    kubelet: Kubelet

    def push(self) -> tuple[str, ...]:
        """What to type for an agent beside the hub, which is this very cluster."""
        return ("--mode=push", f"--hub-context={load_kubeconfig([self.plane.kubeconfig]).context}")

    async def token(self, *words: str) -> str:
        """A token that names the address which only the proxy reaches."""
        server = f"--server=https://{OUTSIDE}:{self.plane.port}"
        return await well(self.plane, "token", "create", server, *words)

    async def join(self, token: str, *words: str, user: Path | None = None) -> Said:
        """Join through the proxy."""
        return await typed(self.plane, "join", token, f"--proxy={self.proxy.url}", *words, user=user)

    async def objects(self) -> set[str]:
        """All that is there of a hub and of a member, but what it always has."""
        changing = ("leases/isthmus-system/isthmus-hub", "endpointslices/")
        found = await on_hub(self.client) | await on_member(self.client)
        return {name for name in found if not name.startswith(changing)}


@asynccontextmanager
async def ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Kill it at the end."""
    try:
        yield
    finally:
        await end(process)


@pytest.fixture
async def site(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Site]:
    await well(plane, "install", "hub", "--set=prod", "--no-wait")
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    identity = plane.kubeconfig_of(HUB_USER)
    hub = await running("hub", f"--kubeconfig={identity}", "--set=prod", TUNNEL, log=plane.folder / "hub.log")
    async with ended(hub), server, Client(load_kubeconfig([plane.kubeconfig])) as client:
        kubelet = Kubelet(plane, client, tmp_path)
        works = asyncio.create_task(kubelet.run())
        try:
            yield Site(plane, client, proxy, kubelet)
        finally:
            works.cancel()
            await asyncio.wait([works], timeout=10)


async def died(site: Site, point: str, *words: str) -> bool:
    """Whether it died before it was through."""
    command = [sys.executable, "-m", "tests.registry.dying", point, *words, f"--kubeconfig={site.plane.kubeconfig}"]
    quiet, heard = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=quiet, stdout=quiet, stderr=heard)
    _, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode in {0, -9}, err.decode()
    return process.returncode == -9


async def wait_clean(site: Site, before: set[str]) -> None:
    """Return once nothing is left but what was there, and definitions."""

    async def is_clean() -> bool:
        definitions = {f"customresourcedefinitions/{name}" for name in DEFINITIONS}
        return await site.objects() <= before | definitions | {"configmaps/isthmus-members/isthmus-tokens"}

    await eventually(is_clean, within=90.0, what="nothing of the member is left")
