"""`isthmus dns` beside a real API server of either kind: what the cluster holds is what a resolver is told."""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from isthmus.api.core import ENDPOINT_SLICES
from isthmus.api.mcs import SERVICE_IMPORTS, SERVICE_NAME_LABEL, SOURCE_CLUSTER_LABEL
from isthmus.api.scheme import Manifest
from isthmus.dns.app import DNSOptions, run, serve
from isthmus.errors import Invalid
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.message import Rcode, Reply
from isthmus.kit.dns.records import Address, Service, Type
from isthmus.kit.dns.server import bind
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from tests.conftest import EMBEDDED, Planes
from tests.dns.clusters import Embedded, Place, Real, admin_of, eventually, namespace

Z = "clusterset.local"
LOCAL = "127.0.0.1"


@pytest.fixture
async def place(kind: str, planes: Planes, tmp_path: Path) -> AsyncIterator[Place]:
    found: Place = Embedded(tmp_path) if kind == EMBEDDED else Real(planes.get(0))
    await found.bring_back()
    yield found
    if isinstance(found, Embedded):
        await found.take_away()
    else:
        await found.bring_back()


@contextlib.asynccontextmanager
async def dns_beside(place: Place) -> AsyncIterator[tuple[str, int]]:
    options = DNSOptions(place.kubeconfig, listen=((LOCAL, 0),))
    sockets = bind(options.listen)
    address = sockets[0].getsockname()
    async with Client(load_kubeconfig([place.kubeconfig])) as client, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(serve(client, sockets, options))
        yield address
        task.cancel()


def import_of(space: str, name: str, kind: str, ips: Sequence[str] = ()) -> Manifest:
    return {
        "apiVersion": "multicluster.x-k8s.io/v1beta1",
        "kind": "ServiceImport",
        "metadata": {"name": name, "namespace": space},
        "spec": {"type": kind, "ips": list(ips), "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }


def slice_of(space: str, service: str, cluster: str, *pods: tuple[str, str]) -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-{cluster}",
            "namespace": space,
            "labels": {SERVICE_NAME_LABEL: service, SOURCE_CLUSTER_LABEL: cluster},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], **({"hostname": host} if host else {})} for host, address in pods],
    }


def addresses(reply: Reply) -> list[str]:
    return sorted(str(record.data.address) for record in reply.answers if isinstance(record.data, Address))


class Resolver:
    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server

    async def rcode(self, name: str) -> int:
        return (await resolve(name, Type.A, self._server)).rcode

    async def is_told(self, name: str, *want: str) -> None:
        async def told() -> bool:
            return addresses(await resolve(name, Type.A, self._server)) == sorted(want)

        await eventually(told)

    async def is_denied(self, name: str, rcode: Rcode = Rcode.NXDOMAIN) -> None:
        async def denied() -> bool:
            return await self.rcode(name) == rcode

        await eventually(denied)


def space() -> str:
    return f"dns-{secrets.token_hex(4)}"


@pytest.mark.requirement("MCS-81", "MCS-105")
async def test_an_import_is_told_changed_and_gone(place: Place) -> None:
    async with admin_of(place) as admin, dns_beside(place) as address, namespace(admin, space()) as prod:
        resolver, shop = Resolver(address), f"shop.{prod}.svc.{Z}"
        await resolver.is_denied(f"{prod}.svc.{Z}", Rcode.NOERROR)
        assert await resolver.rcode(shop) == Rcode.NXDOMAIN
        await admin.create(SERVICE_IMPORTS, import_of(prod, "shop", "ClusterSetIP", ["10.1.128.7"]))
        await resolver.is_told(shop, "10.1.128.7")
        await admin.merge_patch(SERVICE_IMPORTS, "shop", {"spec": {"ips": ["10.1.128.8"]}}, namespace=prod)
        await resolver.is_told(shop, "10.1.128.8")
        await admin.delete(SERVICE_IMPORTS, "shop", namespace=prod)
        await resolver.is_denied(shop)


@pytest.mark.requirement("MCS-84", "MCS-85", "MCS-86")
async def test_endpoints_of_a_headless_import_come_and_go(place: Place) -> None:
    async with admin_of(place) as admin, dns_beside(place) as address, namespace(admin, space()) as prod:
        resolver, db = Resolver(address), f"db.{prod}.svc.{Z}"
        await admin.create(SERVICE_IMPORTS, import_of(prod, "db", "Headless"))
        await admin.create(ENDPOINT_SLICES, slice_of(prod, "db", "east", ("db-0", "10.1.0.1"), ("db-1", "10.1.0.2")))
        await admin.create(ENDPOINT_SLICES, slice_of(prod, "db", "west", ("db-0", "10.2.0.1")))
        await resolver.is_told(db, "10.1.0.1", "10.1.0.2", "10.2.0.1")
        await resolver.is_told(f"db-0.west.{db}", "10.2.0.1")
        services = await resolve(f"_http._tcp.{db}", Type.SRV, address)
        assert {record.data for record in services.answers} == {
            Service(80, f"{host}.{db}") for host in ("db-0.east", "db-1.east", "db-0.west")
        }
        assert addresses(Reply(0, services.question, 0, services.additional, (), (), True, False)) == [
            "10.1.0.1", "10.1.0.2", "10.2.0.1",
        ]  # fmt: skip
        not_ready = {"endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": False}}]}
        await admin.merge_patch(ENDPOINT_SLICES, "db-east", not_ready, namespace=prod)
        await resolver.is_told(db, "10.2.0.1")
        await admin.delete(ENDPOINT_SLICES, "db-west", namespace=prod)
        await resolver.is_denied(db)


