"""A-10 to A-19: the two well-known properties, and who may change them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES, CLUSTER_SET
from isthmus.api.access import CLUSTER_ROLE_BINDINGS
from isthmus.api.mcs import SERVICE_IMPORTS
from isthmus.api.names import is_dns_label, is_dns_subdomain, is_label_value
from isthmus.conformance.about.kind import GROUP, PROPERTIES
from isthmus.conformance.declared import Skipped, check
from isthmus.conformance.place import Place
from isthmus.conformance.scene import Scene
from isthmus.conformance.tenant import add_tenant, as_tenant, holds, may
from isthmus.errors import APIError, NotFound
from isthmus.kube.client import DeleteOptions, WriteOptions

WELL_KNOWN = (CLUSTER_ID, CLUSTER_SET)
RESERVED = (".k8s.io", ".kubernetes.io")
WRITING = ("create", "update", "patch", "delete", "deletecollection")
SHORTER_THAN = 128


async def value(place: Place, name: str) -> str:
    """A property's value; empty where there is none."""
    try:
        found = await place.client.get(CLUSTER_PROPERTIES, name)
    except NotFound:
        return ""
    return found.spec.value if found.spec else ""


async def values(scene: Scene, name: str) -> dict[str, str]:
    """A property's value in each cluster, once all have one."""

    async def seen() -> dict[str, str]:
        return {place.name: await value(place, name) for place in scene.places}

    return await scene.witness.until(f"{name} has a value in each cluster", seen, lambda found: all(found.values()))


@check(
    "A-10",
    "Every member has both well-known properties",
    "Required",
    "ABOUT-11 ABOUT-21",
)
async def present(scene: Scene) -> None:
    """With values."""
    for name in WELL_KNOWN:
        await values(scene, name)


@check("A-11", "Cluster ids are DNS subdomains", "Required", "ABOUT-12")
async def subdomain(scene: Scene) -> None:
    """RFC 1123, lower case."""
    seen = await values(scene, CLUSTER_ID)
    scene.witness.require(all(map(is_dns_subdomain, seen.values())), "DNS subdomains", seen)


@check("A-12", "Cluster ids are shorter than 128 characters", "Optional", "ABOUT-13")
async def short(scene: Scene) -> None:
    """So that DNS names made of them fit."""
    seen = await values(scene, CLUSTER_ID)
    scene.witness.require(all(len(each) < SHORTER_THAN for each in seen.values()), "shorter than 128", seen)


@check("A-13", "Cluster ids are unique in the set", "Required", "ABOUT-9", clusters=2)
async def unique(scene: Scene) -> None:
    """No two of the clusters given share one."""
    seen = await values(scene, CLUSTER_ID)
    scene.witness.require(len(set(seen.values())) == len(seen), "all different", seen)


@check("A-14", "All members tell the same cluster set", "Required", "ABOUT-23", clusters=2)
async def one_set(scene: Scene) -> None:
    """They are given as one set's."""
    seen = await values(scene, CLUSTER_SET)
    scene.witness.require(len(set(seen.values())) == 1, "one set", seen)


@check("A-15", "The well-known properties stay as they are", "Required", "ABOUT-11 ABOUT-21")
async def steady(scene: Scene) -> None:
    """The same objects with the same values, for as long as one looks."""

    async def now() -> dict[str, str]:
        found = {}
        for place in scene.places:
            for name in WELL_KNOWN:
                one = await place.client.get(CLUSTER_PROPERTIES, name)
                found[f"{place.name} {name}"] = f"{one.spec.value if one.spec else ''} {one.metadata.uid}"
        return found

    before = await now()
    await scene.witness.throughout("unchanged", now, lambda seen: seen == before)


@check("A-16", "Ordinary users may not write properties", "Required Rights", "ABOUT-11 ABOUT-21 ABOUT-38")
async def not_theirs(scene: Scene) -> None:
    """Neither by what the cluster says, nor when they try: an admin of a namespace is an ordinary user here."""
    for place in scene.places:
        user = await add_tenant(place, "admin")
        allowed = [verb for verb in WRITING if await may(place, user, verb, GROUP, "clusterproperties")]
        scene.witness.require(not allowed, f"{place.name}: a namespace's admin may not write", allowed)
        async with as_tenant(place) as client:
            for name in WELL_KNOWN:
                patch = {"spec": {"value": "taken"}}
                write = client.merge_patch(PROPERTIES, name, patch, options=WriteOptions(dry_run=True))
                await _is_refused(scene, f"{place.name}: changing {name} as {user}", write)


