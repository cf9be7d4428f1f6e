"""What one importing cluster has of a merged service: its ServiceImport, and the Service that stands in for it.

KEP-1645, "Importing Services"; catalogue sections 4.3, 4.4 and 9; design, part 3, rules 5 to 7.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count

import msgspec

from isthmus.api.core import SERVICES, Service
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL, RESERVED_IPS_ANNOTATION
from isthmus.api.mcs import (
    DERIVED_SERVICE_ANNOTATION,
    HEADLESS,
    SERVICE_IMPORTS,
    SERVICE_NAME_LABEL,
    ImportedPort,
    ServiceImport,
    ServiceImportSpec,
)
from isthmus.api.meta import ObjectMeta, OwnerReference
from isthmus.api.scheme import Manifest
from isthmus.mcs.rules.foreign import DISTRIBUTIONS
from isthmus.mcs.rules.merge import Merged
from isthmus.mcs.rules.names import ImportKey, derived_name
from isthmus.mcs.rules.ports import named

FAMILY_NOT_SUPPORTED = "IPFamilyNotSupported"
# A Service must have a port, also one that only keeps its addresses.
_PLACEHOLDER = ImportedPort(name="none", port=1, protocol="TCP")


@dataclass(frozen=True)
class Here:
    """What the merge must not know: facts of this cluster only.

    `families` are those it gives to Services, primary first; `region` and `zones` are its nodes'; `distributions`
    are the values of trafficDistribution that its API server accepts; `unknown` are the fields of a ServiceImport that
    its definition of the kind is too old for (MCS-47).
    """

    cluster: str
    families: tuple[str, ...] = ("IPv4",)
    region: str = ""
    zones: frozenset[str] = frozenset()
    distributions: frozenset[str] = frozenset(DISTRIBUTIONS)
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plan:
    """What is wanted in this cluster for one import.

    `derived` is the Service behind it as a manifest, or none: then one of ours that exists goes.
    `problem` is a reason why the import cannot be used here; `notes` say what degraded; `refused` is what the API
    server said when it would not have the derived Service.
    """

    service_import: ServiceImport
    derived: Manifest | None
    derived_name: str
    families: tuple[str, ...]
    problem: str = ""
    notes: tuple[str, ...] = ()
    refused: str = ""

    @property
    def ports(self) -> tuple[ImportedPort, ...]:
        """The ports by the names that EndpointSlices use here: the derived Service's, if there is one (MCS-61)."""
        spec = self.service_import.spec
        ports = spec.ports if spec else ()
        return ports if spec and spec.type == HEADLESS else named(ports)


def distributions(version: str) -> frozenset[str]:
    """The values of trafficDistribution that an API server of that `gitVersion` accepts.

    PreferClose is on by default since 1.31, PreferSameZone and PreferSameNode since 1.34.
    """
    match = re.match(r"v?(\d+)\.(\d+)", version)
    release = (int(match[1]), int(match[2])) if match else (1, 31)
    if release >= (1, 34):
        return frozenset(DISTRIBUTIONS)
    return frozenset(DISTRIBUTIONS[:1] if release >= (1, 31) else ())


def is_ours(service: Service, name: str) -> bool:
    """The Service is one that we derived for the import of that name."""
    labels = service.metadata.labels
    return labels.get(MARKER_LABEL) == MANAGED_BY and labels.get(SERVICE_NAME_LABEL) == name


def derived_name_for(key: ImportKey, seen: ServiceImport | None, services: Mapping[str, Service]) -> str:
    """The derived Service's name: the one it has, else the first that is free (design, part 2).

    `services` are those of the namespace, by name. One that has the recorded name and the recorded addresses is the
    recorded one, though somebody took our labels off it.
    """

    def free(name: str) -> bool:
        return name not in services or is_ours(services[name], key.name)

    def is_recorded(name: str) -> bool:
        return bool(_live_ips(services[name])) and _live_ips(services[name]) == recorded_ips(seen)

    recorded = seen.metadata.annotations.get(DERIVED_SERVICE_ANNOTATION, "") if seen else ""
    candidates = (derived_name(*key, attempt) for attempt in count())
    if recorded.startswith("derived-") and (free(recorded) or is_recorded(recorded)):
        return recorded
    return next(name for name in candidates if free(name))


