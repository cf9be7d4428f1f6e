"""The Multi-Cluster Services API: ServiceExport and ServiceImport (KEP-1645, mcs-api v0.5.2)."""

from typing import Annotated

from msgspec import Meta

from isthmus.api.core import SessionAffinityConfig
from isthmus.api.meta import Conditions, Object, Wire
from isthmus.api.scheme import Resource

SERVICE_NAME_LABEL = "multicluster.kubernetes.io/service-name"
SOURCE_CLUSTER_LABEL = "multicluster.kubernetes.io/source-cluster"
DERIVED_SERVICE_ANNOTATION = "multicluster.kubernetes.io/derived-service"
ZONE = "clusterset.local"

CLUSTER_SET_IP = "ClusterSetIP"
HEADLESS = "Headless"


class ServiceExportSpec(Wire):
    """Labels and annotations that go with the export; nothing else is taken from metadata (MCS-12)."""

    exported_labels: dict[str, str] = {}
    exported_annotations: dict[str, str] = {}


class ServiceExportStatus(Wire):
    """Conditions Valid, Ready and Conflict."""

    conditions: Conditions = ()


class ServiceExport(Object):
    """multicluster.x-k8s.io ServiceExport: this Service is to be reached from the whole set."""

    spec: ServiceExportSpec | None = None
    status: ServiceExportStatus | None = None


class ImportedPort(Wire):
    """One port of a ServiceImport; an absent protocol means TCP."""

    port: Annotated[int, Meta(extra_json_schema={"format": "int32"})]
    name: str = ""
    protocol: str = ""
    app_protocol: str | None = None


class ServiceImportSpec(Wire):
    """What consumers in this cluster reach."""

    type: Annotated[str, Meta(extra_json_schema={"enum": ["ClusterSetIP", "Headless"]})]
    ports: Annotated[tuple[ImportedPort, ...], Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})]
    ips: Annotated[tuple[str, ...], Meta(max_length=2)] = ()
    ip_families: Annotated[tuple[str, ...], Meta(max_length=2)] = ()
    session_affinity: str = ""
    session_affinity_config: SessionAffinityConfig | None = None
    internal_traffic_policy: str = ""
    traffic_distribution: str = ""


class ImportedFrom(Wire):
    """A cluster that exports the service."""

    cluster: str


class ServiceImportStatus(Wire):
    """Which clusters it comes from, and whether it can be used here."""

    clusters: Annotated[
        tuple[ImportedFrom, ...],
        Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["cluster"]}),
    ] = ()
    conditions: Conditions = ()
    endpoint_slice_objects: Annotated[str, Meta(extra_json_schema={"enum": ["Present", "Absent"]})] = ""


class ServiceImport(Object):
    """multicluster.x-k8s.io ServiceImport: a service of the set, as this cluster sees it."""

    spec: ServiceImportSpec | None = None
    status: ServiceImportStatus | None = None


SERVICE_EXPORTS = Resource("multicluster.x-k8s.io", "v1beta1", "serviceexports", "ServiceExport", ServiceExport)
SERVICE_IMPORTS = Resource("multicluster.x-k8s.io", "v1beta1", "serviceimports", "ServiceImport", ServiceImport)
