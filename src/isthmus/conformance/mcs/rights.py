"""E-60 to E-65: the API itself: kinds, versions, and who may write what."""

from collections.abc import Mapping

import msgspec

from isthmus.api.core import CRDS, ENDPOINT_SLICES
from isthmus.api.scheme import Manifest, Resource
from isthmus.conformance.declared import check
from isthmus.conformance.manifests import HELLO, export, plain
from isthmus.conformance.mcs.traffic import has_endpoints
from isthmus.conformance.place import Place
from isthmus.conformance.scene import Scene
from isthmus.conformance.tenant import add_tenant, allow, as_tenant, may
from isthmus.conformance.witness import Bound
from isthmus.errors import Refused
from isthmus.kube.client import WriteOptions

GROUP = "multicluster.x-k8s.io"
OLD_EXPORTS: Resource[Manifest] = Resource(GROUP, "v1alpha1", "serviceexports", "ServiceExport", dict)
OLD_IMPORTS: Resource[Manifest] = Resource(GROUP, "v1alpha1", "serviceimports", "ServiceImport", dict)
IMPORTS: Resource[Manifest] = Resource(GROUP, "v1beta1", "serviceimports", "ServiceImport", dict)
NAMES = {
    "serviceexports": ("serviceexport", "ServiceExport", {"svcex", "svcexport"}),
    "serviceimports": ("serviceimport", "ServiceImport", {"svcim", "svcimport"}),
}
DRY = WriteOptions(dry_run=True)


@check("E-60", "Both kinds have upstream's names, scope, versions and status subresource", "Effect API", "MCS-47")
async def identity(scene: Scene) -> None:
    """v1beta1 is stored; v1alpha1, which CoreDNS reads, is served."""
    for place in scene.places:
        for plural, (singular, kind, short) in NAMES.items():
            spec = (await place.client.get(CRDS, f"{plural}.{GROUP}"))["spec"]
            names = spec["names"]
            same = (names["singular"], names["kind"], set(names.get("shortNames", ()))) == (singular, kind, short)
            scene.witness.require(same and spec["scope"] == "Namespaced", f"{place.name}: names of {plural}", names)
            versions = {each["name"]: each for each in spec["versions"]}
            stored = [name for name, each in versions.items() if each["storage"]]
            served = {name for name, each in versions.items() if each["served"]}
            status = all("status" in each.get("subresources", {}) for each in versions.values())
            fit = stored == ["v1beta1"] and served >= {"v1alpha1", "v1beta1"} and status
            scene.witness.require(
                fit, f"{place.name}: versions of {plural}", {"stored": stored, "served": sorted(served)}
            )


@check("E-61", "Imports that upstream's schema forbids are refused", "Effect API", "MCS-32 MCS-47")
async def schema(scene: Scene) -> None:
    """By dry-run writes: an unknown type, a third address, no type, a condition without a reason."""
    good: Manifest = {"type": "ClusterSetIP", "ports": [{"port": 80}]}
    await _dry(scene.c0, good)
    for what, spec in (
        ("an unknown type", {**good, "type": "Elsewhere"}),
        ("three ips", {**good, "ips": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}),
        ("three ipFamilies", {**good, "ipFamilies": ["IPv4", "IPv6", "IPv4"]}),
        ("no type", {"ports": []}),
        ("no ports", {"type": "Headless"}),
        ("a port without a number", {**good, "ports": [{"name": "x"}]}),
    ):
        try:
            await _dry(scene.c0, spec)
        except Refused as problem:
            scene.witness.note(f"{what}: {problem.message}")
            continue
        scene.witness.require(False, f"{what} is refused", spec)


async def _dry(place: Place, spec: Mapping[str, object]) -> None:
    manifest = {
        "apiVersion": IMPORTS.api_version,
        "kind": IMPORTS.kind,
        "metadata": {"name": "tried"},
        "spec": spec,
    }
    await place.client.create(IMPORTS, manifest, namespace=place.namespace, options=DRY)


