"""E-50 to E-58: disagreements: who wins, what is said, and that all clusters see the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from isthmus.api.mcs import SOURCE_CLUSTER_LABEL
from isthmus.api.meta import Condition
from isthmus.api.scheme import Manifest
from isthmus.conformance.declared import Skipped, check
from isthmus.conformance.manifests import HELLO, TCP, UDP, plain, service
from isthmus.conformance.mcs.connectivity import reaches_only
from isthmus.conformance.mcs.life import by_source, own_backends
from isthmus.conformance.mcs.traffic import has_endpoints, reaches_all
from isthmus.conformance.place import Imported, Place
from isthmus.conformance.scene import OLDER, Scene
from isthmus.conformance.witness import SLICE, STEADY
from isthmus.errors import Refused
from isthmus.runtime.together import together


@dataclass(frozen=True)
class Disagreement:
    """Two Services of one name, or two exports, that differ in one thing; `holds` is true of the older's value."""

    reason: str
    older: Manifest
    younger: Manifest
    holds: Callable[[Imported], bool]
    exports: tuple[Manifest, Manifest] = ({}, {})

    @property
    def name(self) -> str:
        """A name for its Services."""
        return self.reason.lower()


PROPERTIES = (
    Disagreement(
        "PortConflict",
        service("portconflict"),
        service("portconflict", ports=[{**TCP, "port": 43}, UDP]),
        lambda seen: ("tcp", "TCP", 42, "") in seen.ports and ("tcp", "TCP", 43, "") not in seen.ports,
    ),
    Disagreement(
        "TypeConflict",
        service("typeconflict"),
        service("typeconflict", clusterIP="None"),
        lambda seen: seen.spec.type == "ClusterSetIP",
    ),
    Disagreement(
        "SessionAffinityConflict",
        service("sessionaffinityconflict"),
        plain("sessionaffinityconflict"),
        lambda seen: seen.spec.session_affinity == "ClientIP",
    ),
    Disagreement(
        "SessionAffinityConfigConflict",
        service("sessionaffinityconfigconflict"),
        service("sessionaffinityconfigconflict", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 20}}),
        lambda seen: _timeout(seen) == 10,
    ),
    Disagreement(
        "InternalTrafficPolicyConflict",
        service("internaltrafficpolicyconflict", internalTrafficPolicy="Local"),
        service("internaltrafficpolicyconflict"),
        lambda seen: seen.spec.internal_traffic_policy == "Local",
    ),
    Disagreement(
        "TrafficDistributionConflict",
        service("trafficdistributionconflict"),
        service("trafficdistributionconflict", trafficDistribution="PreferClose"),
        lambda seen: not seen.spec.traffic_distribution,
    ),
)
EXPORTED = (
    Disagreement(
        "LabelsConflict",
        service("labelsconflict"),
        service("labelsconflict"),
        lambda seen: seen.labels.get("who") == "older" and "extra" not in seen.labels,
        ({"exportedLabels": {"who": "older"}}, {"exportedLabels": {"who": "younger", "extra": "yes"}}),
    ),
    Disagreement(
        "AnnotationsConflict",
        service("annotationsconflict"),
        service("annotationsconflict"),
        lambda seen: seen.annotations.get("who") == "older" and "extra" not in seen.annotations,
        ({"exportedAnnotations": {"who": "older"}}, {"exportedAnnotations": {"who": "younger", "extra": "yes"}}),
    ),
)


def _timeout(seen: Imported) -> int | None:
    config = seen.spec.session_affinity_config
    return config.client_ip.timeout_seconds if config and config.client_ip else None


async def _disagree(scene: Scene, cases: Sequence[Disagreement]) -> None:
    """All at once: the older ones, then the younger; each is to be told, on both sides, and the older one's used."""
    for case in cases:
        await scene.c0.serve(case.older, replicas=0)
        await scene.c0.export(case.name, case.exports[0])
    for case in cases:
        await scene.c0.imports(f"{case.name} is imported", name=case.name)
    await scene.pause(OLDER)
    for case in cases:
        await scene.c1.serve(case.younger, replicas=0)
        await scene.c1.export(case.name, case.exports[1])
    for case in cases:
        says = partial(_gives, case.reason)
        await together(*(place.says("Conflict", "True", says, case.name) for place in (scene.c0, scene.c1)))
        for place in scene.places:
            await place.imports(f"{case.name}: both export, the older's value is used", _settled(case), name=case.name)


