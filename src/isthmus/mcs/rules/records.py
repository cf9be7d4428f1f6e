"""A service of the set as DNS tells of it: an import and its slices become records.

KEP-1645's DNS specification, schema version 1.0.0.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from isthmus.api.core import Endpoint, EndpointPort, EndpointSlice
from isthmus.api.mcs import CLUSTER_SET_IP, HEADLESS, SOURCE_CLUSTER_LABEL, ImportedPort, ServiceImport
from isthmus.kit.dns.records import Address, Empty, Record, Service, Text

SCHEMA_VERSION = "1.0.0"
SCHEMA_TTL = 28800

_PROTOCOLS = {"TCP": "_tcp", "UDP": "_udp", "SCTP": "_sctp"}
# A service's own name leads to this many endpoints of a family: about what one packet over TCP carries (MCS-84).
_MOST_ENDPOINTS = 2000


def zone_records(*, zone: str) -> tuple[Record, ...]:
    """What stands in the zone before any service does: the schema version (MCS-80), and `svc` (MCS-97)."""
    return (
        Record(f"dns-version.{zone}", Text(SCHEMA_VERSION), SCHEMA_TTL),
        Record(f"svc.{zone}", Empty(), SCHEMA_TTL),
    )


def namespace_records(namespace: str, *, zone: str) -> tuple[Record, ...]:
    """A namespace of the cluster exists in the zone, even before a service of it does (MCS-96, MCS-97)."""
    return (Record(f"{namespace}.svc.{zone}", Empty(), SCHEMA_TTL),)


def service_records(
    service_import: ServiceImport, slices: Sequence[EndpointSlice], *, zone: str, ttl: int
) -> tuple[Record, ...]:
    """All records of one service; `slices` are those of its import, in the same namespace.

    None at `<clusterid>.<service>...` (MCS-88). A headless service without ready endpoints has no names (MCS-95);
    one with a clusterset IP always has (MCS-96).
    """
    spec = service_import.spec
    name = f"{service_import.metadata.name}.{service_import.metadata.namespace}.svc.{zone}"
    if spec is None or spec.type not in {CLUSTER_SET_IP, HEADLESS}:
        return ()
    if spec.type == CLUSTER_SET_IP:
        found = [Record(name, Empty(), ttl), *_cluster_set_ip_records(name, spec.ips, spec.ports, ttl)]
    else:
        found = list(_headless_records(name, spec.ports, list(_ready_endpoints(slices)), ttl))
    return tuple(dict.fromkeys(found))


def _cluster_set_ip_records(name: str, ips: Iterable[str], ports: Iterable[ImportedPort], ttl: int) -> Iterator[Record]:
    """MCS-81 to MCS-83, MCS-87; no SRV before there is an address for it to lead to."""
    addresses = [address for text in ips if (address := _address(text))]
    for address in addresses:
        yield Record(name, Address(address), ttl)
    for port in ports if addresses else ():
        yield from _port_records(name, port.name, port.protocol, Service(port.port, name), ttl)


def _port_records(
    name: str, port_name: str | None, protocol: str | None, service: Service, ttl: int
) -> Iterator[Record]:
    """Its SRV records: at the port's own name, and at the service's (MCS-87); none for unnamed ports (MCS-91)."""
    label = _PROTOCOLS.get(protocol or "TCP")
    if port_name and label:
        yield Record(f"_{port_name}.{label}.{name}", service, ttl)
        yield Record(name, service, ttl)


@dataclass(frozen=True, slots=True)
class _Ready:
    """One address that takes traffic."""

    cluster: str
    host: str
    address: IPv4Address | IPv6Address
    ports: tuple[EndpointPort, ...]


def _ready_endpoints(slices: Iterable[EndpointSlice]) -> Iterator[_Ready]:
    """Absent `ready` means ready (MCS-70)."""
    for piece in slices:
        cluster = piece.metadata.labels.get(SOURCE_CLUSTER_LABEL, "").lower()
        ready = [endpoint for endpoint in piece.endpoints if endpoint.conditions.ready is not False]
        for host, text in ((_host(endpoint, text), text) for endpoint in ready for text in endpoint.addresses):
            if address := _address(text):
                yield _Ready(cluster, host, address, piece.ports)


def _host(endpoint: Endpoint, address: str) -> str:
    """MCS-94."""
    return (endpoint.hostname or address.replace(".", "-").replace(":", "-")).lower()


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _headless_records(
    name: str, ports: Iterable[ImportedPort], endpoints: Sequence[_Ready], ttl: int
) -> Iterator[Record]:
    """MCS-84 to MCS-87."""
    numbers = {(port.name, port.protocol or "TCP"): port.port for port in ports}
    for endpoint in endpoints:
        if endpoint.cluster:
            yield Record(f"{endpoint.host}.{endpoint.cluster}.{name}", Address(endpoint.address), ttl)
    for endpoint in _first_of_each_family(endpoints):
        yield Record(name, Address(endpoint.address), ttl)
        if not endpoint.cluster:
            continue
        for port in endpoint.ports:
            # The Service's number, not the backend's, where the import tells it (MCS-103).
            number = numbers.get((port.name or "", port.protocol or "TCP"), port.port)
            if number is not None:
                service = Service(number, f"{endpoint.host}.{endpoint.cluster}.{name}")
                yield from _port_records(name, port.name, port.protocol, service, ttl)


def _first_of_each_family(endpoints: Iterable[_Ready]) -> Iterator[_Ready]:
    # By cluster and host, so that A and AAAA stay with the same endpoints (MCS-84).
    ordered = sorted(endpoints, key=lambda e: (e.cluster, e.host, e.address.packed))
    for version in (4, 6):
        yield from [e for e in ordered if e.address.version == version][:_MOST_ENDPOINTS]
