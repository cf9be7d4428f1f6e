"""What DNS says of a service: the records of each kind of import, and the zone they make."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from isthmus.api.core import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from isthmus.api.mcs import (
    CLUSTER_SET_IP,
    HEADLESS,
    SERVICE_NAME_LABEL,
    SOURCE_CLUSTER_LABEL,
    ImportedPort,
    ServiceImport,
    ServiceImportSpec,
)
from isthmus.api.meta import ObjectMeta
from isthmus.kit.dns.message import Question, Rcode
from isthmus.kit.dns.records import Address, Data, Record, Service, Text, Type
from isthmus.kit.dns.zone import Zone
from isthmus.mcs.rules import records
from isthmus.mcs.rules.records import namespace_records, service_records, zone_records

Z = "clusterset.local"
SHOP = f"shop.prod.svc.{Z}"
HTTP = ImportedPort(name="http", port=80)
DNS = (ImportedPort(name="dns", port=53, protocol="TCP"), ImportedPort(name="dns-udp", port=53, protocol="UDP"))


def imported(kind: str, *ports: ImportedPort, ips: Sequence[str] = ()) -> ServiceImport:
    spec = ServiceImportSpec(type=kind, ports=ports, ips=tuple(ips))
    return ServiceImport(metadata=ObjectMeta(name="shop", namespace="prod"), spec=spec)


def pod(*addresses: str, hostname: str | None = None, ready: bool | None = None) -> Endpoint:
    return Endpoint(addresses=addresses, hostname=hostname, conditions=EndpointConditions(ready=ready))


def of(cluster: str, *pods: Endpoint, ports: Sequence[EndpointPort] = ()) -> EndpointSlice:
    labels = {SERVICE_NAME_LABEL: "shop", SOURCE_CLUSTER_LABEL: cluster}
    return EndpointSlice(
        metadata=ObjectMeta(namespace="prod", labels={key: value for key, value in labels.items() if value}),
        endpoints=pods,
        ports=tuple(ports),
    )


def zone_of(service_import: ServiceImport, *slices: EndpointSlice, ttl: int = 5) -> Zone:
    zone = Zone(Z, ttl=ttl, serial=1)
    zone.replace("zone", zone_records(zone=Z))
    zone.replace("namespace", namespace_records("prod", zone=Z))
    zone.replace("service", service_records(service_import, slices, zone=Z, ttl=ttl))
    return zone


def told(zone: Zone, name: str, kind: int) -> list[str] | Rcode:
    """The answer as text, or why there is none."""
    answer = zone.answer(Question(name, kind))
    assert answer is not None
    return [shown(record.data) for record in answer.answers] or Rcode(answer.rcode)


def shown(data: Data) -> str:
    match data:
        case Address():
            return str(data.address)
        case Service():
            return f"{data.target}:{data.port}"
        case Text():
            return data.value
        case _:
            return repr(data)


TARGET = EndpointPort(name="http", protocol="TCP", port=8080)
PAIR = (
    of("east", pod("10.1.0.1", hostname="db-0"), pod("10.1.0.2"), ports=[TARGET]),
    of("east", pod("fd69:1::1", hostname="db-0"), pod("fd69:1::2"), ports=[TARGET]),
    of("west", pod("10.2.0.1", hostname="db-0"), ports=[TARGET]),
)


@pytest.mark.requirement("MCS-80")
def test_the_zone_tells_its_schema_version() -> None:
    assert told(zone_of(imported(HEADLESS)), f"dns-version.{Z}", Type.TXT) == ["1.0.0"]


@pytest.mark.requirement("MCS-81", "MCS-82", "MCS-83", "MCS-87", "MCS-90", "MCS-91", "MCS-102")
@pytest.mark.parametrize(
    ("name", "kind", "want"),
    [
        pytest.param(SHOP, Type.A, ["10.1.128.7"], id="A"),
        pytest.param(SHOP, Type.AAAA, ["fd69:1:1::7"], id="AAAA"),
        pytest.param(f"_dns._tcp.{SHOP}", Type.SRV, [f"{SHOP}:53"], id="SRV of a TCP port"),
        pytest.param(f"_dns-udp._udp.{SHOP}", Type.SRV, [f"{SHOP}:53"], id="SRV of a UDP port"),
        pytest.param(f"_sig._sctp.{SHOP}", Type.SRV, [f"{SHOP}:9"], id="SRV of an SCTP port"),
        pytest.param(f"_http._tcp.{SHOP}", Type.SRV, [f"{SHOP}:80"], id="an absent protocol is TCP"),
        pytest.param(f"_dns._udp.{SHOP}", Type.SRV, Rcode.NXDOMAIN, id="the other protocol's name"),
        pytest.param(f"_ike._icmp.{SHOP}", Type.SRV, Rcode.NXDOMAIN, id="no such protocol"),
        pytest.param(SHOP, Type.SRV, [f"{SHOP}:53", f"{SHOP}:9", f"{SHOP}:80"], id="SRV of all, each once"),
        pytest.param(SHOP, Type.TXT, Rcode.NOERROR, id="another type"),
        pytest.param(f"_tcp.{SHOP}", Type.SRV, Rcode.NOERROR, id="between"),
    ],
)
def test_a_service_with_an_ip_is_found_at_it(name: str, kind: int, want: list[str] | Rcode) -> None:
    ports = (*DNS, ImportedPort(name="sig", port=9, protocol="SCTP"), HTTP, ImportedPort(port=1234),
             ImportedPort(name="ike", port=5, protocol="ICMP"))  # fmt: skip
    zone = zone_of(imported(CLUSTER_SET_IP, *ports, ips=["10.1.128.7", "fd69:1:1::7"]), *PAIR)
    assert told(zone, name, kind) == want


@pytest.mark.requirement("MCS-87")
def test_two_ports_of_one_number_are_one_record_at_the_services_name() -> None:
    zone = zone_of(imported(CLUSTER_SET_IP, *DNS, ips=["10.1.128.7"]))
    assert told(zone, SHOP, Type.SRV) == [f"{SHOP}:53"]


@pytest.mark.requirement("MCS-88", "MCS-98")
@pytest.mark.parametrize("name", [f"east.{SHOP}", f"db-0.east.{SHOP}", f"10-1-0-2.east.{SHOP}"])
def test_a_service_with_an_ip_has_no_names_of_clusters_or_endpoints(name: str) -> None:
    assert told(zone_of(imported(CLUSTER_SET_IP, HTTP, ips=["10.1.128.7"]), *PAIR), name, Type.A) == Rcode.NXDOMAIN


@pytest.mark.requirement("MCS-96")
@pytest.mark.parametrize(
    ("ips", "kind", "want"),
    [
        pytest.param(["10.1.128.7"], Type.A, ["10.1.128.7"], id="without endpoints it still answers"),
        pytest.param(["10.1.128.7"], Type.AAAA, Rcode.NOERROR, id="a family that it lacks"),
        pytest.param([], Type.A, Rcode.NOERROR, id="before it has an address"),
        pytest.param([], Type.SRV, Rcode.NOERROR, id="before it has an address that a port could lead to"),
        pytest.param(["no address"], Type.A, Rcode.NOERROR, id="with an address that is none"),
    ],
)
def test_a_service_with_an_ip_exists_whatever_it_lacks(ips: list[str], kind: int, want: list[str] | Rcode) -> None:
    assert told(zone_of(imported(CLUSTER_SET_IP, HTTP, ips=ips)), SHOP, kind) == want


@pytest.mark.requirement("MCS-84", "MCS-85", "MCS-86", "MCS-87", "MCS-88", "MCS-94", "MCS-97", "MCS-103")
@pytest.mark.parametrize(
    ("name", "kind", "want"),
    [
        pytest.param(SHOP, Type.A, ["10.1.0.2", "10.1.0.1", "10.2.0.1"], id="every endpoint"),
        pytest.param(SHOP, Type.AAAA, ["fd69:1::1", "fd69:1::2"], id="every endpoint of the other family"),
        pytest.param(f"db-0.east.{SHOP}", Type.A, ["10.1.0.1"], id="one endpoint by host name"),
        pytest.param(f"db-0.east.{SHOP}", Type.AAAA, ["fd69:1::1"], id="the same in the other family"),
        pytest.param(f"10-1-0-2.east.{SHOP}", Type.A, ["10.1.0.2"], id="one without a host name"),
        pytest.param(f"10-1-0-2.east.{SHOP}", Type.AAAA, Rcode.NOERROR, id="which is of one family"),
        pytest.param(f"fd69-1--2.east.{SHOP}", Type.AAAA, ["fd69:1::2"], id="as is the other"),
        pytest.param(f"db-0.west.{SHOP}", Type.A, ["10.2.0.1"], id="the host of that name in another cluster"),
        pytest.param(f"db-1.west.{SHOP}", Type.A, Rcode.NXDOMAIN, id="no such host"),
        pytest.param(f"db-0.north.{SHOP}", Type.A, Rcode.NXDOMAIN, id="no such cluster"),
        pytest.param(f"north.{SHOP}", Type.A, Rcode.NXDOMAIN, id="nothing below it either"),
        pytest.param(f"east.{SHOP}", Type.A, Rcode.NOERROR, id="a cluster has no record, but names below"),
        pytest.param(f"east.{SHOP}", Type.SRV, Rcode.NOERROR, id="of no type"),
        pytest.param(
            f"_http._tcp.{SHOP}",
            Type.SRV,
            [f"10-1-0-2.east.{SHOP}:80", f"db-0.east.{SHOP}:80", f"db-0.west.{SHOP}:80", f"fd69-1--2.east.{SHOP}:80"],
            id="SRV: each host once, the Service's number",
        ),
        pytest.param(
            SHOP,
            Type.SRV,
            [f"10-1-0-2.east.{SHOP}:80", f"db-0.east.{SHOP}:80", f"db-0.west.{SHOP}:80", f"fd69-1--2.east.{SHOP}:80"],
            id="SRV at the service's name",
        ),
        pytest.param(f"_tcp.{SHOP}", Type.SRV, Rcode.NOERROR, id="between"),
        pytest.param(f"_http._udp.{SHOP}", Type.SRV, Rcode.NXDOMAIN, id="another protocol"),
    ],
)
def test_a_headless_service_is_found_at_its_endpoints(name: str, kind: int, want: list[str] | Rcode) -> None:
    assert told(zone_of(imported(HEADLESS, HTTP), *PAIR), name, kind) == want


@pytest.mark.requirement("MCS-93")
def test_a_headless_services_srv_brings_the_addresses() -> None:
    answer = zone_of(imported(HEADLESS, HTTP), *PAIR).answer(Question(f"_http._tcp.{SHOP}", Type.SRV))
    assert answer is not None
    assert {shown(record.data) for record in answer.additional} == {
        "10.1.0.1", "10.1.0.2", "10.2.0.1", "fd69:1::1", "fd69:1::2",
    }  # fmt: skip


@pytest.mark.requirement("MCS-101")
def test_a_cluster_id_of_two_labels_takes_two_labels() -> None:
    zone = zone_of(imported(HEADLESS, HTTP), of("east.aws", pod("10.1.0.1", hostname="db-0"), ports=[TARGET]))
    assert told(zone, f"db-0.east.aws.{SHOP}", Type.A) == ["10.1.0.1"]
    assert told(zone, f"east.aws.{SHOP}", Type.A) == Rcode.NOERROR
    assert told(zone, f"aws.{SHOP}", Type.A) == Rcode.NOERROR
    assert told(zone, SHOP, Type.SRV) == [f"db-0.east.aws.{SHOP}:80"]


@pytest.mark.requirement("MCS-101")
def test_an_endpoint_whose_name_is_too_long_has_none_and_takes_traffic_all_the_same() -> None:
    long, short = of("c" * 63, pod("10.1.0.1", hostname="h" * 63)), of("east", pod("10.1.0.2", hostname="h"))
    service = ServiceImport(
        metadata=ObjectMeta(name="s" * 63, namespace="n" * 63), spec=ServiceImportSpec(type=HEADLESS, ports=(HTTP,))
    )
    zone = zone_of(service, long, short)
    name = f"{'s' * 63}.{'n' * 63}.svc.{Z}"
    assert told(zone, name, Type.A) == ["10.1.0.1", "10.1.0.2"]
    assert told(zone, f"h.east.{name}", Type.A) == ["10.1.0.2"]


@pytest.mark.requirement("MCS-86")
def test_n_endpoints_and_m_ports_give_n_times_m_records() -> None:
    ports = [EndpointPort(name=port.name, protocol=port.protocol, port=5353) for port in DNS]
    pods = [pod(f"10.1.0.{n}", hostname=f"db-{n}") for n in range(3)]
    found = service_records(imported(HEADLESS, *DNS), [of("east", *pods, ports=ports)], zone=Z, ttl=5)
    assert len([record for record in found if record.name.startswith("_")]) == 3 * 2


@pytest.mark.requirement("MCS-84", "MCS-95")
@pytest.mark.parametrize(
    ("ready", "want"),
    [
        pytest.param(True, ["10.1.0.1"], id="ready"),
        pytest.param(None, ["10.1.0.1"], id="not said: ready"),
        pytest.param(False, Rcode.NXDOMAIN, id="not ready: no such name"),
    ],
)
def test_only_ready_endpoints_are_named(ready: bool | None, want: list[str] | Rcode) -> None:
    zone = zone_of(imported(HEADLESS, HTTP), of("east", pod("10.1.0.1", hostname="db-0", ready=ready), ports=[TARGET]))
    for name in (SHOP, f"db-0.east.{SHOP}"):
        assert told(zone, name, Type.A) == want
    assert (told(zone, SHOP, Type.SRV) == Rcode.NXDOMAIN) is (ready is False)


@pytest.mark.requirement("MCS-84")
def test_of_very_many_endpoints_the_same_ones_answer_in_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MOST_ENDPOINTS", 2)
    hosts = ["b", "d", "a", "c"]
    fours = of("east", *(pod(f"10.1.0.{ord(host)}", hostname=host) for host in hosts))
    sixes = of("east", *(pod(f"fd69::{ord(host)}", hostname=host) for host in reversed(hosts)))
    zone = zone_of(imported(HEADLESS, HTTP), fours, sixes)
    assert told(zone, SHOP, Type.A) == ["10.1.0.97", "10.1.0.98"]
    assert told(zone, SHOP, Type.AAAA) == ["fd69::97", "fd69::98"]
    assert told(zone, f"d.east.{SHOP}", Type.A) == ["10.1.0.100"]


@pytest.mark.requirement("MCS-91")
@pytest.mark.parametrize("name", [None, ""])
def test_an_unnamed_port_has_no_srv_record(name: str | None) -> None:
    piece = of("east", pod("10.1.0.1"), ports=[EndpointPort(name=name, port=8080)])
    assert told(zone_of(imported(HEADLESS, ImportedPort(port=80)), piece), SHOP, Type.SRV) == Rcode.NOERROR


@pytest.mark.requirement("MCS-103")
def test_a_port_that_the_import_does_not_tell_of_has_the_backends_number() -> None:
    piece = of("east", pod("10.1.0.1"), ports=[TARGET, EndpointPort(name="none")])
    assert told(zone_of(imported(HEADLESS), piece), SHOP, Type.SRV) == [f"10-1-0-1.east.{SHOP}:8080"]


def test_endpoints_of_no_known_cluster_answer_without_a_name_of_their_own() -> None:
    zone = zone_of(imported(HEADLESS, HTTP), of("", pod("10.1.0.1", hostname="db-0"), ports=[TARGET]))
    assert told(zone, SHOP, Type.A) == ["10.1.0.1"]
    assert told(zone, SHOP, Type.SRV) == Rcode.NOERROR


@pytest.mark.requirement("MCS-85")
def test_an_address_told_twice_is_answered_once() -> None:
    twice = of("east", pod("10.1.0.1", "10.1.0.3", hostname="db-0")), of("east", pod("10.1.0.1", hostname="db-0"))
    zone = zone_of(imported(HEADLESS), *twice)
    assert told(zone, SHOP, Type.A) == told(zone, f"db-0.east.{SHOP}", Type.A) == ["10.1.0.1", "10.1.0.3"]


def test_an_address_that_is_none_spoils_nothing() -> None:
    zone = zone_of(imported(HEADLESS), of("east", pod("example.com"), pod("10.1.0.1"), pod("999.1.1.1")))
    assert told(zone, SHOP, Type.A) == ["10.1.0.1"]


@pytest.mark.requirement("MCS-97")
@pytest.mark.parametrize(
    ("name", "want"),
    [
        pytest.param(Z, Rcode.NOERROR, id="the zone"),
        pytest.param(f"svc.{Z}", Rcode.NOERROR, id="svc"),
        pytest.param(f"prod.svc.{Z}", Rcode.NOERROR, id="a namespace without services"),
        pytest.param(f"test.svc.{Z}", Rcode.NXDOMAIN, id="no such namespace"),
        pytest.param(f"cart.prod.svc.{Z}", Rcode.NXDOMAIN, id="no such service"),
    ],
)
def test_the_frame_exists_without_services(name: str, want: Rcode) -> None:
    assert told(zone_of(imported(HEADLESS)), name, Type.A) == want


@pytest.mark.requirement("MCS-99")
def test_records_live_as_long_as_they_are_told_to() -> None:
    for ttl in (0, 5, 3600):
        zone = zone_of(imported(HEADLESS, HTTP), *PAIR, ttl=ttl)
        for name, kind in ((SHOP, Type.A), (SHOP, Type.AAAA), (SHOP, Type.SRV), (f"db-0.east.{SHOP}", Type.A)):
            answer = zone.answer(Question(name, kind))
            assert answer is not None
            assert {record.ttl for record in (*answer.answers, *answer.additional)} == {ttl}
    (version,) = (record for record in zone_records(zone=Z) if isinstance(record.data, Text))
    assert version.ttl == 28800


@pytest.mark.requirement("MCS-90")
def test_another_zone_is_used_throughout() -> None:
    found = service_records(imported(HEADLESS, HTTP), PAIR, zone="set.example.org", ttl=5)
    targets = {record.data.target for record in found if isinstance(record.data, Service)}
    assert all(name.endswith(".svc.set.example.org") for name in {*targets, *(record.name for record in found)})


@pytest.mark.requirement("MCS-92")
def test_srv_records_have_priority_0_and_weight_100() -> None:
    found = service_records(imported(CLUSTER_SET_IP, HTTP, ips=["10.1.128.7"]), (), zone=Z, ttl=5)
    assert found[1:] == (
        Record(SHOP, Address(ip_address("10.1.128.7")), 5),
        Record(f"_http._tcp.{SHOP}", Service(80, SHOP, priority=0, weight=100), 5),
        Record(SHOP, Service(80, SHOP, priority=0, weight=100), 5),
    )


@pytest.mark.parametrize("odd", [ServiceImport(metadata=ObjectMeta(name="shop", namespace="prod")), imported("Odd")])
def test_an_import_of_no_known_type_says_nothing(odd: ServiceImport) -> None:
    assert service_records(odd, PAIR, zone=Z, ttl=5) == ()
