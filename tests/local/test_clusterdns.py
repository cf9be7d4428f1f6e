import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest

from isthmus.api.core import ENDPOINT_SLICES, SERVICE_NAME_LABEL, SERVICES
from isthmus.api.scheme import Manifest
from isthmus.errors import Unreachable
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.message import Answer, Question, Rcode
from isthmus.kit.dns.records import Address, Pointer, Record, Service, Text, Type
from isthmus.kit.dns.server import Server, bind
from isthmus.local.clusterdns import ClusterDNSOptions, Names, run_cluster_dns
from tests.local.conftest import Around, eventually
from tests.real.ports import free_port

Where = tuple[str, int]
SET_NAME = "shop.prod.svc.clusterset.local"
SET_ADDRESS = ip_address("10.7.128.44")


@contextlib.asynccontextmanager
async def set_dns() -> AsyncIterator[Where]:
    """Another name server, which knows the set's names."""

    def handler(question: Question) -> Answer:
        name = question.name
        return Answer(answers=(Record(name, Address(SET_ADDRESS), 5),) if name == SET_NAME else ())

    sockets = bind([("127.0.0.1", 0)])
    task = asyncio.ensure_future(Server(handler).run(sockets))
    yield sockets[0].getsockname()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def dns(around: Around) -> AsyncIterator[Where]:
    where = ("127.0.0.1", free_port())
    async with set_dns() as other:
        around.tasks.create_task(run_cluster_dns(around, ClusterDNSOptions(listen=(where,), clusterset=(other,))))

        async def answers() -> bool:
            try:
                reply = await resolve("kubernetes.default.svc.cluster.local", Type.A, where)
            except Unreachable:
                return False
            return reply.rcode == Rcode.NOERROR and bool(reply.answers)

        await eventually(answers)
        yield where


async def asked(name: str, kind: int, where: Where) -> list[object]:
    return [record.data for record in (await resolve(name, kind, where)).answers]


async def becomes(name: str, kind: int, where: Where, wanted: set[object]) -> None:
    async def is_wanted() -> bool:
        return set(await asked(name, kind, where)) == wanted

    await eventually(is_wanted)


def addresses(*texts: str) -> set[object]:
    return {Address(ip_address(text)) for text in texts}


async def shop(around: Around, **spec: object) -> tuple[str, ...]:
    wanted: Manifest = {
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        "ipFamilyPolicy": "PreferDualStack",
        **spec,
    }
    return (await around.make(SERVICES, {"metadata": {"name": "shop"}, "spec": wanted})).spec.cluster_ips


