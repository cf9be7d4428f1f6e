"""C-1 to C-15: what a ServiceImport says, and when there is one (upstream: service_import)."""

from ipaddress import ip_address

from isthmus.conformance.declared import check
from isthmus.conformance.manifests import TCP, service
from isthmus.conformance.place import Imported, Place
from isthmus.conformance.scene import Scene
from isthmus.conformance.witness import Bound

PORTS = {("tcp", "TCP", 42, ""), ("udp", "UDP", 42, "")}


async def gone_with_its_export(scene: Scene) -> None:
    """The import is in all clusters, and goes from all of them with the export."""
    await scene.c0.unexport()
    await scene.everywhere(lambda place: place.imports_nothing())


@check(
    "C-1",
    "A ServiceImport should only exist as long as there's at least one exporting cluster",
    "Required",
    "MCS-25",
    clusters=2,
)
async def lives_with_its_exporters(scene: Scene) -> None:
    """One of two exporters may go, not both."""
    await scene.exported()
    await scene.c0.imports("imported")
    await scene.c1.serve(replicas=0)
    await scene.c1.export()
    await scene.everywhere(lambda place: place.imports("imported"))
    await scene.everywhere(lambda place: place.keeps_import(True))
    await scene.c0.unexport()
    await scene.everywhere(lambda place: place.keeps_import(True))
    await scene.c1.unexport()
    await scene.everywhere(lambda place: place.imports_nothing())


@check(
    "C-2",
    "Only labels and annotations specified as exported in the ServiceExport should be in the ServiceImport",
    "Optional ExportedLabels",
    "MCS-11 MCS-12",
)
async def exported_labels(scene: Scene) -> None:
    """Labels and annotations of the Service and the ServiceExport themselves stay at home."""
    spec = {
        "exportedLabels": {"dummy-label": "true"},
        "exportedAnnotations": {"dummy-annotation": "true"},
    }
    await scene.exported(spec=spec)
    seen = await scene.c0.imports(
        "carries what is exported",
        lambda one: "dummy-label" in one.labels and "dummy-annotation" in one.annotations,
    )
    private = {"dummy-svc", "dummy-svcexport"} & {*seen.labels, *seen.annotations}
    scene.witness.require(not private, "carries nothing that is not exported", sorted(private))


@check(
    "C-3",
    "Exporting with conflicting annotations and labels should apply the conflict resolution policy",
    "Optional ExportedLabels",
    "MCS-43 MCS-51",
    clusters=2,
)
async def conflicting_labels(scene: Scene) -> None:
    """The older export's whole maps are used."""
    older = {"exportedLabels": {"dummy-label": "true"}, "exportedAnnotations": {"dummy-annotation": "true"}}
    younger = {"exportedLabels": {"dummy-label2": "true"}, "exportedAnnotations": {"dummy-annotation2": "true"}}
    await scene.exported(spec=older)
    await scene.joined(spec=younger)
    await scene.conflict()
    await scene.c0.imports(
        "has the older export's labels and annotations, none of the younger's",
        lambda one: (
            "dummy-label" in one.labels
            and "dummy-annotation" in one.annotations
            and "dummy-label2" not in one.labels
            and "dummy-annotation2" not in one.annotations
        ),
    )


@check(
    "C-4",
    "Exporting a ClusterIP service should create a ServiceImport of type ClusterSetIP in the service's namespace in "
    "each cluster",
    "Required ClusterIP",
    "MCS-14 MCS-23 MCS-25",
)
async def of_type_cluster_set_ip(scene: Scene) -> None:
    """Created everywhere, and gone everywhere without the export."""
    await scene.exported()
    await scene.c0.says("Valid", "True")
    await scene.everywhere(lambda place: place.imports("type ClusterSetIP", lambda x: x.spec.type == "ClusterSetIP"))
    await gone_with_its_export(scene)


@check(
    "C-5",
    "The SessionAffinity for a ClusterSetIP ServiceImport should match the exported service's SessionAffinity",
    "Required ClusterIP",
    "MCS-39",
)
async def session_affinity(scene: Scene) -> None:
    """Its configuration too, as a whole."""
    await scene.exported()
    wanted = (await scene.c0.service()).spec
    await scene.c0.imports(
        "the Service's session affinity",
        lambda one: (
            one.spec.session_affinity == wanted.session_affinity
            and one.spec.session_affinity_config == wanted.session_affinity_config
        ),
    )


@check(
    "C-6",
    "The InternalTrafficPolicy for a ClusterSetIP ServiceImport should match the exported service's",
    "Required ClusterIP",
    "MCS-40",
)
async def internal_traffic_policy(scene: Scene) -> None:
    """As the Service says."""
    await scene.exported(service(internalTrafficPolicy="Cluster"))
    await scene.c0.imports("internalTrafficPolicy Cluster", lambda x: x.spec.internal_traffic_policy == "Cluster")


