"""Many exports, one import: what a service looks like when several clusters export it.

KEP-1645, "Constraints and Conflict Resolution"; catalogue section 5.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from isthmus.api.core import SessionAffinityConfig
from isthmus.api.isthmus import RULES_VERSION
from isthmus.api.mcs import ImportedPort
from isthmus.mcs.rules.constituent import Constituent, whole_second
from isthmus.mcs.rules.foreign import few
from isthmus.mcs.rules.ports import merge_ports


@dataclass(frozen=True)
class Conflict:
    """One property in which the exporters disagree: a reason of catalogue section 3.1, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True)
class Merged:
    """The service as the whole set sees it; what one cluster lacks is no concern of this."""

    namespace: str
    name: str
    type: str
    ports: tuple[ImportedPort, ...]
    ip_families: tuple[str, ...]
    session_affinity: str
    session_affinity_config: SessionAffinityConfig | None
    internal_traffic_policy: str
    traffic_distribution: str
    labels: dict[str, str]
    annotations: dict[str, str]
    exporters: tuple[Constituent, ...]
    conflicts: tuple[Conflict, ...]

    @property
    def winner(self) -> Constituent:
        """The oldest export: its values are used where values disagree."""
        return self.exporters[0]

    @property
    def clusters(self) -> tuple[str, ...]:
        """The exporting clusters in order of precedence."""
        return tuple(exporter.cluster for exporter in self.exporters)


def merge(constituents: Sequence[Constituent], *, rules: int = RULES_VERSION) -> Merged | None:
    """The service that the constituents make together; none, if there are none (MCS-25).

    They may come in any order: precedence is theirs, not the caller's (MCS-50). `rules` is the version to merge by.
    """
    if not constituents:
        return None
    exporters = tuple(sorted(constituents, key=lambda each: (each.created, each.cluster)))
    winner = exporters[0].spec
    ports = merge_ports(exporter.spec.ports for exporter in exporters)
    families, _ = common_families(exporters)
    return Merged(
        namespace=winner.namespace,
        name=winner.name,
        type=winner.type,
        ports=ports,
        ip_families=families,
        session_affinity=winner.session_affinity,
        session_affinity_config=winner.session_affinity_config,
        internal_traffic_policy=winner.internal_traffic_policy,
        traffic_distribution=winner.traffic_distribution,
        labels=dict(winner.exported_labels),
        annotations=dict(winner.exported_annotations),
        exporters=exporters,
        conflicts=_conflicts(exporters, ports, rules),
    )


def common_families(exporters: Sequence[Constituent]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The families that all offer, in the winner's order, and the clusters that share none of them (MCS-38)."""
    offers = [(exporter.cluster, exporter.spec.ip_families) for exporter in exporters]
    common = next((families for _, families in offers if families), ())
    skipped: list[str] = []
    for cluster, families in offers:
        shared = tuple(family for family in common if family in families)
        if shared:
            common = shared
        else:
            skipped.append(cluster)
    return common, tuple(skipped)


# Reason, field, and what of an export is compared; in the order of the catalogue.
_Compared = tuple[str, str, Callable[[Constituent], object]]
_PORTS: _Compared = ("PortConflict", "ports", lambda each: frozenset(each.spec.ports))
_VALUES: tuple[_Compared, ...] = (
    ("TypeConflict", "type", lambda each: each.spec.type),
    ("SessionAffinityConflict", "sessionAffinity", lambda each: each.spec.session_affinity),
    ("SessionAffinityConfigConflict", "sessionAffinityConfig", lambda each: each.spec.session_affinity_config),
    ("LabelsConflict", "exportedLabels", lambda each: each.spec.exported_labels),
    ("AnnotationsConflict", "exportedAnnotations", lambda each: each.spec.exported_annotations),
    ("InternalTrafficPolicyConflict", "internalTrafficPolicy", lambda each: each.spec.internal_traffic_policy),
)
_NAMED_ANEW = {"PreferClose": "PreferSameZone"}
_DISTRIBUTION: _Compared = (
    "TrafficDistributionConflict",
    "trafficDistribution",
    lambda each: _NAMED_ANEW.get(each.spec.traffic_distribution, each.spec.traffic_distribution),
)
_DISTRIBUTION_BY_NAME: _Compared = (*_DISTRIBUTION[:2], lambda each: each.spec.traffic_distribution)


def _conflicts(exporters: Sequence[Constituent], ports: Sequence[ImportedPort], rules: int) -> tuple[Conflict, ...]:
    found: list[Conflict] = []
    why = precedence(exporters)
    winner = exporters[0].cluster
    # Port sets that differ from each other differ from their union too: the winner's stands for it (catalogue 5.2).
    if differing := _differing(exporters, _PORTS):
        text = f"ports: {differing} from those of {winner}; all ports are offered, and of those that clash the older"
        found.append(Conflict("PortConflict", f"{text} stays ({why}){_lost_ports(exporters, ports)}"))
    found += [
        Conflict(compared[0], f"{compared[1]}: {differing} from {winner}, whose value is used ({why})")
        for compared in (*_VALUES, _DISTRIBUTION_BY_NAME if rules < 2 else _DISTRIBUTION)
        if (differing := _differing(exporters, compared))
    ]
    families, skipped = common_families(exporters)
    if skipped:
        count = _of(len(skipped), len(exporters), "lacks", "lack")
        text = f"ipFamilies: {count} {' and '.join(families) or 'any'}, which {winner} offers ({why})"
        found.append(Conflict("IPFamilyConflict", f"{text}: their endpoints cannot be reached"))
    return tuple(found)


def _differing(exporters: Sequence[Constituent], compared: _Compared) -> str:
    value = compared[2]
    count = sum(value(exporter) != value(exporters[0]) for exporter in exporters)
    return _of(count, len(exporters), "differs", "differ") if count else ""


def _of(count: int, total: int, one: str, many: str) -> str:
    return f"{count} of {total} clusters {one if count == 1 else many}"


def _lost_ports(exporters: Sequence[Constituent], merged: Sequence[ImportedPort]) -> str:
    kept = {(port.protocol, port.port) for port in merged}
    lost = {
        f"{port.name or 'unnamed'} {port.port}/{port.protocol}": None
        for exporter in exporters
        for port in exporter.spec.ports
        if (port.protocol, port.port) not in kept
    }
    return f"; not offered: {few(list(lost))}" if lost else ""


def precedence(exporters: Sequence[Constituent]) -> str:
    """Why the first of them wins (MCS-54)."""
    winner = exporters[0]
    moment = winner.created.strftime("%Y-%m-%dT%H:%M:%SZ")
    if len(exporters) > 1 and exporters[1].created == winner.created:
        return f"of the oldest ServiceExports, of {moment}, its cluster id comes first"
    if winner.created != whole_second(winner.spec.created):
        return f"its ServiceExport is the oldest: it counts from the cluster's joining, {moment}"
    return f"its ServiceExport is the oldest, of {moment}"
