"""A cluster's Services as DNS tells of them.

"Kubernetes DNS-Based Service Discovery", schema version 1.1.0, which is 1.0.1 with both address families.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from isthmus.api.core import Endpoint, EndpointPort, EndpointSlice, Service
from isthmus.kit.dns import records
from isthmus.kit.dns.records import Address, Empty, Pointer, Record, Text, Type

SCHEMA_VERSION = "1.1.0"
_SCHEMA_TTL = 28800


def zone_records(*, zone: str) -> tuple[Record, ...]:
    """What stands in the zone before any Service does: the schema version, and `svc`."""
    return (
        Record(f"dns-version.{zone}", Text(SCHEMA_VERSION), _SCHEMA_TTL),
        Record(f"svc.{zone}", Empty(), _SCHEMA_TTL),
    )


def namespace_records(namespace: str, *, zone: str) -> tuple[Record, ...]:
    """A namespace exists in the zone, even before a Service of it does."""
    return (Record(f"{namespace}.svc.{zone}", Empty(), _SCHEMA_TTL),)


def service_records(service: Service, slices: Sequence[EndpointSlice], *, zone: str, ttl: int) -> tuple[Record, ...]:
    """All records of one Service, those of reverse lookups included; `slices` are those that carry its name."""
    name = f"{service.metadata.name}.{service.metadata.namespace}.svc.{zone}".lower()
    if service.spec.type == "ExternalName":
        target = service.spec.external_name.rstrip(".").lower()
        found: Iterable[Record] = [Record(name, Pointer(Type.CNAME, target), ttl)] if target else []
    elif service.spec.cluster_ip == "None":
        found = _of_headless(name, slices, ttl)
    else:
        found = _of_addresses(name, service, ttl)
    return tuple(dict.fromkeys(found))


def _of_addresses(name: str, service: Service, ttl: int) -> Iterator[Record]:
    yield Record(name, Empty(), ttl)
    for text in service.spec.cluster_ips or (service.spec.cluster_ip,):
        if address := _address(text):
            yield Record(name, Address(address), ttl)
            yield Record(address.reverse_pointer, Pointer(Type.PTR, name), ttl)
    for port in service.spec.ports:
        if port.name:
            yield Record(_port(port.name, port.protocol, name), records.Service(port.port, name), ttl)


def _of_headless(name: str, slices: Iterable[EndpointSlice], ttl: int) -> Iterator[Record]:
    # The Service is there while nobody is ready: "no address", not "no such name", which clients keep longer.
    yield Record(name, Empty(), ttl)
    for each in slices:
        for endpoint in each.endpoints:
            if endpoint.conditions.ready is not False:
                yield from _of_endpoint(name, endpoint, each.ports, ttl)


def _of_endpoint(name: str, endpoint: Endpoint, ports: Iterable[EndpointPort], ttl: int) -> Iterator[Record]:
    for address in (found for text in endpoint.addresses if (found := _address(text))):
        host = f"{endpoint.hostname or _dashed(address)}.{name}".lower()
        yield Record(name, Address(address), ttl)
        yield Record(host, Address(address), ttl)
        yield Record(address.reverse_pointer, Pointer(Type.PTR, host), ttl)
        for port in ports:
            if port.name and port.port:
                yield Record(_port(port.name, port.protocol or "TCP", name), records.Service(port.port, host), ttl)


def _port(port: str, protocol: str, name: str) -> str:
    return f"_{port}._{protocol}.{name}".lower()


def _dashed(address: IPv4Address | IPv6Address) -> str:
    """The name of an endpoint without a hostname: `10-1-0-5`."""
    return str(address).replace(".", "-").replace(":", "-")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