def _gives(reason: str, condition: Condition) -> bool:
    """The condition names the reason, and says something to a person."""
    return reason in condition.reason.split(",") and bool(condition.message.strip())


def _settled(case: Disagreement) -> Callable[[Imported], bool]:
    return lambda seen: len(seen.clusters) == 2 and case.holds(seen)


@check(
    "E-50",
    "Each disagreement of Services is named by its reason, with a message, on both exports; the older value holds",
    "Effect Conflict",
    "MCS-39 MCS-40 MCS-41 MCS-42 MCS-48 MCS-51 MCS-54 MCS-56",
    clusters=2,
)
async def reasons(scene: Scene) -> None:
    """Ports, type, affinity, its configuration, internal traffic policy, traffic distribution."""
    await _disagree(scene, PROPERTIES)


@check(
    "E-51",
    "Disagreements of exported labels and annotations are named by their reason; the older one's whole map holds",
    "Effect Conflict ExportedLabels",
    "MCS-43 MCS-51 MCS-54",
    clusters=2,
)
async def exported_reasons(scene: Scene) -> None:
    """No key of the younger one is taken over."""
    await _disagree(scene, EXPORTED)


@check("E-52", "Exporters that agree have no conflict", "Effect Conflict", "MCS-51", clusters=2)
async def agreement(scene: Scene) -> None:
    """Nor has a single one; it may be said, or left unsaid."""
    await scene.exported()
    await scene.joined()
    await scene.c0.imports("both export", lambda seen: len(seen.clusters) == 2)
    for place in (scene.c0, scene.c1):
        await scene.witness.throughout(
            f"{place.name}: no Conflict", partial(_conflict, place), lambda status: status != "True", STEADY
        )


async def _conflict(place: Place) -> str:
    condition = await place.condition("Conflict")
    return condition.status if condition else ""


@check("E-53", "A conflict ends with its cause", "Effect Conflict", "MCS-51 MCS-53", clusters=2)
async def conflict_ends(scene: Scene) -> None:
    """When the younger export goes, the older one is alone again."""
    await scene.exported()
    await scene.joined(service(ports=[TCP]))
    await scene.conflict()
    await scene.c1.unexport()
    await scene.witness.until(
        f"{scene.c0.name}: no Conflict any more", partial(_conflict, scene.c0), lambda status: status != "True"
    )


@check(
    "E-54",
    "The older export wins in whichever cluster it is, and whatever the age of its Service",
    "Effect Conflict",
    "MCS-48 MCS-50",
    clusters=2,
)
async def second_is_older(scene: Scene) -> None:
    """Here the second cluster exports first, a Service that is younger than the other."""
    await scene.c0.serve(service(ports=[{**TCP, "port": 43}]), replicas=0)
    await scene.pause(OLDER)
    await scene.c1.serve(service(ports=[TCP]), replicas=0)
    await scene.c1.export()
    await scene.c1.imports("imported")
    await scene.pause(OLDER)
    await scene.c0.export()
    await scene.conflict()
    await scene.everywhere(
        lambda place: place.imports("the older export's port", lambda seen: seen.ports == {("tcp", "TCP", 42, "")})
    )


@check("E-55", "All clusters import the same", "Effect Conflict", "MCS-23 MCS-50", clusters=2)
async def the_same(scene: Scene) -> None:
    """But for the addresses; also of two exports that disagree in everything."""
    await scene.exported(spec={"exportedLabels": {"who": "older"}})
    await scene.joined(
        plain(ports=[{**TCP, "name": "web", "port": 80}], trafficDistribution="PreferClose"),
        spec={"exportedLabels": {"who": "younger"}},
    )
    await scene.conflict()

    async def differing() -> list[str]:
        found = {}
        for place in scene.places:
            seen = await place.service_import()
            if seen is None or len(seen.clusters) < 2:
                return [f"{place.name} is not there yet"]
            spec = seen.spec
            found[place.name] = (
                spec.type,
                sorted(seen.ports),
                spec.session_affinity,
                _timeout(seen),
                spec.internal_traffic_policy,
                spec.traffic_distribution,
                sorted(seen.clusters),
                seen.labels.get("who"),
            )
        return [f"{name}: {value}" for name, value in found.items() if value != found[scene.c0.name]]

    await scene.witness.until("no cluster differs from the first", differing, lambda seen: not seen)


