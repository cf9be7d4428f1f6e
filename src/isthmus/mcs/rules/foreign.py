"""What is kept of the values that a cluster exports: only what every Kubernetes API server accepts.

Each function returns the value and, for people, what was left out of it and why. The answer is the same in every
cluster, so all agents merge alike (design, part 3, rules 4 and 7).
"""

from collections.abc import Iterable, Mapping, Sequence

from isthmus.api.core import ClientIPConfig, SessionAffinityConfig
from isthmus.api.isthmus import MAX_KEYS, MAX_PORTS
from isthmus.api.mcs import ImportedPort
from isthmus.api.names import is_dns_label, is_label_value, is_qualified_name

FAMILIES = ("IPv4", "IPv6")
PROTOCOLS = ("TCP", "UDP", "SCTP")
PREFER_SAME_NODE = "PreferSameNode"
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", PREFER_SAME_NODE)
# Keys below these domains belong to Kubernetes, the SIG, or us (MCS-44).
RESERVED_DOMAINS = ("kubernetes.io", "k8s.io", "multicluster.x-k8s.io", "isthmus.dev")
MAX_ANNOTATION_BYTES = 65_536
AFFINITY_SECONDS = 10_800  # Kubernetes' default
MAX_AFFINITY_SECONDS = 86_400


def shown(text: str) -> str:
    """Foreign text as it may stand in a message: quoted, short, nothing unprintable."""
    return ascii(text if len(text) <= 63 else text[:60] + "...")


def few(items: Sequence[str]) -> str:
    """The first three of the items, and how many more there are."""
    more = len(items) - 3
    return ", ".join(items[:3]) + (f" and {more} more" if more > 0 else "")


def _note(field: str, left_out: Sequence[str], why: str) -> tuple[str, ...]:
    return (f"{field}: left out {few(left_out)}: {why}",) if left_out else ()


def _port_problem(port: ImportedPort) -> str:
    if not 1 <= port.port <= 65535:
        return f"{port.port} is no port number"
    if port.protocol and port.protocol not in PROTOCOLS:
        return f"{shown(port.protocol)} is no protocol of a Service"
    if port.name and not is_dns_label(port.name):
        return f"{shown(port.name)} is no DNS label"
    return ""


def ports(seen: Iterable[ImportedPort]) -> tuple[tuple[ImportedPort, ...], tuple[str, ...]]:
    """The ports that a Service may have, protocol spelt out, with unique names and unique (protocol, number)."""
    kept: dict[tuple[str, int], ImportedPort] = {}
    notes: list[str] = []
    for port in seen:
        protocol = port.protocol or "TCP"
        why = _port_problem(port)
        if not why and ((protocol, port.port) in kept or any(port.name == other.name for other in kept.values())):
            why = f"{port.port}/{protocol} {shown(port.name)} is there twice"
        if not why and len(kept) == MAX_PORTS:
            why = f"only {MAX_PORTS} ports are carried"
        if why:
            notes.append(why)
            continue
        app_protocol = port.app_protocol or None
        if app_protocol and not is_qualified_name(app_protocol):
            notes.append(f"appProtocol {shown(app_protocol)} is no qualified name")
            app_protocol = None
        kept[protocol, port.port] = ImportedPort(
            port=port.port, name=port.name, protocol=protocol, app_protocol=app_protocol
        )
    return tuple(kept.values()), (f"ports: {few(notes)}",) if notes else ()


def families(seen: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The IP families in their order, each once."""
    seen = tuple(seen)
    return tuple(dict.fromkeys(family for family in seen if family in FAMILIES)), _note(
        "ipFamilies", [shown(family) for family in seen if family not in FAMILIES], "no IP family"
    )


def affinity(
    kind: str, config: SessionAffinityConfig | None
) -> tuple[tuple[str, SessionAffinityConfig | None], tuple[str, ...]]:
    """Session affinity with its time spelt out: absent means None, and 10800 seconds (catalogue 1.3)."""
    if kind in {"", "None"}:
        return ("None", None), ()
    if kind != "ClientIP":
        return ("None", None), _note("sessionAffinity", [shown(kind)], "not None or ClientIP")
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    wrong = seconds is not None and not 1 <= seconds <= MAX_AFFINITY_SECONDS
    kept = AFFINITY_SECONDS if seconds is None or wrong else seconds
    return ("ClientIP", SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=kept))), _note(
        "sessionAffinityConfig",
        [f"{seconds} seconds"] if wrong else [],
        f"not 1 to {MAX_AFFINITY_SECONDS}; {AFFINITY_SECONDS} is used",
    )


def internal_traffic_policy(seen: str) -> tuple[str, tuple[str, ...]]:
    """Cluster or Local; absent means Cluster (MCS-40)."""
    if seen in {"Cluster", "Local"}:
        return seen, ()
    return "Cluster", _note("internalTrafficPolicy", [shown(seen)] if seen else [], "not Cluster or Local")


def traffic_distribution(seen: str) -> tuple[str, tuple[str, ...]]:
    """One of Kubernetes' values, or none."""
    if not seen or seen in DISTRIBUTIONS:
        return seen, ()
    return "", _note("trafficDistribution", [shown(seen)], "not a value of Kubernetes")


def is_reserved(key: str) -> bool:
    """The key's prefix is a reserved domain, or below one (MCS-44)."""
    prefix, slash, _ = key.rpartition("/")
    return bool(slash) and any(prefix == domain or prefix.endswith("." + domain) for domain in RESERVED_DOMAINS)


def _keys(field: str, seen: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    reserved = [shown(key) for key in sorted(seen) if is_reserved(key)]
    unfit = [shown(key) for key in sorted(seen) if not is_qualified_name(key)]
    kept = sorted(key for key in seen if is_qualified_name(key) and not is_reserved(key))
    return {key: seen[key] for key in kept[:MAX_KEYS]}, (
        *_note(field, reserved, "the prefix is reserved"),
        *_note(field, unfit, "not a valid key"),
        *_note(field, [shown(key) for key in kept[MAX_KEYS:]], f"only {MAX_KEYS} are carried"),
    )


def labels(seen: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Labels that any object may carry, without reserved keys."""
    kept, notes = _keys("exportedLabels", seen)
    unfit = [shown(key) for key, value in kept.items() if not is_label_value(value)]
    fit = {key: value for key, value in kept.items() if is_label_value(value)}
    return fit, (*notes, *_note("exportedLabels", unfit, "the value is not a valid label value"))


def annotations(seen: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Annotations that any object may carry, without reserved keys, 64 KiB in all."""
    kept, notes = _keys("exportedAnnotations", seen)
    size, fit = 0, dict[str, str]()
    for key, value in kept.items():
        cost = len(key) + len(value.encode(errors="surrogatepass"))
        if size + cost <= MAX_ANNOTATION_BYTES:
            size += cost
            fit[key] = value
    large = [shown(key) for key in kept if key not in fit]
    return fit, (
        *notes,
        *_note("exportedAnnotations", large, f"only {MAX_ANNOTATION_BYTES} bytes are carried"),
    )
