"""What a cluster publishes on the hub for one exported Service.

KEP-1645, "Exporting Services"; catalogue section 4.2; design, part 2.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from isthmus.api.core import CORE_MANAGED_BY, MANAGED_BY_LABEL, SERVICE_NAME_LABEL, Endpoint, EndpointSlice, Service
from isthmus.api.isthmus import (
    CLUSTER_LABEL,
    EXPORTED_ENDPOINTS,
    EXPORTED_SERVICES,
    MANAGED_BY,
    MARKER_LABEL,
    MAX_ADDRESSES,
    MAX_CHUNKS,
    MAX_ENDPOINTS,
    MAX_PORTS,
    MAX_SLICES,
    NAMESPACE_LABEL,
    Chunks,
    ExportedEndpoint,
    ExportedEndpoints,
    ExportedEndpointsSpec,
    ExportedService,
    ExportedServiceSpec,
    ExportedSlice,
)
from isthmus.api.mcs import CLUSTER_SET_IP, HEADLESS, ImportedPort, ServiceExport, ServiceExportSpec
from isthmus.api.mcs import SERVICE_NAME_LABEL as IMPORT_NAME_LABEL
from isthmus.api.meta import ObjectMeta
from isthmus.api.names import is_dns_label, is_label_value
from isthmus.errors import Invalid
from isthmus.mcs.rules.constituent import sanitised
from isthmus.mcs.rules.foreign import FAMILIES
from isthmus.mcs.rules.names import ExportKey, chunk_name, export_name

# Up to here endpoints travel inside the ExportedService: one write, and no reader sees half of it.
INLINE_ENDPOINTS = 100
INLINE_PORTS = 2 * MAX_PORTS
EXPORTABLE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")


@dataclass(frozen=True)
class Problem:
    """Why an export is not valid: a reason of condition Valid, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True)
class Publication:
    """What is wanted on the hub for one export, and what of the Service does not travel.

    Chunks are written before the service, and those no longer wanted deleted after it.
    """

    service: ExportedService
    chunks: tuple[ExportedEndpoints, ...] = ()
    left_out: tuple[str, ...] = ()


def problem(service: Service | None) -> Problem | None:
    """Why a ServiceExport of that Service is not valid; nothing, if it is (MCS-14)."""
    if service is None:
        return Problem("NoService", "there is no Service of this name in this namespace")
    if service.metadata.labels.get(MARKER_LABEL) == MANAGED_BY:
        return Problem("InvalidServiceType", "this Service stands in for an import; export the original instead")
    if service.spec.type not in EXPORTABLE_TYPES:
        return Problem(
            "InvalidServiceType",
            f"a Service of type {service.spec.type} cannot be exported, only {', '.join(EXPORTABLE_TYPES)}",
        )
    return None


def withdrawn(export: ServiceExport | None) -> str:
    """Why a ServiceExport publishes nothing though it is there, in words: it is deleted, and finalizers hold it."""
    if export is None or export.metadata.deletion_timestamp is None:
        return ""
    holders = ", ".join(export.metadata.finalizers) or "nothing"
    return f"this ServiceExport is being deleted; finalizers hold it: {holders}"


def source_slices(service: str, slices: Iterable[EndpointSlice]) -> tuple[EndpointSlice, ...]:
    """The Service's own slices in the order in which they are published: by age.

    New slices come last, so that growth rewrites no earlier chunk. Imported slices and host names are no backends.
    """
    own = [
        each
        for each in slices
        if each.metadata.labels.get(SERVICE_NAME_LABEL) == service
        and each.metadata.labels.get(MANAGED_BY_LABEL, CORE_MANAGED_BY) != MANAGED_BY
        and IMPORT_NAME_LABEL not in each.metadata.labels
        and each.address_type in FAMILIES
    ]
    return tuple(sorted(own, key=_age))


def _age(each: EndpointSlice) -> tuple[str, str]:
    created = each.metadata.creation_timestamp
    return created.isoformat() if created else "", each.metadata.name


