"""A-1 to A-6: the kind ClusterProperty itself, as the cluster serves it."""

from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.core import CRDS
from isthmus.api.scheme import Manifest, Resource
from isthmus.conformance.declared import check
from isthmus.conformance.place import Place
from isthmus.conformance.scene import Scene
from isthmus.errors import Refused
from isthmus.kube.client import WriteOptions

GROUP = CLUSTER_PROPERTIES.group
PROPERTIES: Resource[Manifest] = Resource(
    GROUP, "v1beta1", "clusterproperties", "ClusterProperty", dict, namespaced=False
)
OLD_PROPERTIES: Resource[Manifest] = Resource(
    GROUP, "v1alpha1", "clusterproperties", "ClusterProperty", dict, namespaced=False
)
DRY = WriteOptions(dry_run=True)
LONGEST = 128_000


async def crd(place: Place) -> Manifest:
    """The definition, as the cluster has it."""
    return await place.client.get(CRDS, f"clusterproperties.{GROUP}")


async def tried(place: Place, resource: Resource[Manifest] = PROPERTIES, **fields: object) -> Manifest:
    """A property as the server would store it (dry run). Raises Refused where it would not."""
    name = f"conformance-{place.namespace}.example.com"
    manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, **fields}
    return await place.client.create(resource, manifest, options=DRY)


@check("A-1", "The kind has upstream's names, scope and versions", "Required API", "ABOUT-1")
async def identity(scene: Scene) -> None:
    """v1beta1 is stored, both are served, nothing is converted by a webhook."""
    for place in scene.places:
        spec = (await crd(place))["spec"]
        names = spec["names"]
        same = (names["kind"], names["plural"], names["singular"], spec["scope"]) == (
            "ClusterProperty",
            "clusterproperties",
            "clusterproperty",
            "Cluster",
        )
        scene.witness.require(same, f"{place.name}: names and scope", [names, spec["scope"]])
        versions = {each["name"]: each for each in spec["versions"]}
        stored = [name for name, each in versions.items() if each["storage"]]
        served = sorted(name for name, each in versions.items() if each["served"])
        fit = stored == ["v1beta1"] and {"v1alpha1", "v1beta1"} <= set(served)
        scene.witness.require(fit, f"{place.name}: stored {stored}, served", served)
        webhook = spec.get("conversion", {}).get("strategy", "None")
        scene.witness.require(webhook == "None", f"{place.name}: no conversion", webhook)
        status = all("status" in each.get("subresources", {}) for each in versions.values())
        scene.witness.require(status, f"{place.name}: status is a subresource", served)


@check("A-2", "The definition carries the approval that the group k8s.io takes", "Required API", "ABOUT-2")
async def approved(scene: Scene) -> None:
    """Without it an API server refuses the CRD."""
    for place in scene.places:
        annotations = (await crd(place))["metadata"].get("annotations", {})
        found = annotations.get("api-approved.kubernetes.io", "")
        scene.witness.require(found.startswith("https://"), f"{place.name}: api-approved.kubernetes.io", found)


@check("A-3", "An empty value is refused, and so is a spec without one", "Required API", "ABOUT-3 ABOUT-4")
async def empty_value(scene: Scene) -> None:
    """By dry-run writes, in both versions."""
    for resource in (PROPERTIES, OLD_PROPERTIES):
        for spec in ({"value": ""}, {}, {"value": 7}):
            try:
                await tried(scene.c0, resource, spec=spec)
            except Refused as problem:
                scene.witness.note(f"{resource.version} {spec}: {problem.message}")
                continue
            scene.witness.require(False, f"{resource.version}: refused", spec)


@check("A-4", "Values of 128,000 code points are accepted", "Required API", "ABOUT-4")
async def long_value(scene: Scene) -> None:
    """Code points count, not bytes."""
    for point in ("a", "ä", "\N{GLOBE WITH MERIDIANS}"):
        seen = await tried(scene.c0, spec={"value": point * LONGEST})
        length = len(seen["spec"]["value"])
        scene.witness.require(length == LONGEST, f"{LONGEST} times U+{ord(point):04X} are stored", length)


@check("A-5", "Value is the only field: whatever else is written is dropped", "Required API", "ABOUT-3 ABOUT-6")
async def pruned(scene: Scene) -> None:
    """By dry-run writes."""
    seen = await tried(scene.c0, spec={"value": "x", "more": "y"}, status={"phase": "Well"}, extra={"a": "b"})
    fit = seen["spec"] == {"value": "x"} and not seen.get("status") and "extra" not in seen
    scene.witness.require(fit, "only the value is left", {key: seen[key] for key in seen if key != "metadata"})


@check("A-6", "Both versions show the same properties", "Required API", "ABOUT-1 ABOUT-7")
async def both_versions(scene: Scene) -> None:
    """Names and values."""
    for place in scene.places:
        old, new = await _values(place, OLD_PROPERTIES), await _values(place, PROPERTIES)
        scene.witness.require(old == new, f"{place.name}: the same in both versions", new)


async def _values(place: Place, kind: Resource[Manifest]) -> dict[str, object]:
    return {one["metadata"]["name"]: one.get("spec") for one in (await place.client.list(kind)).items}
