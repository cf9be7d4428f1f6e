"""E-30 to E-42: when imports and slices come, change and go, and what they leave alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES
from isthmus.api.core import NAMESPACES, SERVICES, EndpointSlice
from isthmus.api.mcs import SERVICE_EXPORTS, SOURCE_CLUSTER_LABEL
from isthmus.api.scheme import Manifest
from isthmus.conformance.declared import Skipped, check
from isthmus.conformance.manifests import HELLO, TCP, UDP, export, plain, service
from isthmus.conformance.mcs.connectivity import ROW, only
from isthmus.conformance.mcs.service_import import announces_slices
from isthmus.conformance.mcs.traffic import LONG, has_endpoints
from isthmus.conformance.place import Imported, Place, ready_addresses
from isthmus.conformance.probing import Traffic
from isthmus.conformance.scene import Scene
from isthmus.conformance.witness import SLICE
from isthmus.errors import NotFound


def by_source(slices: list[EndpointSlice]) -> dict[str, list[str]]:
    """The ready addresses of imported slices, by source cluster."""
    found: dict[str, set[str]] = {}
    for each in slices:
        source = each.metadata.labels[SOURCE_CLUSTER_LABEL]
        found.setdefault(source, set()).update(ready_addresses([each], each.address_type))
    return {source: sorted(addresses) for source, addresses in found.items()}


async def sources(place: Place, wanted: list[list[str]]) -> dict[str, list[str]]:
    """Wait until the imported slices have exactly these backends, each list under a source cluster of its own."""

    what = f"{place.name}: source clusters with {' and '.join(map(str, wanted))}"
    return await place.witness.until(what, partial(_seen, place), lambda found: _are(found, wanted), SLICE)


async def keeps_sources(place: Place, wanted: list[list[str]]) -> None:
    """Hold the imported slices to have exactly these backends all the time: others may come late."""
    what = f"{place.name}: no source cluster but those with {' and '.join(map(str, wanted))}"
    await place.witness.throughout(what, partial(_seen, place), lambda found: _are(found, wanted))


async def _seen(place: Place) -> dict[str, list[str]]:
    return by_source(await place.imported_slices())


def _are(found: dict[str, list[str]], wanted: list[list[str]]) -> bool:
    return sorted(found.values()) == sorted(wanted)


async def own_backends(place: Place, families: tuple[str, ...], count: int = 1) -> list[str]:
    """The addresses of so many ready backends of a cluster, over these families."""
    return sorted([address for family in families for address in await place.addresses(family, count)])


@check(
    "E-30",
    "Slices hold the backends of one exporting cluster each, and nothing of clusters that do not export",
    "Effect EndpointSlice",
    "MCS-9 MCS-27 MCS-62 MCS-63 MCS-65",
    clusters=2,
    pods=True,
)
async def one_source_each(scene: Scene) -> None:
    """First one exporter beside a Service without export, then two."""
    await scene.c1.serve()
    await scene.exported(replicas=1)
    families = await scene.families()
    of_c0, of_c1 = await own_backends(scene.c0, families), await own_backends(scene.c1, families)
    for place in scene.places:
        await sources(place, [of_c0])
    await scene.everywhere(partial(keeps_sources, wanted=[of_c0]))
    await scene.c1.export()
    for place in scene.places:
        found = await sources(place, [of_c0, of_c1])
        await place.imports("status.clusters names them", partial(_comes_from, clusters=sorted(found)))


def _comes_from(seen: Imported, clusters: list[str]) -> bool:
    return sorted(seen.clusters) == clusters


@check(
    "E-31",
    "When one of two exporters leaves, its slices go and the rest stays as it was",
    "Effect EndpointSlice",
    "MCS-19 MCS-25 MCS-27 MCS-33 MCS-69",
    clusters=2,
    pods=True,
)
async def one_leaves(scene: Scene) -> None:
    """The older one leaves: the import lives on with its address."""
    await scene.exported(replicas=1)
    await scene.joined(replicas=1)
    families = await scene.families()
    of_c0, of_c1 = await own_backends(scene.c0, families), await own_backends(scene.c1, families)
    before = {}
    for place in scene.places:
        await sources(place, [of_c0, of_c1])
        before[place.name] = (await place.imports("has ips", lambda one: bool(one.spec.ips))).spec.ips
    await scene.c0.unexport()
    for place in scene.places:
        found = await sources(place, [of_c1])
        seen = await place.imports("status.clusters follows", partial(_comes_from, clusters=list(found)))
        scene.witness.require(seen.spec.ips == before[place.name], f"{place.name}: the ips stay", seen.spec.ips)


@check(
    "E-32",
    "Clusterset IPs stay the same through changes of ports, exporters and conflicts",
    "Effect ClusterIP",
    "MCS-33 MCS-52",
    clusters=2,
)
async def stable_ips(scene: Scene) -> None:
    """In each cluster its own."""
    await scene.exported()
    before: dict[str, tuple[str, ...]] = {}
    for place in scene.places:
        before[place.name] = (await place.imports("has ips", lambda one: bool(one.spec.ips))).spec.ips

    async def unchanged(what: str) -> None:
        for place in scene.places:
            seen = await place.imports(f"there, {what}", lambda one: bool(one.spec.ips))
            scene.witness.require(seen.spec.ips == before[place.name], f"{place.name}: {what}", seen.spec.ips)

    await scene.c0.change({"ports": [TCP, UDP, {"name": "more", "port": 80, "protocol": "TCP"}]})
    await scene.everywhere(lambda place: place.imports("has the new port", lambda one: len(one.ports) == 3))
    await unchanged("after a port came")
    await scene.joined(plain(ports=[{**TCP, "port": 43}], trafficDistribution="PreferClose"))
    await scene.conflict()
    await unchanged("after a conflict came")
    await scene.c0.unexport()
    await scene.everywhere(lambda place: place.imports("has one exporter", lambda one: len(one.clusters) == 1))
    await unchanged("after the older exporter left")


@check(
    "E-33",
    "A cluster without the namespace gets no import, and no namespace; when it appears, the import follows",
    "Effect",
    "MCS-23 MCS-24",
    clusters=2,
)
async def namespace_later(scene: Scene) -> None:
    """Namespaces are made by people."""
    async with _second(scene, "later") as (there, later):
        await there.begin()
        await there.serve(replicas=0)
        await there.export()
        await there.imports("imported where the namespace is")

        async def exists() -> bool:
            try:
                await later.client.get(NAMESPACES, later.namespace)
            except NotFound:
                return False
            return True

        await scene.witness.throughout(f"{later.name}: nobody makes the namespace", exists, lambda seen: not seen)
        await later.begin()
        await later.imports("imported once the namespace is there")


@asynccontextmanager
async def _second(scene: Scene, suffix: str) -> AsyncIterator[tuple[Place, Place]]:
    """The two clusters with another namespace, which is deleted in the end."""
    c0, c1 = (replace(place, namespace=f"{place.namespace}-{suffix}") for place in (scene.c0, scene.c1))
    try:
        yield c0, c1
    finally:
        await c0.end()
        await c1.end()


@check(
    "E-34",
    "A namespace that is deleted in the only exporting cluster takes its export along",
    "Effect",
    "MCS-19 MCS-25",
    clusters=2,
)
async def namespace_deleted(scene: Scene) -> None:
    """The import goes from the clusters whose namespace stays."""
    await scene.exported()
    await scene.c1.imports("imported")
    await scene.c0.end()
    await scene.c1.imports_nothing(SLICE)


@check("E-35", "An export without a Service says so, and counts once the Service appears", "Effect", "MCS-14 MCS-16")
async def service_later(scene: Scene) -> None:
    """Reason NoService, then Valid."""
    await scene.c0.export()
    await scene.c0.says("Valid", "False", lambda one: one.reason == "NoService")
    await scene.c0.keeps_import(False)
    await scene.c0.serve(replicas=0)
    await scene.c0.says("Valid", "True")
    await scene.everywhere(lambda place: place.imports("imported"))


@check(
    "E-36",
    "When the exported Service is deleted, its export is no longer valid and the import goes",
    "Effect",
    "MCS-16 MCS-25",
)
async def service_deleted(scene: Scene) -> None:
    """The ServiceExport alone exports nothing."""
    await scene.exported()
    await scene.everywhere(lambda place: place.imports("imported"))
    await scene.c0.client.delete(SERVICES, HELLO, namespace=scene.c0.namespace)
    await scene.c0.says("Valid", "False")
    await scene.everywhere(lambda place: place.imports_nothing())


@check("E-37", "NodePort and LoadBalancer Services are exported as their cluster IP part", "Effect", "MCS-17")
async def node_ports(scene: Scene) -> None:
    """Type ClusterSetIP, the Service's own port numbers."""
    for name, kind in (("node-port", "NodePort"), ("balancer", "LoadBalancer")):
        await scene.c0.serve(service(name, type=kind), replicas=0)
        await scene.c0.export(name)
        await scene.c0.says("Valid", "True", name=name)
        for place in scene.places:
            seen = await place.imports(f"{name} is imported", lambda one: bool(one.spec.ips), name=name)
            fit = seen.spec.type == "ClusterSetIP" and {port.port for port in seen.spec.ports} == {42}
            scene.witness.require(fit, f"{place.name}: {kind} is a ClusterSetIP with port 42", seen.spec)