def publish(
    export: ServiceExport,
    service: Service,
    slices: Iterable[EndpointSlice],
    *,
    cluster: str,
    seen: Iterable[ExportedEndpoints] = (),
) -> Publication:
    """What the cluster publishes of a Service whose export is valid.

    `seen` are this export's chunks now on the hub: those that would not change keep their generation, so that one
    changed endpoint rewrites one chunk. Raises `Invalid` for an export that no API server has stored.
    """
    created = export.metadata.creation_timestamp
    if created is None:
        raise Invalid(f"ServiceExport {export.metadata.namespace}/{export.metadata.name} has no creationTimestamp")
    key = ExportKey(cluster, service.metadata.namespace, service.metadata.name)
    wanted = export.spec or ServiceExportSpec()
    live = service.spec
    spec, left_out = sanitised(
        ExportedServiceSpec(
            cluster=cluster,
            namespace=key.namespace,
            name=key.name,
            uid=export.metadata.uid,
            created=created,
            type=HEADLESS if live.cluster_ip == "None" else CLUSTER_SET_IP,
            ports=tuple(
                ImportedPort(port=port.port, name=port.name, protocol=port.protocol, app_protocol=port.app_protocol)
                for port in live.ports
            ),
            ip_families=live.ip_families,
            session_affinity=live.session_affinity,
            session_affinity_config=live.session_affinity_config,
            internal_traffic_policy=live.internal_traffic_policy,
            traffic_distribution=live.traffic_distribution,
            exported_labels=wanted.exported_labels,
            exported_annotations=wanted.exported_annotations,
        )
    )
    exported, slice_notes = exported_slices(source_slices(key.name, slices))
    if _fits_inline(exported):
        spec = msgspec.structs.replace(spec, slices=exported)
        return Publication(_service(key, spec), (), (*left_out, *slice_notes))
    chunks = _chunks(key, exported[:MAX_CHUNKS], seen)
    newest = max(chunk.spec.generation for chunk in chunks if chunk.spec)
    spec = msgspec.structs.replace(spec, chunks=Chunks(generation=newest, count=len(chunks)))
    if len(exported) > MAX_CHUNKS:
        slice_notes = (*slice_notes, f"endpoints: only {MAX_CHUNKS} slices are carried")
    return Publication(_service(key, spec), chunks, (*left_out, *slice_notes))


def exported_slices(sources: Sequence[EndpointSlice]) -> tuple[tuple[ExportedSlice, ...], tuple[str, ...]]:
    """The slices as they travel, empty ones left out; and what is too much to travel."""
    kept = tuple(
        ExportedSlice(
            address_type=source.address_type,
            ports=source.ports[:MAX_PORTS],
            endpoints=tuple(_endpoint(each) for each in source.endpoints[:MAX_ENDPOINTS]),
        )
        for source in sources
        if source.endpoints
    )
    cut = any(len(source.endpoints) > MAX_ENDPOINTS for source in sources)
    return kept, (f"endpoints: only {MAX_ENDPOINTS} of one slice are carried",) if cut else ()


def _endpoint(seen: Endpoint) -> ExportedEndpoint:
    # Node and target name objects of this cluster: they would mislead elsewhere (MCS-73).
    return ExportedEndpoint(
        addresses=seen.addresses[:MAX_ADDRESSES],
        ready=seen.conditions.ready is not False,
        serving=seen.conditions.serving,
        terminating=seen.conditions.terminating,
        hostname=seen.hostname if seen.hostname and is_dns_label(seen.hostname) else None,
        zone=seen.zone if seen.zone and is_label_value(seen.zone) else None,
    )


def _fits_inline(slices: Sequence[ExportedSlice]) -> bool:
    return (
        len(slices) <= MAX_SLICES
        and sum(len(each.endpoints) for each in slices) <= INLINE_ENDPOINTS
        and sum(len(each.ports) for each in slices) <= INLINE_PORTS
    )


def _chunks(
    key: ExportKey, slices: Sequence[ExportedSlice], seen: Iterable[ExportedEndpoints]
) -> tuple[ExportedEndpoints, ...]:
    before = {chunk.metadata.name: chunk.spec for chunk in seen if chunk.spec}
    following = max((spec.generation for spec in before.values()), default=0) + 1
    chunks = []
    for index, each in enumerate(slices):
        name = chunk_name(key, each.address_type, index)
        old = before.get(name)
        generation = old.generation if old and old.slice == each else following
        spec = ExportedEndpointsSpec(
            cluster=key.cluster,
            namespace=key.namespace,
            name=key.name,
            generation=generation,
            index=index,
            slice=each,
        )
        chunks.append(
            ExportedEndpoints(
                api_version=EXPORTED_ENDPOINTS.api_version,
                kind=EXPORTED_ENDPOINTS.kind,
                metadata=_metadata(key, name),
                spec=spec,
            )
        )
    return tuple(chunks)


def _service(key: ExportKey, spec: ExportedServiceSpec) -> ExportedService:
    return ExportedService(
        api_version=EXPORTED_SERVICES.api_version,
        kind=EXPORTED_SERVICES.kind,
        metadata=_metadata(key, export_name(*key)),
        spec=spec,
    )


def _metadata(key: ExportKey, name: str) -> ObjectMeta:
    return ObjectMeta(
        name=name,
        labels={CLUSTER_LABEL: key.cluster, NAMESPACE_LABEL: key.namespace, MARKER_LABEL: MANAGED_BY},
    )
