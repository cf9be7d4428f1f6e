"""Which backends answer on which service address: what kube-proxy would decide on this node.

"Virtual IPs and Service Proxies" and "EndpointSlice" of the Kubernetes documentation.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from isthmus.api.core import HEADLESS_LABEL, Endpoint, EndpointSlice, Service, ServicePort

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
PROTOCOLS = ("TCP", "UDP")
# Seconds, where a Service does not say.
DEFAULT_STICKY = 10_800
_FAMILIES = ("IPv4", "IPv6")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the proxy stands: its node, and the node's zone, empty where it has none."""

    node: str
    zone: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """One address and port that answers for a service."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Route:
    """One service address and port, with the backends behind it; never empty.

    `sticky` is for how many seconds ClientIP affinity lasts after a client's last connection; 0 without. `others`
    are the service's backends of the other address family.
    """

    name: str
    protocol: str
    address: str
    port: int
    sticky: int
    backends: tuple[Backend, ...]
    others: tuple[Backend, ...] = ()


def routes(service: Service, slices: Sequence[EndpointSlice], place: Place) -> tuple[Route, ...]:
    """The routes of one Service, given the slices that carry its name.

    Nothing listens where no backend answers: then a connection is refused, as kube-proxy refuses it.
    Protocols other than TCP and UDP have no route.
    """
    if not is_proxied(service):
        return ()
    addresses = service_addresses(service)
    found = []
    for port in (port for port in service.spec.ports if port.protocol in PROTOCOLS):
        behind = {family: _backends(service, port, _of_family(slices, family), place) for family in _FAMILIES}
        for family, address in addresses:
            if behind[family]:
                others = tuple(backend for other in _FAMILIES if other != family for backend in behind[other])
                name = f"{service.metadata.namespace}/{service.metadata.name}:{port.port}/{port.protocol}/{address}"
                found.append(Route(name, port.protocol, address, port.port, _sticky(service), behind[family], others))
    return tuple(found)


def _sticky(service: Service) -> int:
    if service.spec.session_affinity != "ClientIP":
        return 0
    config = service.spec.session_affinity_config
    return (config.client_ip.timeout_seconds if config and config.client_ip else None) or DEFAULT_STICKY


def _of_family(slices: Iterable[EndpointSlice], family: str) -> list[EndpointSlice]:
    return [each for each in slices if each.address_type == family]


def is_proxied(service: Service) -> bool:
    """Whether this Service has addresses of its own that this proxy is to serve."""
    return (
        service.spec.type != "ExternalName"
        and service.spec.cluster_ip not in {"", "None"}
        and PROXY_NAME_LABEL not in service.metadata.labels
    )


def service_addresses(service: Service) -> list[tuple[str, str]]:
    """(IPv4 or IPv6, address) of each of the Service's addresses."""
    found = []
    for text in service.spec.cluster_ips or (service.spec.cluster_ip,):
        family = _family(text)
        if family:
            found.append((family, text))
    return found


def _family(text: str) -> str:
    try:
        return f"IPv{ip_address(text).version}"
    except ValueError:
        return ""


def _backends(
    service: Service, port: ServicePort, slices: Iterable[EndpointSlice], place: Place
) -> tuple[Backend, ...]:
    behind = [(endpoint, backend) for each in slices for endpoint, backend in _behind(each, port)]
    local_only = service.spec.internal_traffic_policy == "Local"
    if local_only:
        behind = [(endpoint, backend) for endpoint, backend in behind if endpoint.node_name == place.node]
    ready = [(endpoint, backend) for endpoint, backend in behind if endpoint.conditions.ready is not False]
    if not local_only:
        ready = _nearest(ready, place)
    # What is about to end is better than nothing (KEP-1669).
    chosen = ready or [(endpoint, backend) for endpoint, backend in behind if _serves_to_the_end(endpoint)]
    return tuple(sorted({backend for _, backend in chosen}))


def _behind(each: EndpointSlice, port: ServicePort) -> Iterator[tuple[Endpoint, Backend]]:
    labels = each.metadata.labels
    if HEADLESS_LABEL in labels or PROXY_NAME_LABEL in labels:
        return
    for offered in each.ports:
        if (offered.name or "") != port.name or (offered.protocol or "TCP") != port.protocol or not offered.port:
            continue
        for endpoint in each.endpoints:
            if endpoint.addresses and _family(endpoint.addresses[0]) == each.address_type:
                yield endpoint, Backend(endpoint.addresses[0], offered.port)


def _serves_to_the_end(endpoint: Endpoint) -> bool:
    return endpoint.conditions.serving is not False and endpoint.conditions.terminating is True


def _nearest(ready: Sequence[tuple[Endpoint, Backend]], place: Place) -> list[tuple[Endpoint, Backend]]:
    """Those meant for this node, else those meant for its zone, else all (KEP-2433, KEP-3015).

    Hints of a kind count only when every ready endpoint has some, and one of them is meant for here.
    """
    for here, meant in ((place.node, _nodes), (place.zone, _zones)):
        hints = [meant(endpoint) for endpoint, _ in ready]
        if here and all(hints) and any(here in names for names in hints):
            return [each for each, names in zip(ready, hints, strict=True) if here in names]
    return list(ready)


def _nodes(endpoint: Endpoint) -> frozenset[str]:
    return frozenset(each.name for each in endpoint.hints.for_nodes) if endpoint.hints else frozenset()


def _zones(endpoint: Endpoint) -> frozenset[str]:
    return frozenset(each.name for each in endpoint.hints.for_zones) if endpoint.hints else frozenset()
