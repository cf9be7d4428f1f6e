import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest

from isthmus.api.core import ENDPOINT_SLICES, NODES, SERVICE_NAME_LABEL, SERVICES, Service
from isthmus.api.scheme import Manifest
from isthmus.local.proxy import ProxyOptions, run_proxy
from tests.local.conftest import Around, eventually

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("service_network")]

NODE, ZONE = "east-node", "east-1"
# In the range of pods, which is local here too: this network has no other machine.
BACKENDS = {"a": "10.9.1.1", "b": "10.9.1.2", "c": "10.9.1.3"}


class Backend:
    """Says its name to whoever connects, and again for every line, or datagram, that it gets."""

    def __init__(self, name: str, host: str, port: int = 8080) -> None:
        self.name, self.host, self.port = name, host, port
        self.clients: set[asyncio.Task[object]] = set()
        self._server: asyncio.Server | None = None
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: Echo(self.name), local_addr=(self.host, self.port)
        )

    def stop(self) -> None:
        if self._server and self._transport:
            self._server.close()
            self._transport.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(f"{self.name}\n".encode())
        writer.close()


class Echo(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(self._name.encode(), addr)


@pytest.fixture
async def backends() -> AsyncIterator[dict[str, Backend]]:
    made = {name: Backend(name, host) for name, host in BACKENDS.items()} | {"six": Backend("six", "fd69:9::6")}
    for backend in made.values():
        await backend.start()
    yield made
    for backend in made.values():
        backend.stop()


@pytest.fixture
async def proxy(around: Around, backends: dict[str, Backend], tmp_path: Path) -> Around:
    """A running proxy, and the cluster that it serves."""
    around.tasks.create_task(run_proxy(around, ProxyOptions(tmp_path / "envoy", NODE, ZONE)))
    return around


def port(number: int = 80, name: str = "", protocol: str = "TCP") -> Manifest:
    return {"name": name, "port": number, "protocol": protocol}


async def service(around: Around, name: str = "shop", **spec: object) -> Service:
    wanted: Manifest = {"ports": [port()], "ipFamilyPolicy": "PreferDualStack", **spec}
    return await around.make(SERVICES, {"metadata": {"name": name}, "spec": wanted})


def endpoint(address: str, **more: object) -> Manifest:
    return {"addresses": [address], "conditions": {"ready": True}, **more}


async def endpoints(around: Around, *names: str, of: str = "shop", **more: object) -> None:
    """Let these backends stand behind the Service, in the one slice that is made or replaced."""
    await slice_of(around, [endpoint(BACKENDS[name], **more) for name in names], of=of)


async def slice_of(around: Around, items: list[Manifest], *, of: str = "shop", name: str = "", **more: object) -> None:
    manifest: Manifest = {
        "metadata": {"name": name or f"{of}-1", "labels": {SERVICE_NAME_LABEL: of}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": items,
        **more,
    }
    await around.client.apply(ENDPOINT_SLICES, manifest, namespace="default")


class Connection:
    """A TCP connection that is asked line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self) -> str:
        self._writer.write(b"who\n")
        line = await asyncio.wait_for(self._reader.readline(), 5)
        if not line:
            raise ConnectionResetError
        return line.decode().strip()

    def close(self) -> None:
        self._writer.close()


async def connect(host: str, number: int = 80, *, source: str = "") -> Connection:
    from_here = (source, 0) if source else None
    return Connection(*await asyncio.wait_for(asyncio.open_connection(host, number, local_addr=from_here), 5))


async def answer(host: str, number: int = 80, *, source: str = "") -> str:
    """Who answers a new connection; "refused" when nobody does."""
    try:
        connection = await connect(host, number, source=source)
        try:
            return await connection.ask()
        finally:
            connection.close()
    except ConnectionError:
        return "refused"


async def answers(host: str, number: int = 80, *, times: int = 12) -> set[str]:
    return {await answer(host, number) for _ in range(times)}


async def wait_answers(host: str, wanted: set[str], number: int = 80) -> None:
    async def are_as_wanted() -> bool:
        return await answers(host, number) == wanted

    await eventually(are_as_wanted)


@contextlib.contextmanager
def client_of(host: str, number: int, *, source: str = "") -> Iterator[socket.socket]:
    """A UDP socket connected to a service address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if source:
            sock.bind((source, 0))
        sock.connect((host, number))
        sock.setblocking(False)
        yield sock


async def datagram(sock: socket.socket) -> str:
    """What comes back for one datagram; "lost" after a second, or when the port is closed."""
    loop = asyncio.get_running_loop()
    try:
        sock.send(b"who")
        return (await asyncio.wait_for(loop.sock_recv(sock, 99), 1)).decode()
    except (TimeoutError, ConnectionRefusedError):
        return "lost"


async def test_a_service_address_answers_from_all_its_backends(proxy: Around) -> None:
    shop = await service(proxy)
    await endpoints(proxy, "a", "b")
    await wait_answers(shop.spec.cluster_ip, {"a", "b"})


async def test_stock_curl_reaches_a_service_on_port_80(proxy: Around, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello from a pod\n")
    command = ("python3", "-m", "http.server", "8000", "--bind", "10.9.1.9", "--directory", str(tmp_path))
    quiet = asyncio.subprocess.DEVNULL
    web = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
    try:
        shop = await service(proxy)
        await slice_of(proxy, [endpoint("10.9.1.9")], ports=[{"name": "", "port": 8000}])

        async def curl_says_hello() -> bool:
            curl = await asyncio.create_subprocess_exec(
                "curl", "-s", f"http://{shop.spec.cluster_ip}/", stdout=asyncio.subprocess.PIPE
            )
            return (await curl.communicate())[0] == b"hello from a pod\n"

        await eventually(curl_says_hello)
    finally:
        web.kill()
        await web.wait()


async def test_both_families_have_their_own_backends(proxy: Around) -> None:
    shop = await service(proxy)
    assert len(shop.spec.cluster_ips) == 2
    await endpoints(proxy, "a")
    await slice_of(proxy, [endpoint("fd69:9::6")], name="shop-six", addressType="IPv6")
    four, six = sorted(shop.spec.cluster_ips)
    await wait_answers(four, {"a"})
    await wait_answers(six, {"six"})


async def test_a_program_that_listens_on_one_family_only_answers_clients_of_both(proxy: Around) -> None:
    shop = await service(proxy)
    await endpoints(proxy, "a", "b")
    # Nobody listens on these: their programs bound 0.0.0.0.
    await slice_of(proxy, [endpoint("fd69:9::a"), endpoint("fd69:9::b")], name="shop-six", addressType="IPv6")
    four, six = sorted(shop.spec.cluster_ips)
    await wait_answers(four, {"a", "b"})
    await wait_answers(six, {"a", "b"})


async def test_only_ready_endpoints_answer_and_a_change_drops_no_connection(proxy: Around) -> None:
    shop = await service(proxy)
    await endpoints(proxy, "a")
    await wait_answers(shop.spec.cluster_ip, {"a"})
    kept = await connect(shop.spec.cluster_ip)
    assert await kept.ask() == "a"
    for names in ("ab", "b", "bc", "c", "abc", "b"):
        await endpoints(proxy, *names)
        await wait_answers(shop.spec.cluster_ip, set(names))
        assert await kept.ask() == "a"
    kept.close()


async def wait_longer(told: list[str], size: int) -> None:
    await eventually(lambda: len(told) > size)


async def test_no_request_fails_while_endpoints_come_and_go(proxy: Around) -> None:
    shop = await service(proxy)
    await endpoints(proxy, "a")
    await wait_answers(shop.spec.cluster_ip, {"a"})
    told: list[str] = []
    over = asyncio.Event()

    async def ask_on() -> None:
        while not over.is_set():
            told.append(await answer(shop.spec.cluster_ip))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(ask_on())
        for names in ("ab", "b", "bc", "abc", "c", "a") * 5:
            await endpoints(proxy, *names)
            await wait_longer(told, len(told) + 20)
        over.set()
    assert set(told) == {"a", "b", "c"}


async def test_nobody_ready_means_refused_and_open_connections_live_on(proxy: Around) -> None:
    shop = await service(proxy)
    assert await answer(shop.spec.cluster_ip) == "refused"
    await endpoints(proxy, "a")
    await wait_answers(shop.spec.cluster_ip, {"a"})
    kept = await connect(shop.spec.cluster_ip)
    await slice_of(proxy, [endpoint(BACKENDS["a"], conditions={"ready": False})])
    await wait_answers(shop.spec.cluster_ip, {"refused"})
    assert await kept.ask() == "a"
    await endpoints(proxy, "b")
    await wait_answers(shop.spec.cluster_ip, {"b"})
    assert await kept.ask() == "a"
    kept.close()


async def test_a_deleted_service_refuses(proxy: Around) -> None:
    shop = await service(proxy)
    await endpoints(proxy, "a")
    await wait_answers(shop.spec.cluster_ip, {"a"})
    await proxy.client.delete(SERVICES, "shop", namespace="default")
    await wait_answers(shop.spec.cluster_ip, {"refused"})


async def test_a_change_of_one_service_leaves_another_alone(proxy: Around) -> None:
    shop, till = await service(proxy), await service(proxy, "till")
    await endpoints(proxy, "a")
    await endpoints(proxy, "b", of="till")
    await wait_answers(shop.spec.cluster_ip, {"a"})
    await wait_answers(till.spec.cluster_ip, {"b"})
    kept = await connect(shop.spec.cluster_ip)
    patch = {"spec": {"ports": [port(81)]}}
    await proxy.client.merge_patch(SERVICES, "till", patch, namespace="default")
    await wait_answers(till.spec.cluster_ip, {"b"}, 81)
    await wait_answers(till.spec.cluster_ip, {"refused"}, 80)
    assert await kept.ask() == "a"
    kept.close()


async def test_a_backend_that_does_not_accept_is_passed_over(proxy: Around, backends: dict[str, Backend]) -> None:
    shop = await service(proxy)
    await endpoints(proxy, "a", "b")
    await wait_answers(shop.spec.cluster_ip, {"a", "b"})
    backends["b"].stop()
    assert await answers(shop.spec.cluster_ip) == {"a"}


async def test_with_client_ip_affinity_one_client_stays_with_one_backend(proxy: Around) -> None:
    shop = await service(proxy, sessionAffinity="ClientIP")
    await endpoints(proxy, "a", "b", "c")

    async def first(client: int) -> str:
        return await answer(shop.spec.cluster_ip, source=f"10.9.9.{client}")

    async def all_serve() -> bool:
        return {await first(client) for client in range(1, 40)} == {"a", "b", "c"}

    await eventually(all_serve)
    for client in range(1, 20):
        assert len({await first(client) for _ in range(5)}) == 1


async def test_affinity_outlives_the_loss_of_another_backend(proxy: Around) -> None:
    shop = await service(proxy, sessionAffinity="ClientIP")
    await endpoints(proxy, "a", "b", "c")

    async def choices() -> dict[int, str]:
        return {n: await answer(shop.spec.cluster_ip, source=f"10.9.9.{n}") for n in range(1, 40)}

    async def all_serve() -> bool:
        return set((await choices()).values()) == {"a", "b", "c"}

    await eventually(all_serve)
    before = await choices()
    await endpoints(proxy, "a", "b")

    async def nobody_asks_the_lost_one() -> bool:
        return "c" not in (await choices()).values()

    await eventually(nobody_asks_the_lost_one)
    after = await choices()
    assert all(after[n] == before[n] for n in before if before[n] != "c")


def sticky_for(seconds: int) -> Manifest:
    config = {"clientIP": {"timeoutSeconds": seconds}}
    return {"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}


async def test_affinity_ends_when_a_client_stayed_away_for_its_time(proxy: Around) -> None:
    shop = await service(proxy, **sticky_for(1))
    await endpoints(proxy, "a", "b")
    await eventually(lambda: serves(shop))
    before = await answer(shop.spec.cluster_ip, source="10.9.9.1")
    end = asyncio.get_running_loop().time() + 2.5
    while asyncio.get_running_loop().time() < end:
        # Every connection begins its time anew.
        assert await answer(shop.spec.cluster_ip, source="10.9.9.1") == before
        await asyncio.sleep(0.2)
    away = asyncio.get_running_loop().time() + 1.2
    await eventually(lambda: asyncio.get_running_loop().time() > away)
    assert await answer(shop.spec.cluster_ip, source="10.9.9.1") != before


async def serves(shop: Service) -> bool:
    return await answer(shop.spec.cluster_ip, source="10.9.9.1") != "refused"


async def test_affinity_comes_and_goes_while_connections_live_on(proxy: Around) -> None:
    shop = await service(proxy)
    await endpoints(proxy, "a", "b")
    await wait_answers(shop.spec.cluster_ip, {"a", "b"})
    plain = await connect(shop.spec.cluster_ip)
    first = await plain.ask()
    await proxy.client.merge_patch(SERVICES, "shop", {"spec": sticky_for(100)}, namespace="default")

    async def is_sticky() -> bool:
        return len(await answers(shop.spec.cluster_ip)) == 1

    await eventually(is_sticky)
    sticky = await connect(shop.spec.cluster_ip)
    second = await sticky.ask()
    without = {"spec": {"sessionAffinity": "None", "sessionAffinityConfig": None}}
    await proxy.client.merge_patch(SERVICES, "shop", without, namespace="default")
    await wait_answers(shop.spec.cluster_ip, {"a", "b"})
    assert [await plain.ask(), await sticky.ask()] == [first, second]
    plain.close()
    sticky.close()


async def test_a_sticky_client_passes_over_a_backend_that_does_not_accept(
    proxy: Around, backends: dict[str, Backend]
) -> None:
    shop = await service(proxy, **sticky_for(100))
    await endpoints(proxy, "a", "b")
    await eventually(lambda: serves(shop))
    (first,) = await answers(shop.spec.cluster_ip)
    backends[first].stop()
    assert len(await answers(shop.spec.cluster_ip)) == 1


async def test_hints_for_nodes_come_before_those_for_zones(proxy: Around) -> None:
    shop = await service(proxy)
    near = {"forNodes": [{"name": NODE}], "forZones": [{"name": ZONE}]}
    zone = {"forNodes": [{"name": "other"}], "forZones": [{"name": ZONE}]}
    far = {"forNodes": [{"name": "other"}], "forZones": [{"name": "other"}]}
    hints = {"a": near, "b": zone, "c": far}
    items = [endpoint(BACKENDS[name], hints=hint) for name, hint in hints.items()]
    await slice_of(proxy, items)
    await wait_answers(shop.spec.cluster_ip, {"a"})
    await slice_of(proxy, items[1:])
    await wait_answers(shop.spec.cluster_ip, {"b"})
    await slice_of(proxy, items[2:])
    await wait_answers(shop.spec.cluster_ip, {"c"})


async def test_the_zone_is_what_the_node_says(proxy: Around) -> None:
    shop = await service(proxy)
    items = [endpoint(BACKENDS[name], hints={"forZones": [{"name": name}]}) for name in ("a", "b")]
    await slice_of(proxy, items)
    await wait_answers(shop.spec.cluster_ip, {"a", "b"})
    for zone in ("a", "b"):
        labels = {"topology.kubernetes.io/zone": zone}
        await proxy.client.apply(NODES, {"metadata": {"name": NODE, "labels": labels}})
        await wait_answers(shop.spec.cluster_ip, {zone})


async def test_udp_is_answered_from_the_service_address(proxy: Around) -> None:
    shop = await service(proxy, ports=[port(53, protocol="UDP")])
    await slice_of(proxy, [endpoint(BACKENDS["a"])], ports=[{"name": "", "port": 8080, "protocol": "UDP"}])

    async def echoes() -> bool:
        with client_of(shop.spec.cluster_ip, 53) as sock:
            return await datagram(sock) == "a"

    await eventually(echoes)
    # Nothing takes TCP where only UDP is offered.
    assert await answer(shop.spec.cluster_ip, 53) == "refused"


async def test_udp_follows_the_endpoints(proxy: Around) -> None:
    shop = await service(proxy, ports=[port(53, protocol="UDP")])
    udp = [{"name": "", "port": 8080, "protocol": "UDP"}]
    await slice_of(proxy, [endpoint(BACKENDS["a"])], ports=udp)
    with client_of(shop.spec.cluster_ip, 53) as sock:

        async def hears(name: str) -> bool:
            return await datagram(sock) == name

        await eventually(lambda: hears("a"))
        await slice_of(proxy, [endpoint(BACKENDS["b"])], ports=udp)
        await eventually(lambda: hears("b"))


async def test_udp_keeps_client_ip_affinity(proxy: Around) -> None:
    shop = await service(proxy, ports=[port(53, protocol="UDP")], sessionAffinity="ClientIP")
    udp = [{"name": "", "port": 8080, "protocol": "UDP"}]
    await slice_of(proxy, [endpoint(host) for host in BACKENDS.values()], ports=udp)

    async def ask_as(client: int) -> str:
        with client_of(shop.spec.cluster_ip, 53, source=f"10.9.9.{client}") as sock:
            return await datagram(sock)

    async def all_serve() -> bool:
        return {await ask_as(client) for client in range(1, 40)} == {"a", "b", "c"}

    await eventually(all_serve)
    for client in range(1, 10):
        assert len({await ask_as(client) for _ in range(5)}) == 1


async def test_an_address_that_something_else_listens_on_spoils_no_other_service(proxy: Around) -> None:
    taken = await service(proxy, "taken")
    with socket.create_server((taken.spec.cluster_ip, 80)):
        await endpoints(proxy, "a", of="taken")
        shop = await service(proxy)
        await endpoints(proxy, "b")
        await wait_answers(shop.spec.cluster_ip, {"b"})


async def test_envoy_is_started_again_when_it_dies(proxy: Around) -> None:
    shop = await service(proxy)
    await endpoints(proxy, "a")
    await wait_answers(shop.spec.cluster_ip, {"a"})
    (pid,) = envoys()
    os.kill(pid, 9)
    await eventually(lambda: bool(set(envoys()) - {pid}))
    await wait_answers(shop.spec.cluster_ip, {"a"})


def envoys() -> list[int]:
    """The Envoys that are children of this process and run."""
    children = Path("/proc/self/task").glob("*/children")
    pids = [int(pid) for listed in children for pid in listed.read_text().split()]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == "envoy" and not is_dead(pid)]


def is_dead(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
