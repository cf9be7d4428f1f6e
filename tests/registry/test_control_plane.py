"""The same on real control planes, whose pods nobody runs: the test is their kubelet, and a proxy their network.

The one control plane is hub and member at once. Its address for others is one that only the proxy reaches.
"""

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import PODS, SECRETS
from isthmus.api.scheme import Manifest
from isthmus.errors import IsthmusError
from isthmus.install.kinds import whole
from isthmus.install.roles import AGENT_USER, HUB_USER
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.waiting import eventually
from tests.kube.test_config_proxy import pump
from tests.real.build import binary
from tests.real.controlplane import ControlPlane
from tests.registry.conftest import on_hub, on_member

NUMBER = 7
OUTSIDE = f"10.{NUMBER}.128.1"
FOLDER = "/etc/isthmus/hub"
SYSTEM = "isthmus-system"


@pytest.fixture(scope="module")
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


async def typed(plane: ControlPlane, *words: str, user: Path | None = None) -> Said:
    """`isthmus WORDS` on that control plane, by its admin or another user."""
    command = [str(Path(sys.executable).parent / "isthmus"), *words, f"--kubeconfig={user or plane.kubeconfig}"]
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
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pump(reader, upstream))
            tasks.create_task(pump(upstream_reader, writer))


class Kubelet:
    """Runs the agent of the Deployment while that is there, and says of all pods that they are ready."""

    def __init__(self, plane: ControlPlane, client: Client, folder: Path) -> None:
        self._plane = plane
        self._client = client
        self._folder = folder

    async def run(self) -> None:
        process: asyncio.subprocess.Process | None = None
        try:
            while True:
                wanted = await self._agent()
                if wanted and process is None:
                    process = await self._start(wanted)
                if not wanted and process is not None:
                    process.kill()
                    await process.wait()
                    process = None
                await self._say_ready()
                await asyncio.sleep(0.1)
        finally:
            if process is not None:
                process.kill()
                await process.wait()

    async def _agent(self) -> Manifest | None:
        try:
            return await self._client.get(whole(DEPLOYMENTS), "isthmus-agent", namespace=SYSTEM)
        except IsthmusError:
            return None

    async def _start(self, deployment: Manifest) -> asyncio.subprocess.Process:
        """As the pod would: with the Secret's files, and the account's identity."""
        secret = await self._client.get(SECRETS, "isthmus-hub", namespace=SYSTEM)
        for key, value in secret["data"].items():
            text = base64.b64decode(value).decode().replace(FOLDER, str(self._folder))
            (self._folder / key).write_text(text)
        args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        args = [each.replace(FOLDER, str(self._folder)) for each in args if not each.startswith("--metrics")]
        account = self._plane.kubeconfig_of(AGENT_USER)
        return await running(*args, f"--kubeconfig={account}", "--heartbeat=1", log=self._folder / "agent.log")

    async def _say_ready(self) -> None:
        ready = {"conditions": [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]}
        for pod in (await self._client.list(PODS, namespace=SYSTEM)).items:
            metadata = pod["metadata"]
            status = pod.get("status") or {}
            try:
                if metadata.get("deletionTimestamp"):
                    await self._client.raw("DELETE", PODS.path(metadata["name"], namespace=SYSTEM), body=NO_GRACE)
                elif status.get("phase") != "Running":
                    patch = {"status": ready | {"phase": "Running"}}
                    await self._client.merge_patch(
                        PODS, metadata["name"], patch, namespace=SYSTEM, subresource="status"
                    )
            except IsthmusError:
                continue


NO_GRACE = b'{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0}'


async def running(*words: str, log: Path) -> asyncio.subprocess.Process:
    """`isthmus WORDS` as a process that does not outlive the tests."""
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "isthmus.cli.main", *words]
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output, env=dict(os.environ))


@dataclass
class Site:
    """The control plane with a hub, a kubelet for its agent, and the proxy before it."""

    plane: ControlPlane
    client: Client
    proxy: Proxy

    async def token(self, *words: str) -> str:
        """A token that names the address which only the proxy reaches."""
        server = f"--server=https://{OUTSIDE}:{self.plane.port}"
        return await well(self.plane, "token", "create", server, *words)

    async def join(self, token: str, *words: str, user: Path | None = None) -> Said:
        """Join through the proxy."""
        return await typed(self.plane, "join", token, f"--proxy={self.proxy.url}", *words, user=user)

    async def objects(self) -> set[str]:
        """All that is there of a hub and of a member, but what it always has."""
        changing = ("leases/", "endpointslices/")
        found = await on_hub(self.client) | await on_member(self.client)
        return {name for name in found if not name.startswith(changing)}


@asynccontextmanager
async def ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Kill it at the end."""
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def site(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Site]:
    await well(plane, "install", "hub", "--set=prod", "--no-wait")
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    identity = plane.kubeconfig_of(HUB_USER)
    hub = await running("hub", f"--kubeconfig={identity}", "--set=prod", log=plane.folder / "hub.log")
    async with ended(hub), server, Client(load_kubeconfig([plane.kubeconfig])) as client:
        kubelet = asyncio.create_task(Kubelet(plane, client, tmp_path).run())
        try:
            yield Site(plane, client, proxy)
        finally:
            kubelet.cancel()
            await asyncio.wait([kubelet])


async def test_a_cluster_joins_and_leaves_through_a_proxy_and_nothing_is_left(site: Site) -> None:
    before = await site.objects()
    token = await site.token("--cluster=west")
    assert site.proxy.url not in token
    unreached = await typed(site.plane, "join", token, "--proxy=http://127.0.0.1:1")
    assert unreached.code == 3
    assert "cannot be reached" in unreached.err
    done = await site.join(token, "--property=region=eu-west", "--works=default")
    assert done.code == 0, done.err
    assert "This cluster is member west of set prod." in done.out
    assert "isthmus dns configure" in done.out
    assert f"{OUTSIDE}:{site.plane.port}" in site.proxy.asked
    assert {"members/prod/west", "rolebindings/default/isthmus-works"} <= await site.objects()
    again = await site.join(token)
    assert again.code == 0, again.err
    assert "repairing west" in again.err
    left = await typed(site.plane, "leave", "--yes")
    assert left.code == 0, left.err

    async def is_clean() -> bool:
        definitions = {f"customresourcedefinitions/{name}" for name in DEFINITIONS}
        return await site.objects() <= before | definitions | {"configmaps/isthmus-members/isthmus-tokens"}

    await eventually(is_clean, within=90.0, what="nothing of the member is left")


DEFINITIONS = (
    "clusterproperties.about.k8s.io",
    "serviceexports.multicluster.x-k8s.io",
    "serviceimports.multicluster.x-k8s.io",
)


async def test_all_missing_rights_are_named_at_once_and_nothing_is_written(site: Site) -> None:
    token = await site.token("--cluster=west")
    before = await site.objects()
    refused = await site.join(token, user=site.plane.kubeconfig_of("nobody"))
    assert refused.code == 1
    for right in (
        "create deployments.apps in isthmus-system",
        "create customresourcedefinitions.apiextensions.k8s.io",
        "escalate clusterroles.rbac.authorization.k8s.io",
        "create clusterproperties.about.k8s.io",
        "create secrets in isthmus-system",
    ):
        assert right in refused.err
    assert "nothing was written" in refused.err
    assert await site.objects() == before


async def test_a_hub_at_an_address_of_this_machine_is_no_hub_for_a_pod(site: Site) -> None:
    token = await well(site.plane, "token", "create", "--cluster=west")
    refused = await typed(site.plane, "join", token)
    assert refused.code == 1
    assert "which no pod reaches" in refused.err
