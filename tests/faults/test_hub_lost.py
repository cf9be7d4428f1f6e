"""A hub that forgot: restored from an old snapshot, emptied, or compacted. What is exported is never taken away."""

import asyncio

import pytest

from isthmus.api.core import LEASES
from isthmus.api.isthmus import EXPORTED_ENDPOINTS, EXPORTED_SERVICES, MEMBERS_NAMESPACE
from isthmus.testing.waiting import eventually
from tests.faults.disturbances import HUB, road
from tests.faults.fleet import SET, RealFleet
from tests.faults.plane import SERVER
from tests.faults.relay import Relay

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Seconds.
MINUTE = 60.0


async def test_a_hub_restored_from_an_old_snapshot_is_brought_up_to_date_within_a_minute(fleet: RealFleet) -> None:
    await _offer_everywhere(fleet)
    with fleet.broken(HUB):
        await asyncio.to_thread(fleet.hub.back_up)
    await fleet.settled()
    for member in fleet.members.values():
        await member.load.withdraw()
    await _offer_everywhere(fleet)
    await _signs_of_life(fleet)
    await fleet.settled()
    with fleet.broken(HUB):
        await asyncio.to_thread(fleet.hub.restore)
        await fleet.settled(within=MINUTE)


async def test_a_hub_that_lost_all_exports_and_signs_of_life_has_them_again_and_nothing_is_deleted(
    fleet: RealFleet,
) -> None:
    with fleet.broken(HUB):
        await fleet.hub_client.delete_collection(EXPORTED_SERVICES, namespace=SET)
        await fleet.hub_client.delete_collection(EXPORTED_ENDPOINTS, namespace=SET)
        await fleet.hub_client.delete_collection(LEASES, namespace=MEMBERS_NAMESPACE)
        await fleet.settled(within=MINUTE)


async def test_a_watch_whose_place_was_compacted_away_begins_again(fleet: RealFleet) -> None:
    with fleet.broken(road("east")):
        fleet.hub.cut_road("east", Relay.refuse)
        await _offer_everywhere(fleet)
        with fleet.broken(HUB):
            # The API server's own memory of former versions goes with its process.
            fleet.hub.kill(SERVER)
            fleet.hub.compact()
            await asyncio.to_thread(fleet.hub.restart, SERVER)
        fleet.hub.cut_road("east", Relay.heal)
    await fleet.settled()


async def _signs_of_life(fleet: RealFleet) -> None:
    """Return when each member has given another one: a snapshot is older than that."""

    async def versions() -> dict[str, str]:
        leases = await fleet.hub_client.list(LEASES, namespace=MEMBERS_NAMESPACE)
        return {lease.metadata.name: lease.metadata.resource_version for lease in leases.items}

    before = await versions()

    async def all_new() -> bool:
        now = await versions()
        return all(now[name] != before[name] for name in fleet.members)

    await eventually(all_new, what="a sign of life of everyone")


async def _offer_everywhere(fleet: RealFleet) -> None:
    for member in fleet.members.values():
        await member.load.offer()