def imported(merged: Merged, here: Here, *, seen: ServiceImport | None, services: Mapping[str, Service]) -> Plan:
    """What this cluster should have; `seen` is its ServiceImport as stored, with the record of its addresses.

    Without `seen` there is no derived Service yet: its owner reference needs the import's UID.
    """
    key = ImportKey(merged.namespace, merged.name)
    name = derived_name_for(key, seen, services)
    recorded = recorded_ips(seen)
    live = _live_ips(services.get(name))
    # A derived Service whose address is not the recorded one must go first, then be made again: it cannot change.
    # So must one with a port that is neither wanted nor was: what others added to a list, applying does not take away.
    agrees = _agree(live, recorded)
    usable = name not in services or (
        agrees
        and not services[name].metadata.deletion_timestamp
        and not _has_strange_ports(services[name], merged.ports, seen)
    )
    ips = max(live if agrees else (), recorded, key=len)
    families, problem, notes = _families(merged, here, tuple(family_of(ip) for ip in ips))
    headless = merged.type == HEADLESS
    has_derived = bool(ips or (families and not headless))
    wanted = _service_import(merged, families or merged.ip_families, () if headless else ips, here.unknown)
    if has_derived:
        wanted = _annotated(wanted, name, ips if headless else ())
    if seen is None or not has_derived or not usable:
        return Plan(wanted, None, name, families, problem, notes)
    distribution, more = _distribution(merged.traffic_distribution, here)
    derived = _derived(merged, seen, name, families, ips)
    if distribution:
        derived["spec"]["trafficDistribution"] = distribution
    return Plan(wanted, derived, name, families, problem, (*notes, *more))


def family_of(ip: str) -> str:
    """IPv4 or IPv6."""
    return "IPv6" if ":" in ip else "IPv4"


def recorded_ips(seen: ServiceImport | None) -> tuple[str, ...]:
    """The addresses that the import has, or that are reserved for it while it is Headless (MCS-33, MCS-38)."""
    if seen is None:
        return ()
    ips = seen.spec.ips if seen.spec else ()
    return _addresses(ips or seen.metadata.annotations.get(RESERVED_IPS_ANNOTATION, "").split(","))


def _addresses(texts: Sequence[str]) -> tuple[str, ...]:
    kept: dict[str, str] = {}
    for text in texts:
        try:
            kept.setdefault(family_of(text), str(ip_address(text)))
        except ValueError:  # an address nobody can reach is no record
            continue
    return tuple(kept.values())


def _live_ips(service: Service | None) -> tuple[str, ...]:
    return _addresses(service.spec.cluster_ips) if service else ()


def _agree(live: tuple[str, ...], recorded: tuple[str, ...]) -> bool:
    """One continues the other: a second address may have come, none changed."""
    shared = min(len(live), len(recorded))
    return live[:shared] == recorded[:shared]


def _has_strange_ports(service: Service, wanted: Sequence[ImportedPort], seen: ServiceImport | None) -> bool:
    before = seen.spec.ports if seen and seen.spec else ()
    known = {(port.protocol or "TCP", port.port) for port in (*wanted, *before, _PLACEHOLDER)}
    return any((port.protocol, port.port) not in known for port in service.spec.ports)


def _families(merged: Merged, here: Here, frozen: tuple[str, ...]) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """The import's families here, what is wrong with them, and how they differ from the merge.

    Those that have an address stay, and a second may come once (MCS-38).
    """
    wanted = merged.ip_families or here.families
    usable = tuple(family for family in wanted if family in here.families)
    families = tuple(dict.fromkeys((*frozen, *usable)))[:2]
    notes: list[str] = []
    if missing := [family for family in wanted if family not in here.families]:
        notes.append(f"this cluster has no {' and '.join(missing)} for Services")
    if extra := [family for family in frozen if family not in wanted]:
        notes.append(f"the {' and '.join(extra)} address stays, though not all exporters offer that family now")
    elif frozen and usable and frozen[0] != usable[0]:
        notes.append(f"{frozen[0]} stays the first family, as when the addresses were given")
    return families, "" if usable else FAMILY_NOT_SUPPORTED, tuple(notes)


