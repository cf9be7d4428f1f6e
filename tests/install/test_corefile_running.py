"""What we write into NodeLocal DNSCache's Corefile, run by a CoreDNS, which it is inside, before our own DNS server."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from isthmus.api.mcs import SERVICE_IMPORTS, ZONE
from isthmus.errors import Unreachable
from isthmus.install.corefile import with_zone, without
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.message import Rcode
from isthmus.kit.dns.records import Type
from tests.dns.clusters import Embedded, admin_of, eventually, namespace
from tests.dns.test_app import LOCAL, addresses, dns_beside, import_of
from tests.install.test_corefile import STOCK
from tests.real.build import COREDNS
from tests.real.ports import free_ports

pytestmark = pytest.mark.skipif(not COREDNS.path.exists(), reason="no CoreDNS here. Type: make real")


class Node:
    """A node's cache: the base Corefile, and the ports that it has instead of the usual ones."""

    def __init__(self, folder: Path) -> None:
        self.port, self._outside, health, metrics = free_ports(4)
        self._file = folder / "Corefile"
        self._filled = {
            "__PILLAR__LOCAL__DNS__:8080": f"{LOCAL}:{health}",
            "__PILLAR__LOCAL__DNS__": LOCAL,
            "__PILLAR__DNS__SERVER__": "",
            "__PILLAR__CLUSTER__DNS__": f"{LOCAL}:{self._outside}",
            "__PILLAR__UPSTREAM__SERVERS__": f"{LOCAL}:{self._outside}",
            ":53 {": f":{self.port} {{",
            ":9253": f"{LOCAL}:{metrics}",
            "reload\n": "reload 2s 1s\n",
        }

    def told(self, base: str, more: str = "") -> None:
        """Fill in the base and put it where it is read, as each node does; `more` is what it adds of its own."""
        # Who is asked about all other names knows none, as where the cluster's DNS has not heard of us.
        outside = (
            f".:{self._outside} {{\n    bind {LOCAL}\n    template ANY ANY . {{\n        rcode NXDOMAIN\n    }}\n}}\n"
        )
        text = base + more
        for name, value in self._filled.items():
            text = text.replace(name, value)
        written = self._file.with_suffix(".new")
        written.write_text(text + outside)
        written.replace(self._file)

    def start(self) -> subprocess.Popen[bytes]:
        """CoreDNS with that file."""
        command = (str(COREDNS.path), "-conf", str(self._file))
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    async def is_told(self, name: str, *want: str, rcode: Rcode = Rcode.NOERROR) -> None:
        """Wait until the cache answers so."""

        async def told() -> bool:
            try:
                reply = await resolve(name, Type.A, (LOCAL, self.port))
            except Unreachable:
                return False
            return reply.rcode == rcode and addresses(reply) == sorted(want)

        await eventually(told)


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Embedded]:
    place = Embedded(tmp_path)
    await place.bring_back()
    yield place
    await place.take_away()


@asynccontextmanager
async def started(node: Node) -> AsyncIterator[None]:
    process = node.start()
    try:
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate, timeout=20)


@pytest.mark.requirement("MCS-81")
async def test_a_node_s_cache_answers_for_the_zone_from_us_and_no_longer(embedded: Embedded, tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with admin_of(embedded) as admin, dns_beside(embedded) as ours, namespace(admin, "prod") as prod:
        await admin.create(SERVICE_IMPORTS, import_of(prod, "shop", "ClusterSetIP", ["10.1.128.7"]))
        shop = f"shop.{prod}.svc.{ZONE}"
        handed = with_zone(STOCK, ZONE, [f"{ours[0]}:{ours[1]}"], is_cache=True)
        node.told(STOCK)
        async with started(node):
            await node.is_told(shop, rcode=Rcode.NXDOMAIN)
            node.told(handed)
            await node.is_told(shop, "10.1.128.7")
            await node.is_told(f"gone.{prod}.svc.{ZONE}", rcode=Rcode.NXDOMAIN)
            await node.is_told("shop.prod.svc.cluster.local", rcode=Rcode.NXDOMAIN)
            node.told(without(handed))
            await node.is_told(shop, rcode=Rcode.NXDOMAIN)


async def test_a_node_s_cache_does_not_start_with_the_zone_as_a_stub_domain_too(tmp_path: Path) -> None:
    node = Node(tmp_path)
    stub = f"\n{ZONE}:53 {{\n    errors\n    cache 30\n    bind __PILLAR__LOCAL__DNS__\n    forward . 127.0.0.1\n}}\n"
    node.told(with_zone(STOCK, ZONE, [], is_cache=True), stub)
    async with started(node):
        await node.is_told("x.example.org", rcode=Rcode.NXDOMAIN)
    node.told(with_zone(STOCK, ZONE, ["127.0.0.1"], is_cache=True), stub)
    said, _ = await asyncio.to_thread(node.start().communicate, timeout=20)
    assert f"{ZONE}.:{node.port}".encode() in said
