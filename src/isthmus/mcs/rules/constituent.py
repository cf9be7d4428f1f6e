"""Which exports count, and in which order: from what members wrote on the hub to constituents.

KEP-1645, "Global Properties"; catalogue section 5.1, README Q-40 and Q-41.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from isthmus.api.isthmus import (
    CLUSTER_LABEL,
    NAMESPACE_LABEL,
    ExportedService,
    ExportedServiceSpec,
    ExportGrant,
    Member,
)
from isthmus.api.mcs import CLUSTER_SET_IP, HEADLESS
from isthmus.api.names import is_dns_label
from isthmus.kit.moments import in_utc
from isthmus.mcs.rules import foreign
from isthmus.mcs.rules.names import export_name

_LAST = datetime.max.replace(tzinfo=UTC, microsecond=0)


@dataclass(frozen=True)
class Constituent:
    """One exporter's part in a service.

    `created` is its precedence (MCS-48); `spec` holds only values that any API server accepts, except for its
    slices, which are still as the exporter wrote them; `notes` say what was left out.
    """

    cluster: str
    created: datetime
    spec: ExportedServiceSpec
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejected:
    """An export without any effect, and why."""

    object: str
    cluster: str
    reason: str
    message: str


@dataclass(frozen=True)
class Admitted:
    """The constituents in order of precedence, and the exports that are none."""

    constituents: tuple[Constituent, ...] = ()
    rejected: tuple[Rejected, ...] = ()


def constituents(
    exports: Iterable[ExportedService], members: Mapping[str, Member], grants: Iterable[ExportGrant]
) -> Admitted:
    """What counts of the exports of one namespaced name, oldest first; ties go to the cluster id (MCS-49)."""
    admitted: list[Constituent] = []
    rejected: list[Rejected] = []
    grants = tuple(grants)
    for export in exports:
        problem = _identity_problem(export, members)
        spec = export.spec
        if not problem and spec:
            message = refusal(spec.cluster, spec.namespace, spec.name, grants)
            problem = ("NotGranted", message) if message else None
        if problem or not spec:
            cluster = export.metadata.name.partition(".")[0]
            rejected.append(Rejected(export.metadata.name, cluster, *(problem or ("NoSpec", "has no spec"))))
            continue
        admitted.append(_constituent(spec, members[spec.cluster]))
    admitted.sort(key=lambda each: (each.created, each.cluster))
    return Admitted(tuple(admitted), tuple(rejected))


def _identity_problem(export: ExportedService, members: Mapping[str, Member]) -> tuple[str, str] | None:
    spec, labels = export.spec, export.metadata.labels
    if spec is None:
        return "NoSpec", "has no spec"
    if not is_dns_label(spec.namespace) or not is_dns_label(spec.name):
        return "BadName", f"{foreign.shown(spec.namespace)}, {foreign.shown(spec.name)}: not two DNS labels"
    if export.metadata.name != export_name(spec.cluster, spec.namespace, spec.name):
        return "NameMismatch", "the object's name is not <cluster>.<namespace>.<name> of its spec"
    if labels.get(CLUSTER_LABEL) != spec.cluster or labels.get(NAMESPACE_LABEL) != spec.namespace:
        return "LabelMismatch", f"labels {CLUSTER_LABEL} and {NAMESPACE_LABEL} do not repeat its spec"
    member = members.get(spec.cluster)
    if member is None or member.spec is None or member.spec.id != spec.cluster:
        return "UnknownMember", f"{foreign.shown(spec.cluster)} is no member of the cluster set"
    if spec.type not in {CLUSTER_SET_IP, HEADLESS}:
        return "UnknownType", f"{foreign.shown(spec.type)} is neither {CLUSTER_SET_IP} nor {HEADLESS}"
    return None


def refusal(cluster: str, namespace: str, name: str, grants: Iterable[ExportGrant]) -> str:
    """Why the cluster may not export that name, or nothing.

    A namespace that no grant names is open; once one names it, only the listed clusters and names may export
    there, and a grant without names means all of them (README Q-41).
    """
    naming = [grant.spec for grant in grants if grant.spec and namespace in grant.spec.namespaces]
    if not naming or any(cluster in spec.clusters and (not spec.names or name in spec.names) for spec in naming):
        return ""
    return (
        f"no ExportGrant lets cluster {cluster} export {namespace}/{name}: "
        f"{len(naming)} of them restrict namespace {namespace}; ask an admin of the hub to add it to one"
    )


def _constituent(spec: ExportedServiceSpec, member: Member) -> Constituent:
    clean, notes = sanitised(spec)
    joined = (member.spec.joined_at if member.spec else None) or member.metadata.creation_timestamp
    # A member's clock and claims are its own; when it joined is the hub's record (README Q-40).
    created = max(whole_second(spec.created), whole_second(joined) if joined else whole_second(spec.created))
    return Constituent(spec.cluster, created, clean, notes)


def sanitised(spec: ExportedServiceSpec) -> tuple[ExportedServiceSpec, tuple[str, ...]]:
    """The same export with only acceptable values, and what that cost; slices are left as they are."""
    ports, port_notes = foreign.ports(spec.ports)
    families, family_notes = foreign.families(spec.ip_families)
    (affinity, config), affinity_notes = foreign.affinity(spec.session_affinity, spec.session_affinity_config)
    policy, policy_notes = foreign.internal_traffic_policy(spec.internal_traffic_policy)
    distribution, distribution_notes = foreign.traffic_distribution(spec.traffic_distribution)
    labels, label_notes = foreign.labels(spec.exported_labels)
    annotations, annotation_notes = foreign.annotations(spec.exported_annotations)
    clean = msgspec.structs.replace(
        spec,
        ports=ports,
        ip_families=families,
        session_affinity=affinity,
        session_affinity_config=config,
        internal_traffic_policy=policy,
        traffic_distribution=distribution,
        exported_labels=labels,
        exported_annotations=annotations,
    )
    return clean, (
        *port_notes,
        *family_notes,
        *affinity_notes,
        *policy_notes,
        *distribution_notes,
        *label_notes,
        *annotation_notes,
    )


def whole_second(moment: datetime) -> datetime:
    """The moment in UTC, at Kubernetes' resolution; one without a zone is read as UTC.

    A moment that UTC cannot express (years 0 and 10000) ranks last, so that it gains nothing.
    """
    return (in_utc(moment) or _LAST).replace(microsecond=0)
