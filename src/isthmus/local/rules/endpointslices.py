"""The EndpointSlices of a Service with a selector: one set per address family and set of target ports.

As Kubernetes' EndpointSlice controller makes them, labels included, so that nobody can tell them apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from isthmus.api.apps import LabelSelector, Pod
from isthmus.api.core import (
    CORE_MANAGED_BY,
    HEADLESS_LABEL,
    MANAGED_BY_LABEL,
    SERVICE_NAME_LABEL,
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
    ForZone,
    ObjectReference,
    Service,
    ServicePort,
)
from isthmus.api.meta import ObjectMeta, OwnerReference
from isthmus.kit.names import digest
from isthmus.local.rules.ownership import selects
from isthmus.local.rules.pods import is_ready, is_terminal, is_terminating

MOST_ENDPOINTS = 100
# What a Service's own labels may not say about its slices.
_OURS = (SERVICE_NAME_LABEL, MANAGED_BY_LABEL, HEADLESS_LABEL)
_SUFFIX_LENGTH = 6
_SIDECAR = "Always"
_PREFER_NODE = "PreferSameNode"
_PREFER_ZONE = ("PreferClose", "PreferSameZone", _PREFER_NODE)

Ports = tuple[EndpointPort, ...]


@dataclass(slots=True)
class _Page:
    """One slice to be: the one that is there already, or a new one."""

    name: str
    endpoints: list[Endpoint] = field(default_factory=list)


def wanted_slices(
    service: Service, pods: Iterable[Pod], seen: Sequence[EndpointSlice], *, zones: Mapping[str, str]
) -> tuple[EndpointSlice, ...]:
    """The slices of `service`, given the pods of its namespace and those of its slices that are `seen`.

    An endpoint stays in the slice it is in, so a small change rewrites one slice. `zones` gives each
    node's zone. A Service without selector has none: others make them.
    """
    if not service.spec.selector or service.spec.type == "ExternalName":
        return ()
    selector = LabelSelector(match_labels=service.spec.selector)
    chosen = [pod for pod in pods if selects(selector, pod.metadata.labels) and not is_terminal(pod)]
    wanted: list[EndpointSlice] = []
    for family in _families(service):
        groups = _groups(service, chosen, family, zones)
        for ports, endpoints in groups.items():
            wanted += _paged(service, family, ports, endpoints, seen)
        if not groups:
            # An empty slice says "nobody", as Kubernetes' own controller does; no slice could mean "not yet".
            wanted.append(_slice(service, _Page(_name(service, (family, ()), 0)), family, ()))
    return tuple(wanted)


def _families(service: Service) -> tuple[str, ...]:
    if service.spec.ip_families:
        return service.spec.ip_families
    families = dict.fromkeys(_family(text) for text in service.spec.cluster_ips)
    return tuple(filter(None, families)) or ("IPv4",)


def _groups(
    service: Service, pods: Iterable[Pod], family: str, zones: Mapping[str, str]
) -> dict[Ports, list[Endpoint]]:
    """Endpoints by their target ports, which differ where pods give one name to several numbers."""
    groups: dict[Ports, list[Endpoint]] = {}
    for pod in sorted(pods, key=lambda pod: pod.metadata.name):
        address = _address(pod, family)
        ports = _target_ports(service, pod)
        if not address or (service.spec.ports and not ports):
            continue
        groups.setdefault(ports, []).append(_endpoint(service, pod, address, zones))
    return groups


def _address(pod: Pod, family: str) -> str:
    addresses = [each.ip for each in pod.status.pod_ips] or [pod.status.pod_ip]
    return next((text for text in addresses if _family(text) == family), "")


def _family(text: str) -> str:
    try:
        return f"IPv{ip_address(text).version}"
    except ValueError:
        return ""


def _target_ports(service: Service, pod: Pod) -> Ports:
    """The numbers behind the Service's ports in this pod; a name that the pod does not know is left out."""
    found = []
    for port in service.spec.ports:
        number = _target_number(port, pod)
        if number:
            found.append(
                EndpointPort(name=port.name, protocol=port.protocol, port=number, app_protocol=port.app_protocol)
            )
    return tuple(found)


def _target_number(port: ServicePort, pod: Pod) -> int:
    target = port.target_port
    if isinstance(target, int):
        return target or port.port
    if not target:
        return port.port
    running = (*pod.spec.containers, *(c for c in pod.spec.init_containers if c.restart_policy == _SIDECAR))
    named = (each for container in running for each in container.ports)
    return next((each.container_port for each in named if (each.name, each.protocol) == (target, port.protocol)), 0)