async def behind(around: Around, *endpoints: Manifest) -> None:
    manifest: Manifest = {
        "metadata": {"name": "shop-1", "labels": {SERVICE_NAME_LABEL: "shop"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }
    await around.client.apply(ENDPOINT_SLICES, manifest, namespace="default")


def endpoint(address: str, *, ready: bool = True, **more: object) -> Manifest:
    return {"addresses": [address], "conditions": {"ready": ready}, **more}


async def test_a_service_has_its_addresses_its_ports_and_its_way_back(around: Around, dns: Where) -> None:
    four, six = sorted(await shop(around))
    name = "shop.default.svc.cluster.local"
    await becomes(name, Type.A, dns, addresses(four))
    await becomes(name, Type.AAAA, dns, addresses(six))
    assert await asked(f"_http._tcp.{name}", Type.SRV, dns) == [Service(80, name)]
    for text in (four, six):
        assert await asked(ip_address(text).reverse_pointer, Type.PTR, dns) == [Pointer(Type.PTR, name)]


async def test_a_headless_service_has_its_ready_endpoints(around: Around, dns: Where) -> None:
    await shop(around, clusterIP="None", ipFamilyPolicy="SingleStack")
    await behind(around, endpoint("10.9.1.1", hostname="db-0"), endpoint("10.9.1.2"), endpoint("10.9.1.3", ready=False))
    name = "shop.default.svc.cluster.local"
    await becomes(name, Type.A, dns, addresses("10.9.1.1", "10.9.1.2"))
    assert set(await asked(f"db-0.{name}", Type.A, dns)) == addresses("10.9.1.1")
    assert await asked("1.1.9.10.in-addr.arpa", Type.PTR, dns) == [Pointer(Type.PTR, f"db-0.{name}")]
    assert set(await asked(f"_http._tcp.{name}", Type.SRV, dns)) == {
        Service(8080, f"db-0.{name}"),
        Service(8080, f"10-9-1-2.{name}"),
    }
    await behind(around, endpoint("10.9.1.4"))
    await becomes(name, Type.A, dns, addresses("10.9.1.4"))


async def test_a_deleted_service_has_no_name(around: Around, dns: Where) -> None:
    await shop(around)
    name = "shop.default.svc.cluster.local"

    async def rcode() -> int:
        return (await resolve(name, Type.A, dns)).rcode

    async def is_there() -> bool:
        return await rcode() == Rcode.NOERROR

    async def is_gone() -> bool:
        return await rcode() == Rcode.NXDOMAIN

    await eventually(is_there)
    await around.client.delete(SERVICES, "shop", namespace="default")
    await eventually(is_gone)


async def test_names_of_the_set_are_asked_of_its_own_server(dns: Where) -> None:
    assert set(await asked(SET_NAME, Type.A, dns)) == {Address(SET_ADDRESS)}


@pytest.mark.parametrize(
    "name", ["www.example.org", "shop.default.svc.cluster.local.default.svc", "9.9.9.9.in-addr.arpa"]
)
async def test_names_of_the_outside_are_not_there(dns: Where, name: str) -> None:
    assert (await resolve(name, Type.A, dns)).rcode == Rcode.NXDOMAIN


async def test_the_schema_version_is_told(dns: Where) -> None:
    assert await asked("dns-version.cluster.local", Type.TXT, dns) == [Text("1.1.0")]


async def test_names_of_the_outside_go_to_the_upstream_where_one_is_named(around: Around) -> None:
    async with set_dns() as other:
        where = ("127.0.0.1", free_port())
        options = ClusterDNSOptions(
            listen=(where,), clusterset=(("127.0.0.1", 1),), upstream=(other,), zone="cluster.test"
        )
        around.tasks.create_task(run_cluster_dns(around, options))

        async def upstream_answers() -> bool:
            with contextlib.suppress(Unreachable):
                reply = await resolve("www.example.org", Type.A, where)
                return reply.rcode == Rcode.NOERROR
            return False

        await eventually(upstream_answers)
        assert (await resolve("9.9.9.9.in-addr.arpa", Type.PTR, where)).rcode == Rcode.NOERROR


async def test_it_answers_over_tcp_too(dns: Where) -> None:
    reader, writer = await asyncio.open_connection(*dns)
    question = b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"
    packet = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question
    writer.write(len(packet).to_bytes(2, "big") + packet)
    size = int.from_bytes(await reader.readexactly(2), "big")
    reply = await reader.readexactly(size)
    assert reply[:2] == b"\x12\x34"
    assert int.from_bytes(reply[6:8], "big") == 1
    writer.close()


async def test_before_it_knows_anything_it_says_so_instead_of_no_such_name(around: Around) -> None:
    names = Names(around, ClusterDNSOptions(listen=(), clusterset=()))
    around.informer(SERVICES).synced = False
    answer = names.answer(Question("x.default.svc.cluster.local", Type.A))
    assert isinstance(answer, Answer)
    assert answer.rcode == Rcode.SERVFAIL


async def test_names_are_found_whatever_their_case(around: Around, dns: Where) -> None:
    four = next(text for text in await shop(around) if "." in text)
    await becomes("SHOP.Default.svc.cluster.local", Type.A, dns, addresses(four))