async def _is_refused(scene: Scene, what: str, write: object) -> None:
    refused = await _refusal(write)
    scene.witness.require(bool(refused), f"{what} is refused", refused)


async def _refusal(write: object) -> str:
    try:
        await write  # type: ignore[misc]  # any awaitable
    except APIError as problem:
        return problem.message
    return ""


@check(
    "A-17",
    "An admission policy keeps even admins from changing the well-known properties of a member by mistake",
    "Effect Rights",
    "ABOUT-33",
)
async def guarded(scene: Scene) -> None:
    """By dry runs: a change of either, and the deletion of the id."""
    for place in scene.places:
        dry = WriteOptions(dry_run=True)
        found = {}
        for name in WELL_KNOWN:
            patch = {"spec": {"value": "other"}}
            found[f"changing {name}"] = await _refusal(place.client.merge_patch(PROPERTIES, name, patch, options=dry))
        deletion = place.client.delete(PROPERTIES, CLUSTER_ID, options=DeleteOptions(dry_run=True))
        found[f"deleting {CLUSTER_ID}"] = await _refusal(deletion)
        if not any(found.values()):
            raise Skipped(f"{place.name} has no admission policy for these properties")
        scene.witness.require(all(found.values()), f"{place.name}: refused", found)


@check("A-18", "An implementation's own properties have no reserved suffix", "Required", "ABOUT-34 ABOUT-35")
async def own_names(scene: Scene) -> None:
    """Of all properties that are there."""
    for place in scene.places:
        listed = await place.client.list(CLUSTER_PROPERTIES)
        taken = [
            one.metadata.name
            for one in listed.items
            if one.metadata.name.endswith(RESERVED) and one.metadata.name not in WELL_KNOWN
        ]
        scene.witness.require(not taken, f"{place.name}: no reserved names", taken)


@check(
    "A-19",
    "Cluster-wide viewers may read properties; editors and admins may not write them",
    "Effect Rights",
    "ABOUT-38 ABOUT-39",
)
async def roles(scene: Scene) -> None:
    """By the cluster's default roles, bound to a user that does not exist."""
    for place in scene.places:
        user = f"{place.namespace}@example.com"
        async with _bound(place, user, "view"):
            missing = [v for v in ("get", "list", "watch") if not await may(place, user, v, GROUP, "clusterproperties")]
        scene.witness.require(not missing, f"{place.name}: view may read", missing)
        async with _bound(place, user, "edit"), _bound(place, user, "admin"):
            allowed = [verb for verb in WRITING if await may(place, user, verb, GROUP, "clusterproperties")]
        scene.witness.require(not allowed, f"{place.name}: edit and admin may not write", allowed)


@asynccontextmanager
async def _bound(place: Place, user: str, role: str) -> AsyncIterator[None]:
    name = f"{place.namespace}-{role}"
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    await place.client.create(CLUSTER_ROLE_BINDINGS, binding)
    try:
        await holds(place, user, "list" if role == "view" else "create", "services")
        yield
    finally:
        await place.client.delete(CLUSTER_ROLE_BINDINGS, name)


@check("A-20", "Ids of clusters that share services fit into labels and DNS names", "Effect", "ABOUT-16 ABOUT-28")
async def for_services(scene: Scene) -> None:
    """One DNS label, or two; at most 63 characters; the set's name is a label value."""
    for place in scene.places:
        if not await place.client.serves(SERVICE_IMPORTS):
            raise Skipped(f"{place.name} does not serve ServiceImports")
        cluster, name = await value(place, CLUSTER_ID), await value(place, CLUSTER_SET)
        parts = cluster.split(".")
        fit = len(cluster) <= 63 and len(parts) <= 2 and all(map(is_dns_label, parts))
        scene.witness.require(fit, f"{place.name}: one or two DNS labels", cluster)
        scene.witness.require(bool(name) and is_label_value(name), f"{place.name}: a label value", name)