def _endpoint(service: Service, pod: Pod, address: str, zones: Mapping[str, str]) -> Endpoint:
    # "ready" is false for a pod that is going, "serving" tells whether it still answers (KEP-1672).
    serving, terminating = is_ready(pod), is_terminating(pod)
    ready = service.spec.publish_not_ready_addresses or (serving and not terminating)
    zone = zones.get(pod.spec.node_name) or None
    is_named = pod.spec.hostname and pod.spec.subdomain == service.metadata.name
    meta = pod.metadata
    return Endpoint(
        addresses=(address,),
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        hostname=pod.spec.hostname if is_named else None,
        node_name=pod.spec.node_name or None,
        zone=zone,
        hints=_hints(service, pod, zone) if ready else None,
        target_ref=ObjectReference(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid),
    )


def _hints(service: Service, pod: Pod, zone: str | None) -> EndpointHints | None:
    """Endpoints are meant for their own zone (KEP-4444), and before that for their own node (KEP-3015)."""
    wanted, node = service.spec.traffic_distribution, pod.spec.node_name
    zones = (ForZone(name=zone),) if zone and wanted in _PREFER_ZONE else ()
    nodes = (ForNode(name=node),) if node and wanted == _PREFER_NODE else ()
    return EndpointHints(for_zones=zones, for_nodes=nodes) if zones or nodes else None


def _paged(
    service: Service, family: str, ports: Ports, endpoints: Iterable[Endpoint], seen: Sequence[EndpointSlice]
) -> list[EndpointSlice]:
    matching = [each for each in seen if each.address_type == family and _sorted(each.ports) == _sorted(ports)]
    pages = [_Page(each.metadata.name) for each in matching]
    places = {
        address: page
        for page, each in zip(pages, matching, strict=True)
        for endpoint in each.endpoints
        for address in endpoint.addresses
    }
    new: list[Endpoint] = []
    for endpoint in endpoints:
        page = places.get(endpoint.addresses[0])
        (page.endpoints if page else new).append(endpoint)
    _fill(pages, new, service, (family, ports), taken={each.metadata.name for each in seen})
    return [_slice(service, page, family, ports) for page in pages if page.endpoints]


def _sorted(ports: Iterable[EndpointPort]) -> list[tuple[str, str, int, str]]:
    return sorted((p.name or "", p.protocol or "TCP", p.port or 0, p.app_protocol or "") for p in ports)


def _fill(pages: list[_Page], new: list[Endpoint], service: Service, group: tuple[str, Ports], taken: set[str]) -> None:
    """Put new endpoints where there is room, and into further slices when there is none."""
    number = 0
    while new:
        page = next((page for page in pages if len(page.endpoints) < MOST_ENDPOINTS), None)
        if page is None:
            name = _name(service, group, number)
            number += 1
            if name in taken:
                continue
            page = _Page(name)
            pages.append(page)
        room = MOST_ENDPOINTS - len(page.endpoints)
        page.endpoints += new[:room]
        del new[:room]


def _name(service: Service, group: tuple[str, Ports], number: int) -> str:
    family, ports = group
    # Names are hashed, not drawn: the same decision made twice must not make two slices.
    suffix = digest(service.metadata.uid, family, repr(_sorted(ports)), str(number))[:_SUFFIX_LENGTH]
    return f"{service.metadata.name}-{suffix}"


def _slice(service: Service, page: _Page, family: str, ports: Ports) -> EndpointSlice:
    meta = service.metadata
    labels = {key: value for key, value in meta.labels.items() if key not in _OURS}
    labels |= {SERVICE_NAME_LABEL: meta.name, MANAGED_BY_LABEL: CORE_MANAGED_BY}
    if service.spec.cluster_ip == "None":
        labels[HEADLESS_LABEL] = ""
    owner = OwnerReference(
        api_version="v1", kind="Service", name=meta.name, uid=meta.uid, controller=True, block_owner_deletion=True
    )
    return EndpointSlice(
        metadata=ObjectMeta(name=page.name, namespace=meta.namespace, labels=labels, owner_references=(owner,)),
        address_type=family,
        endpoints=tuple(page.endpoints),
        ports=ports,
    )
