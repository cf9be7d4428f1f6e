"""Who counts for a merge, by which rules, and what a hub's loss of memory does to it."""

import pytest

from isthmus.api.core import LEASES
from isthmus.api.isthmus import EXPORTED_SERVICES, MEMBERS, MEMBERS_NAMESPACE, RULES_VERSION
from isthmus.hub.bootstrap import NewMember, bootstrap_hub
from isthmus.testing import objects
from isthmus.testing.cluster import EmbeddedHost
from isthmus.testing.fleet import Fleet, Pace
from isthmus.testing.waiting import eventually, throughout
from tests.fleets import MakeFleet

EAST, WEST = "10.77.0.5", "10.78.0.5"
QUICK = Pace(heartbeat=0.5, silent_after=30.0)


async def speak(fleet: Fleet, member: str, version: int) -> None:
    """Say, in the name of a member without an agent, by which rules it merges."""
    status = {"status": {"rulesVersion": version}}
    await fleet.hub.client.merge_patch(MEMBERS, member, status, namespace=fleet.set, subresource="status")


async def test_all_merge_by_the_rules_of_the_last_of_them(make_fleet: MakeFleet) -> None:
    """Two names of one policy conflict by the first rules only."""
    async with make_fleet(["east", "west"]) as fleet:
        for name, address, policy in (("east", EAST, "PreferClose"), ("west", WEST, "PreferSameZone")):
            service = objects.service(fleet.namespace, "shop", trafficDistribution=policy)
            await fleet[name].serve(fleet.namespace, "shop", [address], service=service)
            await fleet[name].export(fleet.namespace, "shop")
        for name in fleet.members:
            await fleet[name].wait_addresses(fleet.namespace, "shop", {EAST, WEST})
            await fleet[name].wait_condition(fleet.namespace, "shop", "Conflict", "False/NoConflicts")
        await bootstrap_hub(fleet.hub.client, fleet.set, [NewMember("old")])
        for version, wanted in ((1, "True/TrafficDistributionConflict"), (RULES_VERSION, "False/NoConflicts")):
            await speak(fleet, "old", version)
            for name in fleet.members:
                await fleet[name].wait_condition(fleet.namespace, "shop", "Conflict", wanted)


@pytest.mark.requirement("MCS-33")
async def test_a_hub_that_was_restored_and_has_gone_on_since_is_brought_up_to_date(embedded_fleet: MakeFleet) -> None:
    """Its version alone does not tell: it is higher than any that an agent has seen."""
    async with embedded_fleet(["east", "west"], QUICK) as fleet:
        hub, namespace = fleet.hub.host, fleet.namespace
        assert isinstance(hub, EmbeddedHost)
        await fleet["east"].serve(namespace, "shop", [EAST])
        await fleet["east"].export(namespace, "shop")
        await fleet["west"].wait_addresses(namespace, "shop", {EAST})
        await hub.stop()
        hub.back_up()
        await hub.start()
        await fleet["east"].serve(namespace, "cart", ["10.77.0.9"])
        await fleet["east"].export(namespace, "cart")
        await fleet["east"].unexport(namespace, "shop")
        await fleet["west"].wait_addresses(namespace, "cart", {"10.77.0.9"})
        await fleet["west"].wait_no_import(namespace, "shop")
        before = await fleet["west"].wait_import(namespace, "cart")
        await hub.stop()
        await hub.restore_and_go_on(writes=500)
        await hub.start()

        async def stays() -> bool:
            return (await fleet["west"].service_import(namespace, "cart")).metadata.uid == before.metadata.uid

        await throughout(stays, seconds=2)

        async def told_again() -> bool:
            return {item.metadata.name for item in await fleet.exported()} == {f"east.{namespace}.cart"}

        await eventually(told_again, within=25)
        assert await stays()
        await fleet["east"].back(namespace, "cart", ["10.77.0.10"])
        await fleet["west"].wait_addresses(namespace, "cart", {"10.77.0.10"})
        await fleet["west"].wait_no_import(namespace, "shop")


@pytest.mark.requirement("MCS-33")
async def test_a_hub_that_is_emptied_of_exports_and_leases_is_filled_again_and_nobody_notices(
    make_fleet: MakeFleet,
) -> None:
    async with make_fleet(["east", "west"], QUICK) as fleet:
        namespace = fleet.namespace
        for name, address in (("east", EAST), ("west", WEST)):
            await fleet[name].serve(namespace, "shop", [address])
            await fleet[name].export(namespace, "shop")
        for name in fleet.members:
            await fleet[name].wait_addresses(namespace, "shop", {EAST, WEST})
        await eventually(lambda: both_said(fleet), what="both have said that they export")
        before = [await identity_of(fleet, name) for name in fleet.members]
        await fleet.hub.client.delete_collection(EXPORTED_SERVICES, namespace=fleet.set)
        await fleet.hub.client.delete_collection(LEASES, namespace=MEMBERS_NAMESPACE)

        async def unmoved() -> bool:
            return [await identity_of(fleet, name) for name in fleet.members] == before

        await throughout(unmoved, seconds=2)

        async def told_again() -> bool:
            return {item.metadata.name for item in await fleet.exported()} == {
                f"{name}.{namespace}.shop" for name in fleet.members
            }

        await eventually(told_again)
        await fleet["east"].unexport(namespace, "shop")
        for name in fleet.members:
            await fleet[name].wait_addresses(namespace, "shop", {WEST})


async def both_said(fleet: Fleet) -> bool:
    members = [await fleet.member(name) for name in fleet.members]
    return all(each.status is not None and fleet.namespace in each.status.exports.namespaces for each in members)


async def identity_of(fleet: Fleet, name: str) -> tuple[str, set[str]]:
    """Which import it is, and where it leads."""
    item = await fleet[name].service_import(fleet.namespace, "shop")
    return item.metadata.uid, await fleet[name].addresses(fleet.namespace, "shop")