@check(
    "E-38",
    "Changes of the exported Service are followed, and its metadata never travels",
    "Effect",
    "MCS-11 MCS-12 MCS-39 MCS-40 MCS-41 MCS-57",
)
async def followed(scene: Scene) -> None:
    """Read live: ports, affinity and policies."""
    await scene.exported()
    await scene.everywhere(lambda place: place.imports("imported"))
    spec: Manifest = {
        "ports": [{**TCP, "name": "web", "port": 80}],
        "sessionAffinity": "None",
        "sessionAffinityConfig": None,
        "internalTrafficPolicy": "Local",
        "trafficDistribution": "PreferClose",
    }
    await scene.c0.change(spec)

    def follows(seen: Imported) -> bool:
        now = seen.spec
        return (
            seen.ports == {("web", "TCP", 80, "")}
            and now.session_affinity in {"", "None"}
            and now.session_affinity_config is None
            and now.internal_traffic_policy == "Local"
            and now.traffic_distribution == "PreferClose"
        )

    await scene.everywhere(lambda place: place.imports("follows the Service", follows))
    for place in scene.places:
        seen = await place.imports("there")
        keys = {"dummy-svc", "dummy-svcexport"} & {*seen.labels, *seen.annotations}
        scene.witness.require(not keys, f"{place.name}: no metadata of Service or export", sorted(keys))


