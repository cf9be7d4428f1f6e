"""The floor that Isthmus is measured against: the same objects on the same servers, written by hand.

The copies lie where no agent takes notice of them: in a namespace of their own and, where an agent reads all
namespaces, in a group of their own, with the same definition.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from bench.real import NAMESPACE, SET, RealSet, make_namespace
from isthmus.api.core import CRDS, ENDPOINT_SLICES, SERVICES
from isthmus.api.crds import MCS_CRDS
from isthmus.api.isthmus import EXPORTED_SERVICES
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS, SERVICE_NAME_LABEL
from isthmus.api.scheme import Manifest, Resource
from isthmus.kube.client import Client, ListOptions
from isthmus.testing.waiting import eventually

T = TypeVar("T")

FLOOR: Final = "floor.example"
FLOOR_NAMESPACE: Final = "floor"
# What agents go by, in groups, labels and annotations.
_TELLING = re.compile(rb"multicluster\.x-k8s\.io|multicluster\.kubernetes\.io|isthmus\.dev")
_OF_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


def untyped(resource: Resource[T], group: str = "") -> Resource[Manifest]:
    """The same kind, its objects as they are written; in another group if one is named."""
    return Resource(
        group or resource.group, resource.version, resource.plural, resource.kind, dict, namespaced=resource.namespaced
    )


SERVICE = untyped(SERVICES)
SLICE = untyped(ENDPOINT_SLICES)
EXPORTED = untyped(EXPORTED_SERVICES)
EXPORT, IMPORT = untyped(SERVICE_EXPORTS), untyped(SERVICE_IMPORTS)
FLOOR_EXPORT, FLOOR_IMPORT = untyped(SERVICE_EXPORTS, FLOOR), untyped(SERVICE_IMPORTS, FLOOR)


async def prepare(fleet: RealSet) -> None:
    """Make the floor's definitions and namespaces."""
    for client in fleet.all:
        await make_namespace(client, FLOOR_NAMESPACE)
    for client in (fleet.east, fleet.west):
        await define(client)


async def define(client: Client) -> None:
    """Make the floor's definitions in one cluster, and wait until they are served."""
    for definition in MCS_CRDS:
        await client.create(CRDS, _disguised(definition))
    for kind in (FLOOR_EXPORT, FLOOR_IMPORT):

        async def served(kind: Resource[Manifest] = kind) -> bool:
            return await client.serves(kind)

        await eventually(served, within=30, what=f"{kind.plural} served")


def copied(item: Manifest) -> Manifest:
    """The object as somebody else would write it anew on the floor."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in _OF_THE_SERVER}
    fresh = item | {"metadata": metadata | {"namespace": FLOOR_NAMESPACE}}
    if "clusterIP" in item.get("spec", {}):
        fresh["spec"] = {key: value for key, value in item["spec"].items() if not key.startswith("clusterIP")}
    return fresh


def _disguised(item: Manifest) -> Manifest:
    """The object without anything that an agent goes by."""
    disguised: Manifest = msgspec.json.decode(_TELLING.sub(FLOOR.encode(), msgspec.json.encode(item)))
    return disguised


@dataclass(frozen=True)
class Imported:
    """What one cluster has of one import."""

    service_import: Manifest
    service: Manifest
    slices: tuple[Manifest, ...]

    def owned_by(self, owner: Manifest) -> Iterator[tuple[Resource[Manifest], Manifest]]:
        """The Service and the slices as children of an import that is there already."""
        for kind, item in ((SERVICE, self.service), *((SLICE, each) for each in self.slices)):
            item["metadata"]["ownerReferences"][0]["uid"] = owner["metadata"]["uid"]
            yield kind, item


@dataclass(frozen=True)
class Made:
    """Copies of all that the set made of one export."""

    export: Manifest
    exported: Manifest
    imported: dict[str, Imported]


async def copies(fleet: RealSet) -> dict[str, Made]:
    """Copies of what the set made of each export, by name; all imports are ready."""
    exports = {_name(each): copied(_disguised(each)) for each in await _all(fleet.east, EXPORT)}
    published = (await fleet.hub.list(EXPORTED, namespace=SET)).items
    exported = {each["spec"]["name"]: copied(each) for each in published}
    imported = {"east": await _imported(fleet.east), "west": await _imported(fleet.west)}
    return {
        name: Made(export, exported[name], {cluster: found[name] for cluster, found in imported.items()})
        for name, export in exports.items()
    }


async def _imported(client: Client) -> dict[str, Imported]:
    services = {_import_of(each): each for each in await _all(client, SERVICE, SERVICE_NAME_LABEL)}
    slices: dict[str, list[Manifest]] = {}
    for each in await _all(client, SLICE, SERVICE_NAME_LABEL):
        slices.setdefault(_import_of(each), []).append(copied(_disguised(each)))
    return {
        (name := _name(each)): Imported(
            copied(_disguised(each)), copied(_disguised(services[name])), tuple(slices[name])
        )
        for each in await _all(client, IMPORT)
    }


async def _all(client: Client, kind: Resource[Manifest], labels: str = "") -> tuple[Manifest, ...]:
    return (await client.list(kind, namespace=NAMESPACE, options=ListOptions(labels=labels))).items


def _name(item: Manifest) -> str:
    return str(item["metadata"]["name"])


def _import_of(item: Manifest) -> str:
    return str(item["metadata"]["labels"][SERVICE_NAME_LABEL])
