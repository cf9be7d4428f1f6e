"""E-43 to E-47: imports that something works against, what is told of it, and Services that become others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from isthmus.api.core import CONFIG_MAPS, EVENTS, NAMESPACES, SERVICES, Event
from isthmus.api.scheme import Manifest, Resource
from isthmus.conformance.declared import Failed, Skipped, check
from isthmus.conformance.manifests import HELLO, TCP, plain, service
from isthmus.conformance.mcs.connectivity import only
from isthmus.conformance.mcs.service_import import announced
from isthmus.conformance.mcs.traffic import LONG
from isthmus.conformance.place import Imported, Place
from isthmus.conformance.probing import Traffic
from isthmus.conformance.scene import Scene
from isthmus.conformance.witness import PREPARED, SLICE, Bound
from isthmus.errors import NotFound

QUOTAS: Resource[Manifest] = Resource("", "v1", "resourcequotas", "ResourceQuota", dict)
QUOTA = "no-services"
HELD = "held"
# A namespace that nothing holds ends within the time that its controller takes.
ENDED = Bound(60, setup=True)


@check(
    "E-43",
    "A ServiceImport says whether its EndpointSlices are there, or not",
    "Effect EndpointSlice",
    "MCS-29",
)
async def slices_announced(scene: Scene) -> None:
    """In every cluster, whichever it is."""
    await scene.exported()
    await scene.everywhere(
        lambda place: place.imports("endpointSliceObjects Present or Absent", lambda one: bool(announced(one)))
    )


@check(
    "E-44",
    "A quota of no Services is told in the import's conditions, if it hinders, and overcome when lifted",
    "Effect ClusterIP",
    "MCS-28 MCS-31",
)
async def quota(scene: Scene) -> None:
    """Upstream: errors and state are reported in `status.conditions`, type Ready; here, where the quota hinders."""
    await scene.c0.serve(replicas=0)
    for place in scene.places:
        await _forbid_services(place)
    await scene.c0.export()
    for place in scene.places:
        await place.imports("has ips, or is not Ready and says why", _whole_or_told)
    for place in scene.places:
        await place.client.delete(QUOTAS, QUOTA, namespace=place.namespace)
    await scene.everywhere(lambda place: place.imports("has ips", lambda one: bool(one.spec.ips), SLICE))


async def _forbid_services(place: Place) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": QUOTAS.kind,
        "metadata": {"name": QUOTA},
        "spec": {"hard": {"services": "0"}},
    }
    try:
        await place.put(QUOTAS, manifest)
    except NotFound as problem:
        raise Skipped(f"{place.name} has no ResourceQuotas: {problem.message}") from problem

    async def counted() -> bool:
        return "hard" in (await place.client.get(QUOTAS, QUOTA, namespace=place.namespace)).get("status", {})

    await place.witness.until(f"{place.name}: the quota is in force", counted, bool, PREPARED)


def _whole_or_told(seen: Imported) -> bool:
    told = [each for each in seen.status.conditions if each.type == "Ready" and each.status != "True"]
    return bool(seen.spec.ips) or any(each.message for each in told)


@check(
    "E-45",
    "A namespace that hangs in termination has no import, hinders no other cluster, and has the import when made again",
    "Effect",
    "MCS-23 MCS-24 MCS-25",
    clusters=2,
)
async def hanging_namespace(scene: Scene) -> None:
    """An object with a finalizer holds it."""
    await scene.exported()
    await scene.everywhere(lambda place: place.imports("imported", lambda one: bool(one.spec.ips)))
    async with _held(scene.c1):
        await scene.c1.imports_nothing()
        await scene.c0.change({"ports": [{"name": "web", "port": 80, "protocol": "TCP"}]})
        await scene.c0.imports("follows the Service", lambda one: one.ports == {("web", "TCP", 80, "")})
        await scene.c1.keeps_import(False)
    await scene.witness.until(f"{scene.c1.name}: the namespace ends", partial(_is_gone, scene.c1), bool, ENDED)
    await scene.c1.begin()
    await scene.c1.imports("imported again", lambda one: one.ports == {("web", "TCP", 80, "")})


@asynccontextmanager
async def _held(place: Place) -> AsyncIterator[None]:
    """Delete the namespace, which a ConfigMap keeps from ending for as long as the block lasts."""
    metadata = {"name": HELD, "finalizers": ["conformance.test/held"]}
    await place.put(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    try:
        await place.end()
        yield
    finally:
        free = {"metadata": {"finalizers": None}}
        await place.client.merge_patch(CONFIG_MAPS, HELD, free, namespace=place.namespace)


async def _is_gone(place: Place) -> bool:
    try:
        await place.client.get(NAMESPACES, place.namespace)
    except NotFound:
        return True
    return False


@check(
    "E-46",
    "A Service that becomes headless, and none again, goes on answering by its name",
    "Effect DNS Connectivity",
    "MCS-16 MCS-18 MCS-31 MCS-34 MCS-42",
    pods=True,
)
async def type_changes(scene: Scene) -> None:
    """Each time deleted and made again, since Kubernetes lets nobody change it."""
    await scene.exported(plain(), replicas=1)
    family = (await scene.families())[0]
    own = await scene.c0.addresses(family)
    question = scene.to(family, count=5)
    await _all_reach(scene, question, own)
    for what, kind, made in (
        ("headless", "Headless", plain(clusterIP="None")),
        ("not headless", "ClusterSetIP", plain()),
    ):
        await scene.c0.client.delete(SERVICES, HELLO, namespace=scene.c0.namespace)
        await scene.c0.put(SERVICES, made)
        for place in scene.places:
            await place.imports(f"{what}: type {kind}", partial(_is_of, kind=kind))
        await _all_reach(scene, question, own)


def _is_of(seen: Imported, kind: str) -> bool:
    return seen.spec.type == kind and bool(seen.spec.ips) == (kind == "ClusterSetIP")


async def _all_reach(scene: Scene, question: Traffic, own: list[str]) -> None:
    """All clusters reach these backends alone."""
    await scene.everywhere(lambda place: place.answers(f"the name leads to {own}", question, partial(only, own), LONG))


@check("E-47", "Events that tell of a conflict are about the ServiceExport", "Effect", "MCS-21", clusters=2)
async def events_of_conflicts(scene: Scene) -> None:
    """Upstream: conflicts may be reported as Events on the ServiceExport too."""
    await scene.exported()
    await scene.joined(service(ports=[{**TCP, "port": 43}]))
    await scene.conflict()
    for place in scene.places:
        found = await _conflict_events(place)
        about = sorted({f"{each.involved_object.kind} {each.involved_object.name}" for each in found})
        scene.witness.require(about == [f"ServiceExport {HELLO}"], f"{place.name}: Events about the export", about)


async def _conflict_events(place: Place) -> list[Event]:
    async def told() -> list[Event]:
        listed = await place.client.list(EVENTS, namespace=place.namespace)
        return [each for each in listed.items if "conflict" in f"{each.reason} {each.message}".lower()]

    try:
        return await place.witness.until(f"{place.name}: Events tell of the conflict", told, bool)
    except Failed as problem:
        raise Skipped(f"{place.name} tells conflicts by no Events, which upstream leaves open") from problem