@check("E-62", "v1alpha1 and v1beta1 show the same objects, and v1alpha1 may be written too", "Effect API", "MCS-47")
async def both_versions(scene: Scene) -> None:
    """An export made as v1alpha1 exports; its import reads alike in both."""
    await scene.c0.serve(replicas=0)
    await scene.c0.put(OLD_EXPORTS, {**export(), "apiVersion": OLD_EXPORTS.api_version})
    await scene.c0.says("Valid", "True")
    await scene.everywhere(lambda place: place.imports("imported", lambda one: bool(one.spec.ips)))
    for place in scene.places:
        old = await place.client.get(OLD_IMPORTS, HELLO, namespace=place.namespace)
        new = await place.client.get(IMPORTS, HELLO, namespace=place.namespace)
        scene.witness.require(old["spec"] == new["spec"], f"{place.name}: one spec in both versions", old["spec"])


@check(
    "E-63",
    "Ordinary users may not write ServiceImports, nor the status of ServiceExports",
    "Effect Rights",
    "MCS-26 MCS-107 MCS-109",
)
async def imports_are_not_theirs(scene: Scene) -> None:
    """Nor may users who are admins of their namespace; asked by SubjectAccessReview."""
    for place in scene.places:
        user = await add_tenant(place, "admin")
        await add_tenant(place, "edit")
        allowed = [
            f"{verb} {resource}"
            for resource in ("serviceimports", "serviceimports/status", "serviceexports/status")
            for verb in ("create", "update", "patch", "delete", "deletecollection")
            if await may(place, user, verb, GROUP, resource)
        ]
        scene.witness.require(not allowed, f"{place.name}: a namespace's admin may not write imports", allowed)


@check(
    "E-64",
    "A tenant who adds an EndpointSlice to an import, or changes one, leads no traffic astray",
    "Effect Rights Connectivity",
    "MCS-66 MCS-107",
    pods=True,
)
async def slices_of_tenants(scene: Scene) -> None:
    """Who may write slices is refused, or undone, or ignored."""
    place = scene.c0
    await scene.exported(plain(), replicas=1)
    family = (await scene.families())[0]
    own = await place.addresses(family)
    await has_endpoints(place, family, own)
    await place.run_pod("intruder", {"app": "intruder"})
    await allow(place, ENDPOINT_SLICES.group, ENDPOINT_SLICES.plural)
    theirs = await _address(place, family)
    seen = next(each for each in await place.imported_slices() if each.address_type == family)
    written = {
        "addressType": family,
        "endpoints": [{"addresses": [theirs], "conditions": {"ready": True}}],
        "ports": [msgspec.to_builtins(port) for port in seen.ports],
    }
    async with as_tenant(place) as client:
        added = {"metadata": {"name": "intruder", "labels": dict(seen.metadata.labels)}, **written}
        changed = {"endpoints": written["endpoints"]}
        name = seen.metadata.name
        for what, write in (
            ("adding a slice", client.create(ENDPOINT_SLICES, added, namespace=place.namespace)),
            ("changing one", client.merge_patch(ENDPOINT_SLICES, name, changed, namespace=place.namespace)),
        ):
            try:
                await write
            except Refused as problem:
                scene.witness.note(f"{what} is refused: {problem.message}")
            else:
                scene.witness.note(f"{what} is let through")
    await scene.pause(5)
    question = scene.to(family, count=10)
    await scene.witness.throughout(
        f"{place.name}: nobody is led to the intruder {theirs}",
        lambda: place.traffic(question),
        lambda said: f"pod ip {theirs}" not in said,
        Bound(8, 1.0),
    )


async def _address(place: Place, family: str) -> str:
    async def addresses() -> list[str]:
        return [
            each.ip
            for pod in await place.pods("intruder")
            for each in pod.status.pod_ips
            if (":" in each.ip) == (family == "IPv6")
        ]

    return (await place.witness.until("the intruder has an address", addresses, bool, Bound(60, setup=True)))[0]