def _distribution(wanted: str, here: Here) -> tuple[str, tuple[str, ...]]:
    if not wanted or wanted in here.distributions:
        return wanted, ()
    # The two others are refinements of it (Kubernetes: PreferSameZone is its new name).
    nearest = "PreferClose" if "PreferClose" in here.distributions else ""
    return nearest, (f"trafficDistribution {wanted} is new to this API server: {nearest or 'no preference'} is used",)


def _service_import(
    merged: Merged, families: tuple[str, ...], ips: tuple[str, ...], unknown: frozenset[str]
) -> ServiceImport:
    # Both in one update: readers compare families and addresses as soon as there are any (MCS-32).
    newer: dict[str, object] = {
        "ip_families": tuple(family_of(ip) for ip in ips) or families,
        "internal_traffic_policy": merged.internal_traffic_policy,
        "traffic_distribution": merged.traffic_distribution,
    }
    spec = ServiceImportSpec(
        type=merged.type,
        ports=merged.ports,
        ips=ips,
        session_affinity=merged.session_affinity,
        session_affinity_config=merged.session_affinity_config,
    )
    return ServiceImport(
        api_version=SERVICE_IMPORTS.api_version,
        kind=SERVICE_IMPORTS.kind,
        metadata=ObjectMeta(
            name=merged.name,
            namespace=merged.namespace,
            labels={**merged.labels, MARKER_LABEL: MANAGED_BY},
            annotations=dict(merged.annotations),
        ),
        spec=msgspec.structs.replace(spec, **{key: value for key, value in newer.items() if key not in unknown}),
    )


def _annotated(wanted: ServiceImport, derived: str, reserved: tuple[str, ...]) -> ServiceImport:
    ours = {DERIVED_SERVICE_ANNOTATION: derived}
    if reserved:
        ours[RESERVED_IPS_ANNOTATION] = ",".join(reserved)
    metadata = msgspec.structs.replace(wanted.metadata, annotations={**wanted.metadata.annotations, **ours})
    return msgspec.structs.replace(wanted, metadata=metadata)


def owner_reference(owner: ServiceImport) -> OwnerReference:
    """So that garbage collection takes what belongs to the import; not its controller (MCS-67)."""
    return OwnerReference(
        api_version=owner.api_version or SERVICE_IMPORTS.api_version,
        kind=SERVICE_IMPORTS.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=False,
    )


def _derived(
    merged: Merged, owner: ServiceImport, name: str, families: tuple[str, ...], ips: tuple[str, ...]
) -> Manifest:
    """The Service whose address is the clusterset IP: no selector, never a node port.

    What must not be there is said too: applied, it takes away what somebody else put there (design, part 3, rule 6).
    """
    spec: Manifest = {
        "type": "ClusterIP",
        "selector": {},
        "externalIPs": [],
        "publishNotReadyAddresses": False,
        "ports": [_service_port(port) for port in named(merged.ports) or (_PLACEHOLDER,)],
        "ipFamilies": list(families),
        "ipFamilyPolicy": "RequireDualStack" if len(families) == 2 else "SingleStack",
        "sessionAffinity": merged.session_affinity,
        "internalTrafficPolicy": merged.internal_traffic_policy,
    }
    if merged.session_affinity_config:
        spec["sessionAffinityConfig"] = msgspec.to_builtins(merged.session_affinity_config)
    if ips:
        spec["clusterIP"], spec["clusterIPs"] = ips[0], list(ips)
    return {
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.kind,
        "metadata": {
            "name": name,
            "namespace": merged.namespace,
            "labels": {MARKER_LABEL: MANAGED_BY, SERVICE_NAME_LABEL: merged.name},
            "ownerReferences": [msgspec.to_builtins(owner_reference(owner))],
        },
        "spec": spec,
    }


def _service_port(port: ImportedPort) -> Manifest:
    # The API server would fill in the target port: set here, it is no difference after an agent starts.
    manifest: Manifest = {"port": port.port, "targetPort": port.port, "protocol": port.protocol or "TCP"}
    if port.name:
        manifest["name"] = port.name
    if port.app_protocol:
        manifest["appProtocol"] = port.app_protocol
    return manifest
