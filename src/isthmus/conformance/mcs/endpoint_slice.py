"""C-16: the EndpointSlices of an import (upstream: endpoint_slice)."""

from functools import partial

from isthmus.api.core import CORE_MANAGED_BY, ENDPOINT_SLICES, MANAGED_BY_LABEL, EndpointSlice
from isthmus.api.mcs import SERVICE_NAME_LABEL
from isthmus.conformance.declared import check
from isthmus.conformance.manifests import HELLO
from isthmus.conformance.mcs.service_import import announces_slices
from isthmus.conformance.place import Place
from isthmus.conformance.scene import Scene, has_families
from isthmus.conformance.witness import SLICE
from isthmus.errors import NotFound


async def slice_of(place: Place, family: str, endpoints: int = 0) -> EndpointSlice:
    """The imported slice of a family, once it has endpoints: exactly so many, ready and with names, if it is said."""

    def fits(each: EndpointSlice) -> bool:
        if each.address_type != family or not each.endpoints:
            return False
        named = [one for one in each.endpoints if one.hostname and one.conditions.ready is not False]
        return not endpoints or len(named) == len(each.endpoints) == endpoints

    found = await place.witness.until(
        f"{place.name}: an imported {family} slice with {endpoints or 'its'} ready endpoints",
        place.imported_slices,
        lambda seen: any(fits(each) for each in seen),
        SLICE,
    )
    return [each for each in found if fits(each)][-1]


@check(
    "C-16",
    "Exporting a service should create an MCS EndpointSlice in the service's namespace in each cluster with the "
    "required MCS labels",
    "Optional EndpointSlice",
    "MCS-62 MCS-63 MCS-64 MCS-65 MCS-66 MCS-67 MCS-68 MCS-69",
    pods=True,
)
async def labelled_slices(scene: Scene) -> None:
    """Of each family of the import; they go with the export."""
    await scene.exported(replicas=1)
    made: list[tuple[Place, str]] = []

    async def look(place: Place) -> None:
        await announces_slices(place)
        seen = await place.imports("has ipFamilies", has_families)
        for family in seen.spec.ip_families:
            found = await slice_of(place, family)
            labels = found.metadata.labels
            manager = labels.get(MANAGED_BY_LABEL, "")
            scene.witness.require(labels.get(SERVICE_NAME_LABEL) == HELLO, f"{place.name}: label of the import", labels)
            scene.witness.require(
                manager not in {"", CORE_MANAGED_BY}, f"{place.name}: managed by the MCS controller", labels
            )
            made.append((place, found.metadata.name))

    await scene.everywhere(look)
    await scene.c0.unexport()
    for place, name in made:
        what = f"{place.name}: slice {name} goes with the export"
        await scene.witness.until(what, partial(_is_there, place, name), lambda there: not there)


async def _is_there(place: Place, name: str) -> bool:
    try:
        await place.client.get(ENDPOINT_SLICES, name, namespace=place.namespace)
    except NotFound:
        return False
    return True
