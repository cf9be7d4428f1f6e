"""A cluster that leaves its set takes back all that the membership brought; a changed id is leaving and joining."""

import asyncio

import pytest

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES, CLUSTER_SET
from isthmus.api.core import ENDPOINT_SLICES, LEASES, NAMESPACES, SERVICES
from isthmus.api.isthmus import EXPORTED_SERVICES, MEMBERS, MEMBERS_NAMESPACE
from isthmus.api.mcs import SOURCE_CLUSTER_LABEL
from isthmus.errors import NotFound
from isthmus.inventory.controllers.joining import FAREWELL
from isthmus.kube.client import ListOptions
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually
from tests.fleets import MakeFleet

EAST, WEST = "10.77.0.5", "10.78.0.5"
# A Member has left when two lists ten seconds apart lack it.
LEFT_WITHIN = 30.0


async def shops(fleet: Fleet) -> None:
    """East and west export a shop, and both have it."""
    for name, address in (("east", EAST), ("west", WEST)):
        await fleet[name].serve(fleet.namespace, "shop", [address])
        await fleet[name].export(fleet.namespace, "shop")
    for name in fleet.members:
        await fleet[name].wait_import(fleet.namespace, "shop")
        await fleet[name].wait_addresses(fleet.namespace, "shop", {EAST, WEST})


async def set_of(fleet: Fleet, name: str) -> str:
    try:
        item = await fleet[name].client.get(CLUSTER_PROPERTIES, CLUSTER_SET)
    except NotFound:
        return ""
    return item.spec.value if item.spec is not None else ""


async def wait_set(fleet: Fleet, name: str, wanted: str) -> None:
    async def check() -> bool:
        return await set_of(fleet, name) == wanted

    await eventually(check, within=LEFT_WITHIN, what=f"{name} says set {wanted!r}")


async def left_of(fleet: Fleet, id_: str) -> set[str]:
    """What of a cluster's id is still on the hub, or in anybody's slices."""
    found = set()
    labels = ListOptions(labels=f"isthmus.dev/cluster={id_}")
    found |= {
        each.metadata.name
        for each in (await fleet.hub.client.list(EXPORTED_SERVICES, namespace=fleet.set, options=labels)).items
    }
    leases = await fleet.hub.client.list(LEASES, namespace=MEMBERS_NAMESPACE)
    found |= {f"lease {each.metadata.name}" for each in leases.items if each.metadata.name == id_}
    for name in fleet.members:
        slices = await fleet[name].client.list(ENDPOINT_SLICES, namespace=fleet.namespace)
        sources = {each.metadata.labels.get(SOURCE_CLUSTER_LABEL) for each in slices.items}
        found |= {f"slices in {name}"} if id_ in sources else set()
    return found


@pytest.mark.requirement("ABOUT-20", "ABOUT-22", "ABOUT-25", "MCS-1")
async def test_leaving_takes_back_exports_and_imports_and_joining_again_brings_them(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west", "north"]) as fleet:
        await shops(fleet)
        await fleet.hub.client.delete(MEMBERS, "east", namespace=fleet.set)
        await wait_set(fleet, "east", "")
        await fleet["east"].wait_no_import(fleet.namespace, "shop")
        assert [
            each.metadata.name for each in (await fleet["east"].client.list(SERVICES, namespace=fleet.namespace)).items
        ] == ["shop"]
        await fleet["east"].wait_condition(fleet.namespace, "shop", "Ready", "False/Failed")
        for name in ("west", "north"):
            await fleet[name].wait_addresses(fleet.namespace, "shop", {WEST}, within=LEFT_WITHIN)

        async def nothing_left() -> bool:
            return not await left_of(fleet, "east")

        await eventually(nothing_left, within=LEFT_WITHIN)
        await fleet.admit("east")
        await wait_set(fleet, "east", fleet.set)
        for name in fleet.members:
            await fleet[name].wait_addresses(fleet.namespace, "shop", {EAST, WEST})
        await fleet["east"].wait_condition(fleet.namespace, "shop", "Ready", "True/Exported")


@pytest.mark.requirement(
    "MCS-3", "MCS-4", "MCS-5", "ABOUT-10", "ABOUT-12", "ABOUT-13", "ABOUT-15", "ABOUT-16", "ABOUT-18", "ABOUT-19"
)
async def test_a_changed_id_leaves_nothing_of_the_old_one(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        await shops(fleet)
        await fleet.hub.client.delete(MEMBERS, "east", namespace=fleet.set)
        await wait_set(fleet, "east", "")
        await fleet.agents["east"].kill()
        await fleet["east"].client.delete(CLUSTER_PROPERTIES, CLUSTER_ID)
        # The new id is as unique as an id can be.
        uid = (await fleet["east"].client.get(NAMESPACES, "kube-system")).metadata.uid
        await fleet.admit("east", id_=uid)
        fleet.agents["east"] = await fleet.start_agent("east", id_=uid)
        await fleet["west"].wait_addresses(fleet.namespace, "shop", {EAST, WEST}, within=LEFT_WITHIN)

        async def only_the_new() -> bool:
            sources = {
                each.metadata.labels[SOURCE_CLUSTER_LABEL]
                for name in fleet.members
                for each in await fleet[name].slices(fleet.namespace, "shop")
            }
            item = await fleet["west"].service_import(fleet.namespace, "shop")
            named = {each.cluster for each in item.status.clusters} if item.status is not None else set()
            return sources == named == {uid, "west"} and not await left_of(fleet, "east")

        # Killed before it could say that it had left, it is waited for by the hub.
        await eventually(only_the_new, within=FAREWELL + LEFT_WITHIN)


@pytest.mark.requirement("ABOUT-23", "ABOUT-27", "ABOUT-29", "ABOUT-30")
async def test_a_cluster_of_another_set_is_refused_until_it_has_left_that(
    make_fleet: MakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        await wait_set(fleet, "east", fleet.set)
        other = f"{fleet.set}-other"
        await fleet.agents["east"].kill()
        await fleet.admit("east", cluster_set=other)
        fleet.agents["east"] = await fleet.start_agent("east", cluster_set=other)

        async def refused() -> bool:
            problems = [vars(record).get("problem", "") for record in caplog.records]
            return any(f"in cluster set {fleet.set}" in each and "Remove its Member there" in each for each in problems)

        await eventually(refused)
        assert await set_of(fleet, "east") == fleet.set
        await fleet["east"].client.delete(CLUSTER_PROPERTIES, CLUSTER_SET)
        await wait_set(fleet, "east", other)


@pytest.mark.requirement("ABOUT-22")
async def test_an_agent_that_was_away_while_its_cluster_left_clears_up_when_it_is_back(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        await shops(fleet)
        await fleet.agents["east"].kill()
        await fleet.hub.client.delete(MEMBERS, "east", namespace=fleet.set)
        fleet.agents["east"] = await fleet.start_agent("east")
        await wait_set(fleet, "east", "")
        await fleet["east"].wait_no_import(fleet.namespace, "shop")
        async with asyncio.timeout(LEFT_WITHIN):
            await fleet["west"].wait_addresses(fleet.namespace, "shop", {WEST}, within=LEFT_WITHIN)
