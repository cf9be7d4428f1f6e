"""The whole DNS schema of KEP-1645, asked by another implementation's resolver beside a cluster of either kind."""

from dataclasses import dataclass

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from isthmus.api.core import ENDPOINT_SLICES
from isthmus.api.mcs import SERVICE_IMPORTS
from isthmus.api.scheme import Manifest
from tests.dns.clusters import Place, admin_of, eventually, namespace
from tests.dns.test_app import Z, dns_beside, place, slice_of, space

__all__ = ["place"]

PORTS: list[Manifest] = [
    {"name": "http", "port": 80, "protocol": "TCP"},
    {"name": "http-udp", "port": 80, "protocol": "UDP"},
    {"port": 9, "protocol": "SCTP"},
]


@dataclass(frozen=True)
class Asker:
    """Puts one question, and reads the answer as dnspython understands it."""

    host: str
    port: int

    async def ask(self, name: str, kind: str, *, tcp: bool = False) -> dns.message.Message:
        query = dns.message.make_query(name, kind, use_edns=False)
        if tcp:
            return await dns.asyncquery.tcp(query, self.host, port=self.port, timeout=5)
        return await dns.asyncquery.udp(query, self.host, port=self.port, timeout=5)

    async def data(self, name: str, kind: str) -> set[str]:
        answer = await self.ask(name, kind)
        return {item.to_text() for rrset in answer.answer for item in rrset}

    async def rcode(self, name: str, kind: str = "A") -> str:
        return dns.rcode.to_text((await self.ask(name, kind)).rcode())


def imported(namespace_: str, name: str, kind: str, *ips: str) -> Manifest:
    return {
        "apiVersion": SERVICE_IMPORTS.api_version,
        "kind": SERVICE_IMPORTS.kind,
        "metadata": {"name": name, "namespace": namespace_},
        "spec": {"type": kind, "ips": list(ips), "ports": PORTS},
    }


@pytest.mark.requirement(
    "MCS-80", "MCS-81", "MCS-82", "MCS-83", "MCS-87", "MCS-88", "MCS-90", "MCS-91", "MCS-92", "MCS-93", "MCS-96",
    "MCS-97", "MCS-98", "MCS-99", "MCS-100", "MCS-102",
)  # fmt: skip
async def test_a_service_with_clusterset_ips_has_just_these_names(place: Place) -> None:
    async with admin_of(place) as admin, dns_beside(place) as address, namespace(admin, space()) as prod:
        asker, shop = Asker(*address), f"shop.{prod}.svc.{Z}"
        await admin.create(SERVICE_IMPORTS, imported(prod, "shop", "ClusterSetIP", "10.1.128.7", "fd69:1:1::7"))
        await admin.create(ENDPOINT_SLICES, slice_of(prod, "shop", "east", ("pod-0", "10.1.0.1")))
        await eventually(lambda: is_told(asker, shop, "10.1.128.7"))
        assert await asker.data(shop, "AAAA") == {"fd69:1:1::7"}
        assert await asker.data(f"dns-version.{Z}", "TXT") == {'"1.0.0"'}
        assert await asker.data(f"_http._tcp.{shop}", "SRV") == {f"0 100 80 {shop}."}
        assert await asker.data(f"_http-udp._udp.{shop}", "SRV") == {f"0 100 80 {shop}."}
        # One target and number, however many ports lead there; and none for the port without a name.
        assert await asker.data(shop, "SRV") == {f"0 100 80 {shop}."}
        srv = await asker.ask(f"_http._tcp.{shop}", "SRV")
        assert {item.to_text() for rrset in srv.additional for item in rrset} == {"10.1.128.7", "fd69:1:1::7"}
        assert {rrset.ttl for rrset in srv.answer} == {5}
        for name, rcode in (
            (f"svc.{Z}", "NOERROR"),
            (f"{prod}.svc.{Z}", "NOERROR"),
            (f"_tcp.{shop}", "NOERROR"),
            (f"east.{shop}", "NXDOMAIN"),
            (f"pod-0.east.{shop}", "NXDOMAIN"),
            (f"nobody.{prod}.svc.{Z}", "NXDOMAIN"),
            (f"shop.no-such-namespace.svc.{Z}", "NXDOMAIN"),
        ):
            assert (name, await asker.rcode(name)) == (name, rcode)
        shouted = await asker.ask(shop.upper(), "A")
        assert shouted.question[0].name.to_text() == f"{shop.upper()}."
        assert shouted.answer[0][0].to_text() == "10.1.128.7"
        nothing = await asker.ask(shop, "MX")
        assert (nothing.rcode(), nothing.answer) == (dns.rcode.NOERROR, [])
        (authority,) = nothing.authority
        assert authority.rdtype == dns.rdatatype.SOA
        assert authority[0].minimum == 5


@pytest.mark.requirement(
    "MCS-84", "MCS-85", "MCS-86", "MCS-87", "MCS-88", "MCS-89", "MCS-94", "MCS-95", "MCS-97", "MCS-101", "MCS-103",
    "MCS-106", "ABOUT-14",
)  # fmt: skip
async def test_a_headless_service_has_a_name_for_every_ready_endpoint(place: Place) -> None:
    async with admin_of(place) as admin, dns_beside(place) as address, namespace(admin, space()) as prod:
        asker, db = Asker(*address), f"db.{prod}.svc.{Z}"
        await admin.create(SERVICE_IMPORTS, imported(prod, "db", "Headless"))
        await eventually(lambda: is_denied(asker, db))
        await admin.create(ENDPOINT_SLICES, slice_of(prod, "db", "east", ("db-0", "10.1.0.1"), ("", "10.1.0.2")))
        # An id of two labels takes two labels.
        await admin.create(ENDPOINT_SLICES, slice_of(prod, "db", "west.aws", ("db-0", "10.2.0.1")))
        await eventually(lambda: is_told(asker, db, "10.1.0.1", "10.1.0.2", "10.2.0.1"))
        hosts = {"db-0.east", "10-1-0-2.east", "db-0.west.aws"}
        # The Service's number, as the import has it, not the backend's 8080.
        wanted = {f"0 100 80 {host}.{db}." for host in hosts}
        assert await asker.data(db, "SRV") == await asker.data(f"_http._tcp.{db}", "SRV") == wanted
        assert await asker.data(f"db-0.west.aws.{db}", "A") == {"10.2.0.1"}
        assert await asker.data(f"10-1-0-2.east.{db}", "A") == {"10.1.0.2"}
        assert await asker.rcode(f"east.{db}") == "NOERROR"
        assert await asker.data(f"east.{db}", "A") == set()
        assert await asker.rcode("1.0.1.10.in-addr.arpa", "PTR") == "REFUSED"
        many = [(f"db-{number}", f"10.3.0.{number}") for number in range(1, 91)]
        await admin.create(ENDPOINT_SLICES, slice_of(prod, "db", "north", *many))

        async def is_cut() -> bool:
            return bool((await asker.ask(db, "A")).flags & dns.flags.TC)

        await eventually(is_cut)
        assert sum(map(len, (await asker.ask(db, "A", tcp=True)).answer)) == 93


async def is_denied(asker: Asker, name: str) -> bool:
    return await asker.rcode(name) == "NXDOMAIN"


async def is_told(asker: Asker, name: str, *addresses: str) -> bool:
    return await asker.data(name, "A") == set(addresses)
