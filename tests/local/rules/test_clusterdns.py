from ipaddress import ip_address

import pytest

from isthmus.api.core import (
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    Service,
    ServicePort,
    ServiceSpec,
)
from isthmus.api.meta import ObjectMeta
from isthmus.kit.dns import records
from isthmus.kit.dns.records import Address, Empty, Pointer, Text, Type
from isthmus.local.rules.clusterdns import namespace_records, service_records, zone_records

ZONE = "cluster.local"
NAME = f"shop.prod.svc.{ZONE}"
HTTP = ServicePort(name="http", port=80)


def service(**spec: object) -> Service:
    wanted = {"cluster_ip": "10.1.128.7", "cluster_ips": ("10.1.128.7", "fd69:1:1::7"), "ports": (HTTP,)} | spec
    return Service(
        metadata=ObjectMeta(name="shop", namespace="prod"),
        spec=ServiceSpec(**wanted),  # type: ignore[arg-type]  # a table of fields
    )


HEADLESS = service(cluster_ip="None", cluster_ips=("None",))


def piece(*endpoints: Endpoint) -> EndpointSlice:
    ports = (EndpointPort(name="http", protocol="TCP", port=8080), EndpointPort(name="", protocol="TCP", port=9))
    return EndpointSlice(address_type="IPv4", endpoints=endpoints, ports=ports)


def at(address: str, *, ready: bool | None = True, hostname: str | None = None) -> Endpoint:
    return Endpoint(addresses=(address,), conditions=EndpointConditions(ready=ready), hostname=hostname)


def found(wanted: Service, *slices: EndpointSlice) -> set[tuple[str, object]]:
    return {(record.name, record.data) for record in service_records(wanted, slices, zone=ZONE, ttl=5)}


def address(text: str) -> Address:
    return Address(ip_address(text))


def test_a_service_with_addresses() -> None:
    assert found(service()) == {
        (NAME, Empty()),
        (NAME, address("10.1.128.7")),
        (NAME, address("fd69:1:1::7")),
        (f"_http._tcp.{NAME}", records.Service(80, NAME)),
        ("7.128.1.10.in-addr.arpa", Pointer(Type.PTR, NAME)),
        (ip_address("fd69:1:1::7").reverse_pointer, Pointer(Type.PTR, NAME)),
    }


def test_a_port_without_name_has_no_srv_record() -> None:
    assert not [data for _, data in found(service(ports=(ServicePort(port=80),))) if isinstance(data, records.Service)]


def test_a_headless_service_has_its_endpoints() -> None:
    assert found(HEADLESS, piece(at("10.1.0.5", hostname="db-0"), at("10.1.0.6"))) == {
        (NAME, Empty()),
        (NAME, address("10.1.0.5")),
        (NAME, address("10.1.0.6")),
        (f"db-0.{NAME}", address("10.1.0.5")),
        (f"10-1-0-6.{NAME}", address("10.1.0.6")),
        (f"_http._tcp.{NAME}", records.Service(8080, f"db-0.{NAME}")),
        (f"_http._tcp.{NAME}", records.Service(8080, f"10-1-0-6.{NAME}")),
        ("5.0.1.10.in-addr.arpa", Pointer(Type.PTR, f"db-0.{NAME}")),
        ("6.0.1.10.in-addr.arpa", Pointer(Type.PTR, f"10-1-0-6.{NAME}")),
    }


@pytest.mark.parametrize(
    ("endpoint", "there"),
    [
        pytest.param(at("10.1.0.5", ready=None), True, id="not said is ready"),
        pytest.param(at("10.1.0.5", ready=False), False, id="not ready"),
        pytest.param(at("somewhere"), False, id="no address"),
    ],
)
def test_only_ready_endpoints_have_names(endpoint: Endpoint, there: bool) -> None:
    assert any(isinstance(data, Address) for _, data in found(HEADLESS, piece(endpoint))) is there


def test_a_headless_service_without_endpoints_is_a_name_without_address() -> None:
    assert found(HEADLESS) == {(NAME, Empty())}


def test_an_external_name_is_an_alias() -> None:
    alias = service(type="ExternalName", external_name="Db.Example.org.", cluster_ip="", cluster_ips=())
    assert found(alias) == {(NAME, Pointer(Type.CNAME, "db.example.org"))}


def test_namespaces_and_the_schema_version_are_there_before_any_service() -> None:
    assert [(each.name, each.data) for each in zone_records(zone=ZONE)] == [
        (f"dns-version.{ZONE}", Text("1.1.0")),
        (f"svc.{ZONE}", Empty()),
    ]
    assert [each.name for each in namespace_records("prod", zone=ZONE)] == [f"prod.svc.{ZONE}"]
