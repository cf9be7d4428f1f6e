"""Short words for the tables in these tests: exports, members, constituents, Services, slices."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from isthmus.api.core import Endpoint, EndpointPort, EndpointSlice, Service, ServicePort, ServiceSpec
from isthmus.api.isthmus import (
    CLUSTER_LABEL,
    HEALTHY,
    NAMESPACE_LABEL,
    ExportedEndpoint,
    ExportedService,
    ExportedServiceSpec,
    ExportedSlice,
    ExportGrant,
    ExportGrantSpec,
    Exports,
    Health,
    Member,
    MemberSpec,
    MemberStatus,
)
from isthmus.api.mcs import ImportedPort, ServiceExport, ServiceExportSpec, ServiceImport
from isthmus.api.meta import ObjectMeta
from isthmus.mcs.rules.constituent import Constituent, constituents, sanitised
from isthmus.mcs.rules.merge import Merged, merge

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMESPACE, NAME = "prod", "shop"


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def port(name: str, number: int, protocol: str = "TCP", app: str | None = None) -> ImportedPort:
    return ImportedPort(name=name, port=number, protocol=protocol, app_protocol=app)


HTTP = port("http", 80)


def spec_of(cluster: str, *ports: ImportedPort, on: float = 1, **fields: object) -> ExportedServiceSpec:
    base = ExportedServiceSpec(
        cluster=cluster,
        namespace=NAMESPACE,
        name=NAME,
        uid=f"uid-{cluster}",
        created=day(on),
        type="ClusterSetIP",
        ports=ports or (HTTP,),
        ip_families=("IPv4",),
    )
    return msgspec.structs.replace(base, **fields)


def export_of(spec: ExportedServiceSpec) -> ExportedService:
    return ExportedService(
        metadata=ObjectMeta(
            name=f"{spec.cluster}.{spec.namespace}.{spec.name}",
            labels={CLUSTER_LABEL: spec.cluster, NAMESPACE_LABEL: spec.namespace},
        ),
        spec=spec,
    )


def exported(cluster: str, *ports: ImportedPort, on: float = 1, **fields: object) -> ExportedService:
    return export_of(spec_of(cluster, *ports, on=on, **fields))


def constituent(cluster: str, *ports: ImportedPort, on: float = 1, **fields: object) -> Constituent:
    clean, notes = sanitised(spec_of(cluster, *ports, on=on, **fields))
    return Constituent(cluster, day(on), clean, notes)


def merged_of(*exporters: Constituent) -> Merged:
    merged = merge(exporters)
    assert merged is not None
    return merged


def member(
    id_: str,
    *,
    joined: float = 0,
    state: str = HEALTHY,
    ranges: tuple[str, ...] = (),
    region: str = "",
    exports: Exports | None = None,
    object_uid: str = "",
) -> Member:
    return Member(
        metadata=ObjectMeta(name=id_, uid=object_uid or f"member-{id_}"),
        spec=MemberSpec(
            id=id_,
            set="demo",
            uid=f"kube-system-{id_}",
            joined_at=day(joined),
            pod_ranges=ranges,
            health=Health(state=state),
        ),
        status=MemberStatus(region=region, exports=exports or Exports()),
    )


def members(*ids: str) -> dict[str, Member]:
    return {id_: member(id_) for id_ in ids}


def clusters_of(exports: Iterable[ExportedService], *ids: str, grants: Iterable[ExportGrant] = ()) -> list[str]:
    return [each.cluster for each in constituents(exports, members(*ids), grants).constituents]


def grant(namespaces: tuple[str, ...], clusters: tuple[str, ...], names: tuple[str, ...] = ()) -> ExportGrant:
    return ExportGrant(spec=ExportGrantSpec(namespaces=namespaces, clusters=clusters, names=names))


def exported_slice(*addresses: str, family: str = "IPv4", ports: tuple[EndpointPort, ...] = ()) -> ExportedSlice:
    return ExportedSlice(
        address_type=family,
        ports=ports or (EndpointPort(name="http", protocol="TCP", port=8080),),
        endpoints=tuple(ExportedEndpoint(addresses=(address,)) for address in addresses),
    )


def source_slice(
    name: str, *endpoints: Endpoint, family: str = "IPv4", on: float = 1, service: str = NAME
) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(
            name=name,
            namespace=NAMESPACE,
            creation_timestamp=day(on),
            labels={
                "kubernetes.io/service-name": service,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        ),
        address_type=family,
        ports=(EndpointPort(name="http", protocol="TCP", port=8080),),
        endpoints=endpoints,
    )


def service(*ports: ServicePort, name: str = NAME, **fields: object) -> Service:
    base = ServiceSpec(
        ports=ports or (ServicePort(name="http", port=80),),
        cluster_ip="10.1.128.7",
        cluster_ips=("10.1.128.7",),
        ip_families=("IPv4",),
        session_affinity="None",
        internal_traffic_policy="Cluster",
    )
    not_exported = {"not": "exported"}
    metadata = ObjectMeta(name=name, namespace=NAMESPACE, labels=not_exported, annotations=not_exported)
    return Service(metadata=metadata, spec=msgspec.structs.replace(base, **fields))


def service_export(
    *, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, on: float = 1
) -> ServiceExport:
    return ServiceExport(
        metadata=ObjectMeta(
            name=NAME,
            namespace=NAMESPACE,
            uid="export-1",
            generation=3,
            creation_timestamp=day(on),
            labels={"not": "exported"},
            annotations={"not": "exported"},
        ),
        spec=ServiceExportSpec(exported_labels=labels or {}, exported_annotations=annotations or {}),
    )


def stored(wanted: ServiceImport, **status: object) -> ServiceImport:
    """The import as the API server has it after it was written."""
    metadata = msgspec.structs.replace(wanted.metadata, uid="import-1", generation=2)
    return msgspec.structs.replace(wanted, metadata=metadata, **status)