@pytest.mark.requirement("MCS-104")
async def test_before_the_first_lists_it_fails_then_answers(place: Place) -> None:
    async with admin_of(place) as admin, namespace(admin, space()) as prod:
        await admin.create(SERVICE_IMPORTS, import_of(prod, "shop", "ClusterSetIP", ["10.1.128.7"]))
        await place.take_away()
        async with dns_beside(place) as address:
            resolver = Resolver(address)
            for name in (f"shop.{prod}.svc.{Z}", f"nobody.{prod}.svc.{Z}", Z, "example.com"):
                assert await resolver.rcode(name) == Rcode.SERVFAIL
            await place.bring_back()
            await resolver.is_told(f"shop.{prod}.svc.{Z}", "10.1.128.7")
            assert await resolver.rcode(f"nobody.{prod}.svc.{Z}") == Rcode.NXDOMAIN
            assert await resolver.rcode("example.com") == Rcode.REFUSED


@pytest.mark.requirement("MCS-104")
async def test_while_its_api_server_is_away_it_goes_on_from_memory(place: Place) -> None:
    async with admin_of(place) as admin, dns_beside(place) as address, namespace(admin, space()) as prod:
        resolver, shop = Resolver(address), f"shop.{prod}.svc.{Z}"
        await admin.create(SERVICE_IMPORTS, import_of(prod, "shop", "ClusterSetIP", ["10.1.128.7"]))
        await resolver.is_told(shop, "10.1.128.7")
        await place.take_away()
        for name, want in ((shop, Rcode.NOERROR), (shop.upper(), Rcode.NOERROR), (f"x.{Z}", Rcode.NXDOMAIN)):
            assert await resolver.rcode(name) == want
        await place.bring_back()
        await eventually(lambda: admin.serves(SERVICE_IMPORTS))
        await admin.merge_patch(SERVICE_IMPORTS, "shop", {"spec": {"ips": ["10.1.128.8"]}}, namespace=prod)
        await resolver.is_told(shop, "10.1.128.8")


@pytest.mark.requirement("MCS-104")
async def test_slices_without_the_label_are_not_looked_at(place: Place) -> None:
    async with admin_of(place) as admin, dns_beside(place) as address, namespace(admin, space()) as prod:
        resolver, db = Resolver(address), f"db.{prod}.svc.{Z}"
        local = slice_of(prod, "db", "local", ("db-9", "10.1.0.9"))
        local["metadata"]["labels"] = {"kubernetes.io/service-name": "db"}
        await admin.create(ENDPOINT_SLICES, local)
        await admin.create(SERVICE_IMPORTS, import_of(prod, "db", "Headless"))
        await admin.create(ENDPOINT_SLICES, slice_of(prod, "db", "east", ("db-0", "10.1.0.1")))
        await resolver.is_told(db, "10.1.0.1")


async def test_many_changes_at_once_all_arrive(place: Place) -> None:
    async with admin_of(place) as admin, dns_beside(place) as address, namespace(admin, space()) as prod:
        resolver = Resolver(address)
        ips = {f"shop-{n}": str(ip_address("10.1.130.0") + n) for n in range(60)}
        async with asyncio.TaskGroup() as tasks:
            for name, ip in ips.items():
                tasks.create_task(admin.create(SERVICE_IMPORTS, import_of(prod, name, "ClusterSetIP", [ip])))
        for name, ip in ips.items():
            await resolver.is_told(f"{name}.{prod}.svc.{Z}", ip)


async def test_the_whole_process_answers_on_the_address_it_is_given(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind((LOCAL, 0))
        port = free.getsockname()[1]
    options = DNSOptions(place.kubeconfig, listen=((LOCAL, port),), zone="Set.Example.Org.", ttl=7)
    caplog.set_level(logging.INFO)
    async with admin_of(place) as admin, namespace(admin, space()) as prod, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run(options))
        await admin.create(SERVICE_IMPORTS, import_of(prod, "shop", "ClusterSetIP", ["10.1.128.7"]))
        await eventually(lambda: answering(caplog))
        await Resolver((LOCAL, port)).is_told(f"shop.{prod}.svc.set.example.org", "10.1.128.7")
        reply = await resolve(f"shop.{prod}.svc.set.example.org", Type.A, (LOCAL, port))
        assert [record.ttl for record in reply.answers] == [7]
        task.cancel()


async def answering(caplog: pytest.LogCaptureFixture) -> bool:
    return "dns answering" in caplog.messages


@pytest.mark.parametrize(
    ("listen", "zone", "ttl", "said"),
    [
        pytest.param([(LOCAL, 53)], "", 5, "no domain name", id="no zone"),
        pytest.param([(LOCAL, 53)], "a..b", 5, "no domain name", id="a zone that is no name"),
        pytest.param([(LOCAL, 53)], Z, -1, "between 0 and 3600", id="a TTL below"),
        pytest.param([(LOCAL, 53)], Z, 3601, "between 0 and 3600", id="a TTL above"),
        pytest.param([], Z, 5, "give at least one", id="nowhere to listen"),
    ],
)
@pytest.mark.requirement("MCS-99")
def test_odd_options_are_refused(listen: Sequence[tuple[str, int]], zone: str, ttl: int, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        DNSOptions(None, tuple(listen), zone, ttl)


async def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="nowhere"):
        await run(DNSOptions(tmp_path / "nowhere", listen=((LOCAL, 0),)))