@check(
    "E-39",
    "The status says where an import comes from, that it is ready, and whether it has slices",
    "Effect",
    "MCS-27 MCS-28 MCS-29",
    pods=True,
)
async def status(scene: Scene) -> None:
    """In every cluster."""
    await scene.exported(replicas=1)
    await scene.c0.addresses((await scene.families())[0])
    for place in scene.places:
        seen = await place.imports("names its one exporter", lambda one: len(one.clusters) == 1)
        written = await place.imported_slices()
        if written:
            await announces_slices(place)
        conditions = {each.type: each.status for each in seen.status.conditions}
        scene.witness.require(conditions.get("Ready") in {None, "True"}, f"{place.name}: Ready, if said", conditions)


@check(
    "E-40",
    "Cluster-local Services and their slices are left alone by an import of the same name",
    "Effect Connectivity",
    "MCS-7 MCS-75",
    clusters=2,
    pods=True,
)
async def local_alone(scene: Scene) -> None:
    """Its spec, its slices, and whom `cluster.local` reaches."""
    await scene.c1.serve(plain())
    family = (await scene.c1.service()).spec.ip_families[0]
    own = await scene.c1.addresses(family)
    before = await scene.c1.service()
    await scene.exported(plain(), replicas=1)
    await has_endpoints(scene.c1, family, await scene.c0.addresses(family))
    question = Traffic(f"{HELLO}.{scene.c1.namespace}.svc.cluster.local.", family=family, count=ROW)
    await scene.c1.answers(f"the local name leads to {own} alone", question, partial(only, own), LONG)
    after = await scene.c1.service()
    same = (after.spec, after.metadata.labels, after.metadata.annotations) == (
        before.spec,
        before.metadata.labels,
        before.metadata.annotations,
    )
    scene.witness.require(same, f"{scene.c1.name}: the local Service is unchanged", after.spec)
    local = ready_addresses(await scene.c1.own_slices(), family)
    scene.witness.require(local == own, f"{scene.c1.name}: its slices have its own backends alone", local)


@check("E-41", "An export that is made again exports again", "Effect", "MCS-19 MCS-23 MCS-25")
async def again(scene: Scene) -> None:
    """Three times: nothing of the former life is in the way."""
    await scene.c0.serve(replicas=0)
    for _ in range(3):
        await scene.c0.put(SERVICE_EXPORTS, export())
        await scene.everywhere(lambda place: place.imports("imported", lambda one: bool(one.spec.ips)))
        await scene.c0.unexport()
        await scene.everywhere(lambda place: place.imports_nothing())


@check(
    "E-42", "The source cluster of slices and imports is the id that About tells", "Effect", "MCS-6 MCS-65", pods=True
)
async def about_id(scene: Scene) -> None:
    """Where the cluster serves the About API."""
    try:
        wanted = await scene.c0.client.get(CLUSTER_PROPERTIES, CLUSTER_ID)
    except NotFound as problem:
        raise Skipped(f"{scene.c0.name} has no ClusterProperty {CLUSTER_ID}: {problem.message}") from problem
    value = wanted.spec.value if wanted.spec else ""
    await scene.exported(replicas=1)
    own = await own_backends(scene.c0, await scene.families())
    for place in scene.places:
        found = await sources(place, [own])
        scene.witness.require(list(found) == [value], f"{place.name}: the source is {value}", list(found))
        await place.imports(f"comes from {value}", partial(_comes_from, clusters=[value]))
