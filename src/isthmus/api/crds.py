"""The CustomResourceDefinitions that Isthmus installs: the SIG's as released, and its own."""

from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.inventory import CLUSTER_PROFILES, PLACEMENT_DECISIONS
from isthmus.api.isthmus import EXPORT_GRANTS, EXPORTED_ENDPOINTS, EXPORTED_SERVICES, JOIN_REQUESTS, MEMBERS
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.schema import Column, Names, Version, crd
from isthmus.api.scheme import Manifest

APPROVED = "api-approved.kubernetes.io"
RELEASE_LABEL = "multicluster.x-k8s.io/release-version"
REVISION_LABEL = "multicluster.x-k8s.io/crd-schema-revision"

_AGE = Column("Age", "date", ".metadata.creationTimestamp")

# An API server refuses groups below k8s.io that do not name their approval (ABOUT-2).
ABOUT_CRDS: tuple[Manifest, ...] = (
    crd(
        CLUSTER_PROPERTIES,
        Names(
            "clusterproperty",
            categories=("multicluster",),
            annotations={APPROVED: "https://github.com/kubernetes/enhancements/pull/3084"},
        ),
        (Version("v1alpha1"), Version("v1beta1", stored=True)),
        (Column("value", "string", ".spec.value"), Column("age", "date", ".metadata.creationTimestamp")),
    ),
)

# An installer compares these before it replaces the CRDs of others (catalogue 1.1).
_MCS_LABELS = {RELEASE_LABEL: "v0.5.2", REVISION_LABEL: "0"}
_MCS_VERSIONS = (Version("v1alpha1"), Version("v1beta1", stored=True))

MCS_CRDS: tuple[Manifest, ...] = (
    crd(
        SERVICE_EXPORTS,
        Names("serviceexport", short=("svcex", "svcexport"), labels=_MCS_LABELS),
        _MCS_VERSIONS,
        (_AGE,),
    ),
    crd(
        SERVICE_IMPORTS,
        Names("serviceimport", short=("svcim", "svcimport"), labels=_MCS_LABELS),
        _MCS_VERSIONS,
        (Column("Type", "string", ".spec.type"), Column("IP", "string", ".spec.ips"), _AGE),
    ),
)

_OURS = (Version("v1alpha1", stored=True, status=False),)

# As released (catalogue clusterprofile.md 1 and 3.1): no short names, no columns of their own, no labels.
INVENTORY_CRDS: tuple[Manifest, ...] = (
    crd(CLUSTER_PROFILES, Names("clusterprofile"), (Version("v1alpha1", stored=True),), ()),
    crd(PLACEMENT_DECISIONS, Names("placementdecision"), _OURS, ()),
)

HUB_CRDS: tuple[Manifest, ...] = (
    *INVENTORY_CRDS,
    crd(
        MEMBERS,
        Names("member", categories=("isthmus",)),
        (Version("v1alpha1", stored=True),),
        (
            Column("Set", "string", ".spec.set"),
            Column("Health", "string", ".spec.health.state"),
            Column("Since", "date", ".spec.health.since"),
            Column("Kubernetes", "string", ".status.kubernetesVersion"),
            Column("Agent", "string", ".status.agentVersion"),
            _AGE,
        ),
    ),
    crd(
        EXPORTED_SERVICES,
        Names("exportedservice", categories=("isthmus",)),
        _OURS,
        (
            Column("Cluster", "string", ".spec.cluster"),
            Column("Namespace", "string", ".spec.namespace"),
            Column("Service", "string", ".spec.name"),
            Column("Type", "string", ".spec.type"),
            Column("Exported", "date", ".spec.created"),
        ),
    ),
    crd(
        EXPORTED_ENDPOINTS,
        Names("exportedendpoints", categories=("isthmus",)),
        _OURS,
        (
            Column("Cluster", "string", ".spec.cluster"),
            Column("Namespace", "string", ".spec.namespace"),
            Column("Service", "string", ".spec.name"),
            Column("Index", "integer", ".spec.index"),
            Column("Generation", "integer", ".spec.generation"),
        ),
    ),
    crd(
        EXPORT_GRANTS,
        Names("exportgrant", categories=("isthmus",)),
        _OURS,
        (
            Column("Namespaces", "string", ".spec.namespaces"),
            Column("Clusters", "string", ".spec.clusters"),
            Column("Names", "string", ".spec.names"),
            _AGE,
        ),
    ),
    crd(
        JOIN_REQUESTS,
        Names("joinrequest", categories=("isthmus",)),
        (Version("v1alpha1", stored=True),),
        (
            Column("Cluster", "string", ".spec.cluster"),
            Column("Set", "string", ".spec.set"),
            Column("Phase", "string", ".status.phase"),
            Column("Reason", "string", ".status.reason"),
            _AGE,
        ),
    ),
)
