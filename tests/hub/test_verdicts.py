"""The hub's verdicts, and what they do to endpoints."""

import asyncio

import pytest

from isthmus.api.core import LEASES
from isthmus.api.isthmus import HEALTHY, MEMBERS_NAMESPACE, SILENT
from isthmus.testing.fleet import Fleet, Pace
from isthmus.testing.waiting import eventually, throughout
from tests.fleets import MakeFleet

QUICK = Pace(heartbeat=0.3, silent_after=1.5, brake=4.0)


async def state_of(fleet: Fleet, name: str) -> str:
    member = await fleet.member(name)
    return member.spec.health.state if member.spec is not None else ""


async def wait_state(fleet: Fleet, name: str, state: str) -> None:
    async def check() -> bool:
        return await state_of(fleet, name) == state

    await eventually(check, what=f"{name} is {state}")


async def beat(fleet: Fleet, name: str) -> None:
    patch = {"spec": {"renewTime": "2030-01-01T00:00:00.000000Z"}}
    await fleet.hub.client.merge_patch(LEASES, name, patch, namespace=MEMBERS_NAMESPACE)


async def wait_heartbeats(fleet: Fleet) -> None:
    async def check() -> bool:
        leases = await fleet.hub.client.list(LEASES, namespace=MEMBERS_NAMESPACE)
        return {item.metadata.name for item in leases.items} == set(fleet.members)

    await eventually(check, what="a heartbeat of everyone")


@pytest.mark.requirement("MCS-76", "MCS-77", "MCS-78")
async def test_endpoints_of_a_silent_member_go_and_come_back_and_its_export_stands(
    make_fleet: MakeFleet,
) -> None:
    async with make_fleet(["east", "west", "north"], QUICK) as fleet:
        for name, address in (("east", "10.77.0.5"), ("west", "10.78.0.5")):
            await fleet[name].serve(fleet.namespace, "shop", [address])
            await fleet[name].export(fleet.namespace, "shop")
        for name in fleet.members:
            await fleet[name].wait_addresses(fleet.namespace, "shop", {"10.77.0.5", "10.78.0.5"})
        before = await fleet["north"].wait_import(fleet.namespace, "shop")
        await fleet.agents["east"].kill()
        await fleet["north"].wait_addresses(fleet.namespace, "shop", {"10.78.0.5"})
        await fleet["west"].wait_addresses(fleet.namespace, "shop", {"10.78.0.5"})
        assert await state_of(fleet, "east") == SILENT
        now = await fleet["north"].wait_import(fleet.namespace, "shop")
        assert now.spec == before.spec
        assert now.status is not None
        assert {each.cluster for each in now.status.clusters} == {"east", "west"}
        assert await fleet["east"].addresses(fleet.namespace, "shop") == {"10.77.0.5", "10.78.0.5"}
        fleet.agents["east"] = await fleet.start_agent("east")
        await fleet["north"].wait_addresses(fleet.namespace, "shop", {"10.77.0.5", "10.78.0.5"})
        assert await state_of(fleet, "east") == HEALTHY


async def test_when_most_of_the_set_falls_silent_at_once_the_verdicts_wait(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west", "north"], QUICK) as fleet:
        await wait_heartbeats(fleet)
        for agent in fleet.agents.values():
            await agent.kill()
        # The last heartbeats come together: so they end together.
        async with asyncio.TaskGroup() as tasks:
            for name in fleet.members:
                tasks.create_task(beat(fleet, name))

        async def all_healthy() -> bool:
            return all([await state_of(fleet, name) == HEALTHY for name in fleet.members])

        await throughout(all_healthy, seconds=3.5)
        for name in fleet.members:
            await wait_state(fleet, name, SILENT)


async def test_a_hub_that_begins_anew_gives_everyone_a_full_grace(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"], QUICK) as fleet:
        await wait_heartbeats(fleet)
        await fleet.controller.kill()
        await fleet.agents["east"].kill()
        fleet.controller = await fleet.start_hub()

        async def healthy() -> bool:
            return await state_of(fleet, "east") == HEALTHY

        await throughout(healthy, seconds=1.2)
        await wait_state(fleet, "east", SILENT)
        assert await state_of(fleet, "west") == HEALTHY


async def test_nobody_is_judged_for_an_outage_of_the_hub(embedded_fleet: MakeFleet) -> None:
    # Agents that found nobody wait for up to five seconds until they try again.
    async with embedded_fleet(["east", "west"], Pace(heartbeat=2.0, silent_after=7.0, brake=14.0)) as fleet:
        await wait_heartbeats(fleet)
        await fleet.hub.host.stop()

        async def away() -> bool:
            return True

        await throughout(away, seconds=8)
        await fleet.hub.host.start()

        async def all_healthy() -> bool:
            return all([await state_of(fleet, name) == HEALTHY for name in fleet.members])

        await throughout(all_healthy, seconds=6)


async def test_of_two_hub_controllers_one_works_and_the_other_takes_over(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"], QUICK) as fleet:
        await wait_heartbeats(fleet)
        second = await fleet.start_hub(identity="hub-2")
        await fleet.controller.kill()
        fleet.controller = second
        await fleet.agents["east"].kill()

        async def silent() -> bool:
            return await state_of(fleet, "east") == SILENT

        await eventually(silent, within=25)