@check(
    "C-7",
    "The TrafficDistribution for a ClusterSetIP ServiceImport should match the exported service's",
    "Required ClusterIP",
    "MCS-41",
)
async def traffic_distribution(scene: Scene) -> None:
    """As the Service says."""
    await scene.exported(service(trafficDistribution="PreferClose"))
    await scene.c0.imports(
        "trafficDistribution PreferClose", lambda one: one.spec.traffic_distribution == "PreferClose"
    )


@check(
    "C-8",
    "An IP should be allocated for a ClusterSetIP ServiceImport",
    "Required ClusterIP",
    "MCS-31 MCS-32",
)
async def has_ips(scene: Scene) -> None:
    """One per family, in the order of the families."""
    await scene.exported()
    seen = await scene.c0.imports("has ips", lambda one: bool(one.spec.ips))
    families = [f"IPv{ip_address(ip).version}" for ip in seen.spec.ips]
    scene.witness.require(
        families == list(seen.spec.ip_families), f"ips follow ipFamilies {seen.spec.ip_families}", seen.spec.ips
    )


@check(
    "C-9",
    "The ports for a ClusterSetIP ServiceImport should match those of the exported service",
    "Required ClusterIP",
    "MCS-57",
)
async def ports(scene: Scene) -> None:
    """Name, protocol, number and appProtocol, in any order."""
    await scene.exported()
    await scene.c0.imports("the Service's ports", lambda one: one.ports == PORTS)


@check(
    "C-10",
    "A ClusterSetIP service exported in two clusters should expose the union of the constituent service ports",
    "Required ClusterIP",
    "MCS-56 MCS-57",
    clusters=2,
)
async def union_of_ports(scene: Scene) -> None:
    """And say that the ports differ."""
    await scene.exported()
    await scene.joined(service(ports=[TCP, {"name": "stcp", "port": 142, "protocol": "SCTP"}]))
    await scene.conflict()
    wanted = PORTS | {("stcp", "SCTP", 142, "")}
    await scene.c0.imports("the union of the ports", lambda one: one.ports == wanted)


@check(
    "C-11",
    "A ClusterSetIP service exported with conflicting ports should apply the conflict resolution policy",
    "Required ClusterIP",
    "MCS-48 MCS-56",
    clusters=2,
)
async def conflicting_ports(scene: Scene) -> None:
    """The older export's port stays."""
    await scene.exported()
    await scene.joined(service(ports=[{**TCP, "port": 43}]))
    await scene.conflict()
    await scene.c0.imports("the older export's ports", lambda one: one.ports == PORTS)


@check(
    "C-12",
    "Exporting a headless service should create a ServiceImport of type Headless in each cluster",
    "Required Headless",
    "MCS-18 MCS-25",
)
async def of_type_headless(scene: Scene) -> None:
    """Created everywhere, and gone everywhere without the export."""
    await scene.exported(service(clusterIP="None"))
    await scene.everywhere(lambda place: place.imports("type Headless", lambda one: one.spec.type == "Headless"))
    await gone_with_its_export(scene)


@check("C-13", "No clusterset IP should be allocated for a headless ServiceImport", "Required Headless", "MCS-34")
async def headless_has_no_ips(scene: Scene) -> None:
    """All the time."""
    await scene.exported(service(clusterIP="None"))
    await scene.c0.imports("imported")
    await scene.witness.throughout("no ips", scene.c0.service_import, _without_ips, Bound(5, 1.0))


def _without_ips(seen: Imported | None) -> bool:
    return seen is not None and not seen.spec.ips


@check(
    "C-14",
    "Exporting an ExternalName service should set ServiceExport Valid condition to False",
    "Required ExternalName",
    "MCS-14 MCS-15",
)
async def external_name(scene: Scene) -> None:
    """And import nothing."""
    await scene.exported(service(type="ExternalName", externalName="example.com", ipFamilyPolicy=None))
    await scene.c0.says("Valid", "False")
    await scene.c0.keeps_import(False)


@check(
    "C-15",
    "A service exported with conflicting headlessness should apply the conflict resolution policy",
    "Required",
    "MCS-42",
    clusters=2,
)
async def conflicting_types(scene: Scene) -> None:
    """The older export's type holds for all clusters."""
    await scene.exported()
    await scene.joined(service(clusterIP="None"))
    await scene.conflict()
    await scene.everywhere(_is_cluster_set_ip)


async def _is_cluster_set_ip(place: Place) -> None:
    await place.imports("type ClusterSetIP", lambda one: one.spec.type == "ClusterSetIP")


def announced(seen: Imported) -> str:
    """Present or Absent, as the status says of the import's EndpointSlices; nothing, where it says neither."""
    said = seen.status.endpoint_slice_objects or ""
    return said if said in {"Present", "Absent"} else ""


async def announces_slices(place: Place) -> None:
    """Return once the import says that its EndpointSlices are there."""
    await place.imports("endpointSliceObjects Present", lambda one: announced(one) == "Present")
