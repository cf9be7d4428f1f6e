"""A proxy server and agents as processes, around a fleet whose members publish an address that nothing listens on."""

import asyncio
import base64
import contextlib
import os
import secrets
import socket
import ssl
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from isthmus.api.core import SECRETS, SERVICE_ACCOUNTS
from isthmus.api.inventory import CLUSTER_PROFILES, AccessCluster, ClusterProfile
from isthmus.api.isthmus import MEMBERS, MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.install.manifests import apply
from isthmus.install.roles import member_access, tunnel_roles
from isthmus.inventory import client_for, read_providers
from isthmus.inventory.rules.joining import through
from isthmus.kit.http import WebSocket, dial_websocket, server_tls
from isthmus.kube.client import Client, Event, WatchEvent
from isthmus.kube.config import Config, load_kubeconfig
from isthmus.kube.tls import Material, Trust
from isthmus.kube.tokens import bound_to, request_token
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually
from isthmus.tunnel.agent import Dialer
from isthmus.tunnel.app import serve
from isthmus.tunnel.proxy import CONNECTIONS, CONTROL, LIMITS, Limits, Proxy
from tests.fleets import MakeFleet
from tests.inventory.access import Consumer
from tests.real.certificates import Authority
from tests.real.ports import free_ports

ISTHMUS = Path(sys.executable).with_name("isthmus")
KUBECTL = Path(sys.executable).with_name("kubectl")
# API servers of tests have certificates for this name; nothing listens on this port, which no test takes.
NOWHERE = "https://localhost:9"
PATIENCE = 40.0