@check(
    "E-56",
    "A port of the same number has the older export's name everywhere, and leads to both clusters",
    "Effect Conflict Connectivity",
    "MCS-58 MCS-59 MCS-72",
    clusters=2,
    pods=True,
)
async def renamed_port(scene: Scene) -> None:
    """And a port whose number lost leads to nobody, while the cluster's other ports do."""
    await scene.exported(plain(ports=[TCP]), replicas=1)
    other: Manifest = {"name": "only-here", "port": 4242, "targetPort": 42, "protocol": "TCP"}
    await scene.joined(plain(ports=[{**TCP, "name": "web"}, other]), replicas=1)
    await scene.conflict()
    for family in await scene.families():
        own = await scene.c1.addresses(family)
        both = [*await scene.c0.addresses(family), *own]
        for place in scene.places:
            await has_endpoints(place, family, both)
        await scene.everywhere(partial(reaches_all, question=scene.to(family, count=20), addresses=both))
        await reaches_only(scene, family, own, port=4242)

    async def names() -> list[str]:
        slices = await scene.c0.imported_slices()
        return sorted({port.name or "" for each in slices for port in each.ports})

    await scene.witness.until(
        "the slices have the import's port names alone", names, lambda seen: seen == ["only-here", "tcp"], SLICE
    )


@check(
    "E-57",
    "The slices of a cluster have exactly those ports of the import that its own Service exposes",
    "Effect EndpointSlice",
    "MCS-58 MCS-59 MCS-72",
    clusters=2,
    pods=True,
)
async def ports_of_slices(scene: Scene) -> None:
    """A port that one cluster alone has is in its slices alone."""
    await scene.exported(plain(ports=[TCP, UDP]), replicas=1)
    await scene.joined(plain(ports=[TCP, {**TCP, "name": "more", "port": 80}]), replicas=1)
    families = await scene.families()
    of_c0, of_c1 = await own_backends(scene.c0, families), await own_backends(scene.c1, families)
    wanted = sorted([(of_c0, ["tcp", "udp"]), (of_c1, ["more", "tcp"])])
    for place in scene.places:
        await place.witness.until(
            f"{place.name}: ports by backends are {wanted}", partial(_ports, place), lambda seen: seen == wanted, SLICE
        )


async def _ports(place: Place) -> list[tuple[list[str], list[str]]]:
    slices = await place.imported_slices()
    names: dict[str, set[str]] = {}
    for each in slices:
        source = each.metadata.labels[SOURCE_CLUSTER_LABEL]
        names.setdefault(source, set()).update(port.name or "" for port in each.ports)
    return sorted((addresses, sorted(names[source])) for source, addresses in by_source(slices).items())


@check(
    "E-58",
    "Exporters without a common IP family are told so on both sides",
    "Effect Conflict",
    "MCS-36",
    clusters=2,
)
async def no_common_family(scene: Scene) -> None:
    """One IPv4 alone, the other IPv6 alone."""
    single = {"ipFamilyPolicy": "SingleStack"}
    try:
        await scene.c1.serve(service(**single, ipFamilies=["IPv6"]), replicas=0)
        await scene.c0.serve(service(**single, ipFamilies=["IPv4"]), replicas=0)
    except Refused as problem:
        raise Skipped(f"takes clusters with both families: {problem.message}") from problem
    await scene.c0.export()
    await scene.c0.imports("imported")
    await scene.pause(OLDER)
    await scene.c1.export(HELLO)
    says = partial(_gives, "IPFamilyConflict")
    await together(*(place.says("Conflict", "True", says) for place in (scene.c0, scene.c1)))
