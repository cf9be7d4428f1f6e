"""Rules for Services, Endpoints and EndpointSlices."""

import functools
import ipaddress
from collections.abc import Iterable, Iterator

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin.metadata import label_set_faults
from isthmus.apiserver.builtin.names import key_faults, label_faults, port_name_faults, subdomain_faults
from isthmus.apiserver.causes import duplicate, forbidden, required, too_many, unsupported, wrong
from isthmus.apiserver.schema import Cause

PROTOCOLS = ("SCTP", "TCP", "UDP")
PORT_RANGE = "must be between 1 and 65535, inclusive"
MAX_ENDPOINTS = 1000
MAX_ADDRESSES = 100
MAX_PORTS = 20_000
MAX_ZONES = 8
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
MAX_AFFINITY_SECONDS = 86400


def is_port(number: object) -> bool:
    """Whether this is a port number."""
    return isinstance(number, int) and 0 < number < 65536


def port_reference_faults(value: object, path: str) -> Iterator[Cause]:
    """Faults in a port given by number or name."""
    if isinstance(value, str):
        yield from (wrong(path, value, fault) for fault in port_name_faults(value))
    elif not is_port(value):
        yield wrong(path, value, PORT_RANGE)


def service_faults(service: Manifest, old: Manifest | None) -> Iterator[Cause]:  # noqa: ARG001  # as all rules
    """Faults in a Service, all but those of its addresses, which are the allocator's."""
    spec = service.get("spec") or {}
    ports = spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and spec.get("type") != "ExternalName":
        yield required("spec.ports")
    yield from _service_type_faults(spec, headless=headless)
    yield from _service_port_faults(spec, ports)
    yield from label_set_faults(spec.get("selector"), "spec.selector")
    if spec.get("sessionAffinity") == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds", 1)
        if not 0 < seconds <= MAX_AFFINITY_SECONDS:
            message = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
            yield wrong("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, message)
    if "sessionAffinityConfig" in spec and spec.get("sessionAffinity") == "None":
        yield forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None")
    for index, address in enumerate(spec.get("externalIPs") or ()):
        yield from _address_faults(address, f"spec.externalIPs[{index}]")
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in DISTRIBUTIONS:
        yield unsupported("spec.trafficDistribution", distribution, DISTRIBUTIONS)


def _service_type_faults(spec: Manifest, *, headless: bool) -> Iterator[Cause]:
    kind = spec.get("type")
    if kind == "ExternalName":
        # A trailing dot says that the name is complete.
        name = str(spec.get("externalName", ""))
        if not name:
            yield required("spec.externalName")
        else:
            fqdn = name.removesuffix(".")
            yield from (wrong("spec.externalName", name, fault) for fault in subdomain_faults(fqdn))
        if spec.get("clusterIP"):
            yield forbidden("spec.clusterIPs", "may not be set for ExternalName services")
    elif kind in {"NodePort", "LoadBalancer"} and headless:
        yield wrong("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    outside = kind in {"NodePort", "LoadBalancer"} or spec.get("externalIPs")
    if spec.get("externalTrafficPolicy") and not outside:
        policy = spec["externalTrafficPolicy"]
        yield wrong("spec.externalTrafficPolicy", policy, "may only be set for externally-accessible services")
    if spec.get("healthCheckNodePort") and not (
        kind == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
    ):
        message = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield wrong("spec.healthCheckNodePort", spec["healthCheckNodePort"], message)


def _service_port_faults(spec: Manifest, ports: list[Manifest]) -> Iterator[Cause]:
    names: set[str] = set()
    pairs: set[tuple[object, object]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name", "")
        if not name and len(ports) > 1:
            yield required(f"{path}.name")
        elif name:
            yield from (wrong(f"{path}.name", name, fault) for fault in label_faults(name))
            if name in names:
                yield duplicate(f"{path}.name", name)
            names.add(name)
        if not is_port(port.get("port")):
            yield wrong(f"{path}.port", port.get("port", 0), PORT_RANGE)
        yield from _protocol_faults(port, path)
        if port.get("targetPort") is not None:
            yield from port_reference_faults(port["targetPort"], f"{path}.targetPort")
        yield from _app_protocol_faults(port, path)
        if port.get("nodePort") and spec.get("type") == "ClusterIP":
            yield forbidden(f"{path}.nodePort", "may not be used when `type` is 'ClusterIP'")
    for index, port in enumerate(ports):
        pair = (port.get("protocol"), port.get("port"))
        if pair in pairs:
            # The one message that shows a Go struct: protocol and port, everything else empty.
            struct = (
                f'{{"Name":"","Protocol":"{pair[0]}","AppProtocol":null,"Port":{pair[1]},"TargetPort":0,"NodePort":0}}'
            )
            yield Cause(f"spec.ports[{index}]", "FieldValueDuplicate", f"Duplicate value: {struct}")
        pairs.add(pair)


def _protocol_faults(port: Manifest, path: str) -> Iterator[Cause]:
    if port.get("protocol") not in PROTOCOLS:
        yield unsupported(f"{path}.protocol", port.get("protocol"), PROTOCOLS)


def _app_protocol_faults(port: Manifest, path: str) -> Iterator[Cause]:
    if port.get("appProtocol"):
        name = port["appProtocol"]
        yield from (wrong(f"{path}.appProtocol", name, fault) for fault in key_faults(name))


@functools.lru_cache(maxsize=8192)
def _address_fault(text: str, *, canonical: bool) -> str:
    """Why this is no address of an endpoint; empty if it is one."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return _unreadable(text)
    if canonical and isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return "must not be an IPv4-mapped IPv6 address"
        if str(address) != text:
            return f'must be in canonical form ("{address}")'
    if address.is_unspecified:
        return f"may not be unspecified ({text})"
    if address.is_loopback:
        return "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    if address.is_link_local:
        return "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    if any(address in network for network in LINK_LOCAL_MULTICAST if network.version == address.version):
        return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
    return ""


LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def _unreadable(text: str) -> str:
    parts = text.split(".")
    if len(parts) == 4 and all(part.isdecimal() and int(part) < 256 for part in parts):
        return "must not have leading 0s"
    return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def _address_faults(text: str, path: str) -> Iterator[Cause]:
    if fault := _address_fault(text, canonical=False):
        yield wrong(path, text, fault)


def slice_faults(endpoint_slice: Manifest, old: Manifest | None) -> Iterator[Cause]:
    """Faults in an EndpointSlice."""
    kind = endpoint_slice.get("addressType", "")
    if old is not None and kind != old.get("addressType"):
        yield wrong("addressType", kind, "field is immutable")
        return
    if not kind:
        yield required("addressType")
    elif kind not in {"FQDN", "IPv4", "IPv6"}:
        yield unsupported("addressType", kind, ("FQDN", "IPv4", "IPv6"))
        return
    endpoints = endpoint_slice.get("endpoints") or []
    if len(endpoints) > MAX_ENDPOINTS:
        yield too_many("endpoints", len(endpoints), MAX_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        yield from _endpoint_faults(endpoint, kind, f"endpoints[{index}]")
    yield from _slice_port_faults(endpoint_slice.get("ports") or [])


def _endpoint_faults(endpoint: Manifest, kind: str, path: str) -> Iterator[Cause]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > MAX_ADDRESSES:
        yield too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES)
        return
    for index, address in enumerate(addresses):
        where = f"{path}.addresses[{index}]"
        if kind == "FQDN":
            yield from (wrong(where, address, fault) for fault in subdomain_faults(address))
            continue
        yield from _family_faults(address, kind, f"{path}.addresses")
        if fault := _address_fault(address, canonical=True):
            yield wrong(where, address, fault)
    if endpoint.get("hostname"):
        name = endpoint["hostname"]
        yield from (wrong(f"{path}.hostname", name, fault) for fault in label_faults(name))
    if endpoint.get("nodeName") is not None:
        name = endpoint["nodeName"]
        yield from (wrong(f"{path}.nodeName", name, fault) for fault in subdomain_faults(name))
    yield from _hint_faults((endpoint.get("hints") or {}).get("forZones") or [], f"{path}.hints.forZones")


def _family_faults(address: str, kind: str, path: str) -> Iterator[Cause]:
    if kind in {"IPv4", "IPv6"} and (":" in address) != (kind == "IPv6") and not _is_unreadable(address):
        yield wrong(path, address, f"must be an {kind} address")


def _is_unreadable(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return True
    return False


def _hint_faults(zones: list[Manifest], path: str) -> Iterator[Cause]:
    if len(zones) > MAX_ZONES:
        yield too_many(path, len(zones), MAX_ZONES)
        return
    for index, name in _repeated(zone.get("name") for zone in zones):
        yield duplicate(f"{path}[{index}].name", name)


def _repeated(names: Iterable[object]) -> Iterator[tuple[int, object]]:
    seen: set[object] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield index, name
        seen.add(name)


def _slice_port_faults(ports: list[Manifest]) -> Iterator[Cause]:
    if len(ports) > MAX_PORTS:
        yield too_many("ports", len(ports), MAX_PORTS)
        return
    names: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.get("name") or ""
        if name:
            yield from (wrong(f"{path}.name", name, fault) for fault in label_faults(name))
        if name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        yield from _protocol_faults(port, path)
        yield from _app_protocol_faults(port, path)


def endpoints_faults(endpoints: Manifest, old: Manifest | None) -> Iterator[Cause]:  # noqa: ARG001  # as all rules
    """Faults in an Endpoints object."""
    for number, subset in enumerate(endpoints.get("subsets") or ()):
        path = f"subsets[{number}]"
        for kind in ("addresses", "notReadyAddresses"):
            for index, address in enumerate(subset.get(kind) or ()):
                yield from _address_faults(str(address.get("ip", "")), f"{path}.{kind}[{index}].ip")
        ports = subset.get("ports") or []
        for index, port in enumerate(ports):
            if not port.get("name") and len(ports) > 1:
                yield required(f"{path}.ports[{index}].name")
            if not is_port(port.get("port")):
                yield wrong(f"{path}.ports[{index}].port", port.get("port", 0), PORT_RANGE)