@dataclass
class Scene:
    """The fleet, its members by the letters that a test calls them by, and where the proxy server listens."""

    fleet: Fleet
    folder: Path
    consumer: Consumer
    authority: Authority
    ports: Sequence[int]
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.consumers, self.agents, self.metrics = self.ports

    @property
    def members(self) -> tuple[str, ...]:
        """Their names, which no other test has."""
        return tuple(self.fleet.members)

    async def start_tunnel(self) -> None:
        """The proxy server, with the rights that it is installed with."""
        certificate, key = self.folder / "tunnel.crt", self.folder / "tunnel.key"
        await self._start(
            "tunnel",
            *("tunnel", f"--kubeconfig={self.folder / 'isthmus-tunnel.kubeconfig'}"),
            *(f"--consumers=127.0.0.1:{self.consumers}", f"--agents=127.0.0.1:{self.agents}"),
            *(f"--metrics=127.0.0.1:{self.metrics}", f"--tls-cert-file={certificate}"),
            f"--tls-private-key-file={key}",
        )

    async def start_agent(self, member: str, *, as_: str = "") -> None:
        """The agent of a member, or one that has the hub's credential of another."""
        await self._start(
            f"agent-{member}",
            *("agent", f"--kubeconfig={self.fleet[member].host.kubeconfig}", f"--cluster={member}"),
            *(f"--hub-kubeconfig={self.folder / (as_ or member)}.kubeconfig", f"--set={self.fleet.set}"),
            f"--tunnel=https://localhost:{self.agents}",
        )

    async def _start(self, name: str, *args: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", str(ISTHMUS), *args, "--log-level=DEBUG"),
                stderr=log,
                stdout=log,
                env=os.environ | {"SSL_CERT_FILE": str(self.authority.certificate)},
            )

    async def kill(self, name: str) -> None:
        """With -9."""
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def credential(self, account: str, namespace: str, *, as_: str = "") -> None:
        """A kubeconfig for the hub, called like the account, by a token of its own."""
        client = self.fleet.hub.client
        named: Manifest = {"metadata": {"name": account, "namespace": namespace}}
        await client.apply(SERVICE_ACCOUNTS, named, options=BY_HAND)
        secret = await client.apply(SECRETS, named, options=BY_HAND)
        bound = bound_to(SECRETS.kind, account, secret["metadata"]["uid"])
        issued = await request_token(client, account, namespace=namespace, seconds=3600, bound=bound)
        config = yaml.safe_load(self.fleet.hub.host.kubeconfig.read_text())
        config["users"] = [{"name": each["name"], "user": {"token": issued.token}} for each in config["users"]]
        (self.folder / f"{as_ or account}.kubeconfig").write_text(yaml.safe_dump(config))

    async def publish(self, member: str) -> None:
        """What joining with a tunnel puts on record: all members have one address."""
        config = load_kubeconfig([self.fleet[member].host.kubeconfig])
        assert config.trust.authority is not None
        authority = base64.b64encode(config.trust.authority.read()).decode()
        proxy = through(f"http://127.0.0.1:{self.consumers}", member)
        spec = {"server": NOWHERE, "certificateAuthority": authority, "proxyURL": proxy}
        manifest = {"metadata": {"name": member, "namespace": self.fleet.set}, "spec": spec}
        await self.fleet.hub.client.apply(MEMBERS, manifest, options=BY_HAND)

    async def profile(self, member: str) -> ClusterProfile:
        """Its profile, once that says how it is reached."""

        async def published() -> ClusterProfile | None:
            found = await self.fleet.hub.client.get(CLUSTER_PROFILES, member, namespace=self.fleet.set)
            return found if found.status is not None and found.status.access_providers else None

        return await eventually(published, within=PATIENCE)

    async def client(self, member: str) -> Client:
        """What a consumer in Python has."""
        return client_for(await self.profile(member), read_providers(self.consumer.provider_file("secretreader")))

    async def kubeconfig(self, member: str) -> Path:
        """What a consumer that is told by hand has."""
        status = (await self.profile(member)).status
        assert status is not None
        cluster = status.access_providers[0].cluster
        assert isinstance(cluster, AccessCluster)
        secret = await self.fleet.hub.client.get(SECRETS, member, namespace=self.consumer.namespace)
        described = {
            "server": cluster.server,
            "certificate-authority-data": cluster.certificate_authority_data,
            "proxy-url": cluster.proxy_url,
        }
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": described}],
            "users": [{"name": "u", "user": {"token": base64.b64decode(secret["data"]["token"]).decode()}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        path = self.folder / f"{member}.consumer.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    async def ask(self, request: bytes) -> bytes:
        """What the proxy server answers a consumer that says just that, and then no more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.consumers)
        writer.write(request)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        return answer

    async def status(self, member: str, target: str = "localhost:9") -> int:
        """The status of the answer to a CONNECT for a member."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.consumers)
        writer.write(connect(member, target))
        line = await asyncio.wait_for(reader.readline(), PATIENCE)
        writer.close()
        return int(line.split()[1])

    async def wait_status(self, member: str, code: int) -> None:
        """Until a CONNECT is answered so."""

        async def answers() -> bool:
            try:
                return await self.status(member) == code
            except OSError:
                return False

        await eventually(answers, within=PATIENCE, what=f"CONNECT for {member} is answered with {code}")

    async def metrics_text(self) -> str:
        """What the proxy server tells of itself."""
        opened = await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{self.metrics}/metrics")
        return str(opened.read().decode())

    async def wait_open(self, member: str, count: int = 1) -> None:
        """Until so many connections are open to it."""

        async def counted() -> bool:
            lines = (await self.metrics_text()).splitlines()
            return f'isthmus_tunnel_connections{{member="{member}"}} {float(count)}' in lines

        await eventually(counted, within=PATIENCE, what=f"{count} connections to {member}")


def connect(member: str, target: str = "localhost:9") -> bytes:
    """The head of a request."""
    user = base64.b64encode(f"{member}:".encode()).decode()
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {user}\r\n\r\n".encode()


@asynccontextmanager
async def playing(make_fleet: MakeFleet, folder: Path, *letters: str) -> AsyncIterator[Scene]:
    """All of it; every member's agent has dialled in."""
    suffix = secrets.token_hex(3)
    names = [f"{letter}-{suffix}" for letter in letters]
    authority = Authority(folder, "tunnel-ca")
    authority.sign("tunnel", "tunnel", addresses=["127.0.0.1"])
    async with make_fleet(names) as fleet:
        consumer = Consumer(fleet, folder)
        await consumer.settle()
        hub = fleet.hub.client
        scene = Scene(fleet, folder, consumer, authority, free_ports(3))
        await apply(hub, tunnel_roles())
        await scene.credential("isthmus-tunnel", SYSTEM_NAMESPACE)
        for name in names:
            await apply(hub, member_access(fleet.set, name))
            await scene.credential(name, MEMBERS_NAMESPACE)
            await scene.publish(name)
        try:
            await scene.start_tunnel()
            for name in names:
                await scene.start_agent(name)
            for name in names:
                await scene.wait_status(name, 200)
            yield scene
        finally:
            for name in list(scene.running):
                await scene.kill(name)


@dataclass
class Inside:
    """A proxy server in the test's process, with limits that a test can wait for, and one member's credential."""

    member: str
    hub: Config
    tls: ssl.SSLContext
    consumers: tuple[str, int]
    url: str

    def dialer(self, server: str, limits: Limits = LIMITS) -> Dialer:
        """The member's own end."""
        return Dialer(self.url, self.hub, server, limits=limits)

    def control(self, token: str = "") -> AbstractAsyncContextManager[WebSocket]:
        """An agent that does what the test says."""
        assert self.hub.token is not None
        headers = {"Authorization": f"Bearer {token or self.hub.token.read().decode()}"}
        return dial_websocket(self.url + CONTROL, headers, tls=self.tls)

    def carried(self, id_: str) -> AbstractAsyncContextManager[WebSocket]:
        """What it carries a connection by."""
        return dial_websocket(self.url + CONNECTIONS + id_, {}, tls=self.tls)

    async def asked(self, member: str = "", head: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A consumer that has asked."""
        reader, writer = await asyncio.open_connection(*self.consumers)
        writer.write(head or connect(member or self.member))
        return reader, writer

    async def status(self, member: str = "", head: bytes = b"") -> int:
        """What one is answered."""
        reader, writer = await self.asked(member, head)
        line = await asyncio.wait_for(reader.readline(), PATIENCE)
        writer.close()
        return int(line.split()[1])

    async def wait_status(self, code: int) -> None:
        """Until one is answered so."""

        async def answers() -> bool:
            return await self.status() == code

        await eventually(answers, within=PATIENCE, what=f"CONNECT is answered with {code}")


@asynccontextmanager
async def inside(make_fleet: MakeFleet, folder: Path, limits: Limits = LIMITS) -> AsyncIterator[tuple[Scene, Inside]]:
    """A fleet with one member, whose agent is left to the test."""
    authority = Authority(folder, "tunnel-ca")
    certificate = authority.sign("tunnel", "tunnel", addresses=["127.0.0.1"])
    name = f"west-{secrets.token_hex(3)}"
    async with make_fleet([name]) as fleet, fleet.hub.connect() as hub:
        scene = Scene(fleet, folder, Consumer(fleet, folder), authority, (8132, 8133, 8080))
        await scene.credential(name, MEMBERS_NAMESPACE)
        await scene.publish(name)
        consumers, agents = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        known = load_kubeconfig([folder / f"{name}.kubeconfig"])
        config = replace(known, trust=Trust(Material("test", file=authority.certificate)))
        url = f"https://localhost:{agents.getsockname()[1]}"
        tls = ssl.create_default_context(cafile=authority.certificate)
        async with asyncio.TaskGroup() as tasks:
            proxy = Proxy(hub, limits=limits)
            serving = tasks.create_task(serve(proxy, [consumers], [agents], server_tls(*certificate)))
            await proxy.members.wait_synced()
            yield scene, Inside(name, config, tls, consumers.getsockname(), url)
            serving.cancel()


@asynccontextmanager
async def held(tunnel: Inside, control: WebSocket) -> AsyncIterator[asyncio.StreamReader]:
    """A consumer's connection that this agent carries; what the consumer reads."""
    reader, writer = await tunnel.asked()
    async with tunnel.carried(str((await control.receive()).data)):
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        yield reader
    writer.close()


async def arrived(seen: AsyncIterator[Event[Manifest]], name: str) -> object:
    """The data of the ConfigMap of that name, once the watch tells of it."""
    async for event in seen:
        if isinstance(event, WatchEvent) and event.object["metadata"]["name"] == name:
            return event.object["data"]
    return None
