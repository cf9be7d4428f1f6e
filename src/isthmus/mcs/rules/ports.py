"""Which ports a service of the set has, and how each cluster's endpoints fit them.

KEP-1645, "Service Port"; catalogue section 5.2.
"""

from collections.abc import Iterable, Sequence

import msgspec

from isthmus.api.core import EndpointPort
from isthmus.api.isthmus import MAX_PORTS
from isthmus.api.mcs import ImportedPort


def clash(port: ImportedPort, other: ImportedPort) -> bool:
    """No service has both: they share the name (the empty one counts), or protocol and number."""
    return port.name == other.name or (port.protocol, port.port) == (other.protocol, other.port)


def merge_ports(exports: Iterable[Sequence[ImportedPort]]) -> tuple[ImportedPort, ...]:
    """The union of all ports, exports in order of precedence; of two that clash the older stays (MCS-56, MCS-57).

    Ports beyond `MAX_PORTS` are not taken up: the union over thousands of clusters needs an end.
    """
    names: set[str] = set()
    numbers: set[tuple[str, int]] = set()
    kept: list[ImportedPort] = []
    for port in (port for export in exports for port in export):
        number = (port.protocol, port.port)
        if port.name in names or number in numbers or len(kept) == MAX_PORTS:
            continue
        names.add(port.name)
        numbers.add(number)
        kept.append(port)
    return tuple(kept)


def named(ports: Sequence[ImportedPort]) -> tuple[ImportedPort, ...]:
    """The ports as a Service may have them: an unnamed one among others gets a name (MCS-61)."""
    if len(ports) < 2:
        return tuple(ports)
    taken = {port.name for port in ports}
    return tuple(port if port.name else msgspec.structs.replace(port, name=_free_name(port, taken)) for port in ports)


def _free_name(port: ImportedPort, taken: set[str]) -> str:
    stem = f"{port.protocol.lower()}-{port.port}"
    candidates = (f"{stem}-{count}" if count else stem for count in range(len(taken) + 1))
    return next(name for name in candidates if name not in taken)


def fitted(
    seen: Iterable[EndpointPort], exported: Iterable[ImportedPort], merged: Iterable[ImportedPort]
) -> tuple[EndpointPort, ...]:
    """A slice's ports under the merged names: those whose Service port is in the result, and no others (MCS-59).

    `seen` are the slice's, `exported` the same cluster's Service ports: both carry the Service's port names.
    """
    results = {(port.protocol, port.port): port for port in merged}
    services = {port.name: port for port in exported}
    kept: dict[str, EndpointPort] = {}
    for port in seen:
        service = services.get(port.name or "")
        protocol = port.protocol or "TCP"
        if service is None or service.protocol != protocol or not port.port or not 1 <= port.port <= 65535:
            continue
        result = results.get((protocol, service.port))
        if result:
            kept.setdefault(
                result.name,
                EndpointPort(name=result.name, protocol=protocol, port=port.port, app_protocol=result.app_protocol),
            )
    return tuple(kept.values())
