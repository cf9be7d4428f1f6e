"""Who a cluster says that it is, and whether the hub's record is mirrored or refused."""

import asyncio
import logging

import pytest

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES, CLUSTER_SET
from isthmus.api.core import CRDS
from isthmus.api.crds import ABOUT_CRDS
from isthmus.api.isthmus import MEMBERS
from isthmus.api.scheme import Resource
from isthmus.errors import NotFound
from isthmus.kube.client import WatchEvent, WatchOptions
from isthmus.testing.cluster import BY_HAND, TestCluster
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually, throughout
from tests.fleets import MakeFleet


async def properties_of(cluster: TestCluster) -> dict[str, str]:
    listed = await cluster.client.list(CLUSTER_PROPERTIES)
    return {item.metadata.name: item.spec.value for item in listed.items if item.spec is not None}


async def wait_properties(cluster: TestCluster, wanted: dict[str, str], *, within: float = 10.0) -> None:
    async def check() -> bool:
        return await properties_of(cluster) == wanted

    await eventually(check, within=within, what=f"properties of {cluster.name} are {wanted}")


async def say(cluster: TestCluster, name: str, value: str) -> None:
    manifest = {
        "apiVersion": CLUSTER_PROPERTIES.api_version,
        "kind": CLUSTER_PROPERTIES.kind,
        "metadata": {"name": name},
        "spec": {"value": value},
    }
    await cluster.client.apply(CLUSTER_PROPERTIES, manifest, options=BY_HAND)


async def mirrored(fleet: Fleet, name: str) -> None:
    await wait_properties(fleet[name], {CLUSTER_ID: name, CLUSTER_SET: fleet.set})


@pytest.mark.requirement("ABOUT-11", "ABOUT-21", "ABOUT-26")
async def test_a_member_says_its_id_and_its_set(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        await mirrored(fleet, "east")
        await mirrored(fleet, "west")

        async def reported() -> bool:
            member = await fleet.member("east")
            return member.status is not None and member.status.properties.get(CLUSTER_ID) == "east"

        await eventually(reported)
        for name in (CLUSTER_SET, CLUSTER_ID):
            await fleet["east"].client.delete(CLUSTER_PROPERTIES, name)
            await mirrored(fleet, "east")


@pytest.mark.requirement("ABOUT-11", "ABOUT-29", "ABOUT-30", "ABOUT-32")
async def test_a_cluster_that_has_another_id_is_refused_with_the_reason_and_exports_nothing(
    make_fleet: MakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_fleet() as fleet:
        east = fleet["east"]
        await mirrored(fleet, "east")
        await fleet.agents["east"].kill()
        await east.client.delete(CLUSTER_PROPERTIES, CLUSTER_SET)
        await say(east, CLUSTER_ID, "somebody-else")
        with caplog.at_level(logging.ERROR):
            fleet.agents["east"] = await fleet.start_agent("east")

            async def said() -> bool:
                problems = [vars(record).get("problem", "") for record in caplog.records]
                return any("somebody-else" in problem and "never rewritten" in problem for problem in problems)

            await eventually(said)
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")

        async def stays_out() -> bool:
            return await properties_of(east) == {CLUSTER_ID: "somebody-else"} and not await fleet.exported()

        await throughout(stays_out, seconds=1)
        await say(east, CLUSTER_ID, "east")
        await mirrored(fleet, "east")
        await fleet["west"].wait_import(fleet.namespace, "shop")


@pytest.mark.requirement("ABOUT-6")
async def test_the_status_of_a_property_is_never_written(make_fleet: MakeFleet) -> None:
    plain = Resource("about.k8s.io", "v1beta1", "clusterproperties", "ClusterProperty", dict, namespaced=False)
    async with make_fleet() as fleet:
        await mirrored(fleet, "east")
        for item in (await fleet["east"].client.list(plain)).items:
            assert "status" not in item
            assert {each.get("subresource", "") for each in item["metadata"]["managedFields"]} == {""}


@pytest.mark.requirement("ABOUT-20", "ABOUT-22")
async def test_a_cluster_that_left_says_no_set_but_keeps_its_id(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        await mirrored(fleet, "east")
        await fleet.hub.client.delete(MEMBERS, "east", namespace=fleet.set)

        async def still_a_member() -> bool:
            return CLUSTER_SET in await properties_of(fleet["east"])

        # One list that lacks the Member proves nothing: two that are ten seconds apart do.
        await throughout(still_a_member, seconds=5)
        await wait_properties(fleet["east"], {CLUSTER_ID: "east"}, within=30)
        await mirrored(fleet, "west")


@pytest.mark.requirement("ABOUT-30")
async def test_a_cluster_that_is_not_the_one_on_record_is_refused(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        await fleet.agents["east"].kill()
        for name in (CLUSTER_SET, CLUSTER_ID):
            try:
                await fleet["east"].client.delete(CLUSTER_PROPERTIES, name)
            except NotFound:
                continue
        await fleet.hub.client.merge_patch(MEMBERS, "east", {"spec": {"uid": "another-cluster"}}, namespace=fleet.set)
        fleet.agents["east"] = await fleet.start_agent("east")

        async def says_nothing() -> bool:
            return not await properties_of(fleet["east"])

        await throughout(says_nothing, seconds=1.5)


@pytest.mark.requirement("ABOUT-11", "ABOUT-21", "ABOUT-31")
async def test_what_others_change_during_a_membership_is_put_back_without_any_policy(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        await mirrored(fleet, "east")
        for name, value in ((CLUSTER_SET, "another-set"), (CLUSTER_ID, "another-id")):
            await say(fleet["east"], name, value)
            await mirrored(fleet, "east")


@pytest.mark.requirement("ABOUT-17", "ABOUT-18", "ABOUT-24", "ABOUT-25")
async def test_who_watches_the_two_properties_sees_joining_and_leaving_and_nothing_between(
    make_fleet: MakeFleet,
) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        east = fleet["east"]
        await mirrored(fleet, "east")
        seen: list[tuple[str, str]] = []
        start = (await east.client.list(CLUSTER_PROPERTIES)).resource_version

        async def watch() -> None:
            events = east.client.watch(CLUSTER_PROPERTIES, options=WatchOptions(resource_version=start))
            async for event in events:
                if isinstance(event, WatchEvent):
                    seen.append((event.type, event.object.metadata.name))  # noqa: PERF401  # told as it comes

        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch())
            await fleet.agents["east"].kill()
            fleet.agents["east"] = await fleet.start_agent("east")
            await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
            await east.export(fleet.namespace, "shop")
            await fleet["west"].wait_import(fleet.namespace, "shop")
            assert seen == []
            await fleet.hub.client.delete(MEMBERS, "east", namespace=fleet.set)
            await wait_properties(east, {CLUSTER_ID: "east"}, within=30)
            await fleet.admit("east")
            await mirrored(fleet, "east")

            async def both_were_seen() -> bool:
                return seen == [("DELETED", CLUSTER_SET), ("ADDED", CLUSTER_SET)]

            await eventually(both_were_seen)
            watching.cancel()


@pytest.mark.requirement("ABOUT-4", "ABOUT-5", "ABOUT-34", "ABOUT-35", "ABOUT-36")
async def test_properties_of_others_are_read_whatever_they_say_and_we_add_none(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        await mirrored(fleet, "east")
        theirs = {"site": "berlin", "region.example.com": "north", "long.example.com": "x" * 128_001}
        try:
            for name, value in theirs.items():
                await say(fleet["east"], name, value)

            async def read() -> bool:
                member = await fleet.member("east")
                said = member.status.properties if member.status is not None else {}
                own = {CLUSTER_ID: "east", CLUSTER_SET: fleet.set}
                # A Member is read by every agent of the set, so what is too long for it is left out.
                return said == {**own, "site": "berlin", "region.example.com": "north"}

            await eventually(read)
            own = {CLUSTER_ID: "east", CLUSTER_SET: fleet.set}
            assert await properties_of(fleet["east"]) == {**own, **theirs}
        finally:
            for name in theirs:
                await fleet["east"].client.delete(CLUSTER_PROPERTIES, name)


@pytest.mark.requirement("ABOUT-8")
async def test_without_the_definition_it_says_so_and_after_a_reinstall_all_is_back(
    make_fleet: MakeFleet, caplog: pytest.LogCaptureFixture
) -> None:
    (definition,) = ABOUT_CRDS
    async with make_fleet(["east", "west"]) as fleet:
        east = fleet["east"]
        await mirrored(fleet, "east")
        await east.client.delete(CRDS, "clusterproperties.about.k8s.io")
        try:

            async def said() -> bool:
                problems = [vars(record).get("problem", "") for record in caplog.records]
                return any("install the CRD clusterproperties.about.k8s.io again" in problem for problem in problems)

            await eventually(said)
            # Services go on: they do not wait for anybody to put it right.
            await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
            await east.export(fleet.namespace, "shop")
            await fleet["west"].wait_import(fleet.namespace, "shop")
        finally:
            await eventually(lambda: is_gone(east), what="the definition gone")
            await east.client.create(CRDS, definition)
        await eventually(lambda: east.client.serves(CLUSTER_PROPERTIES))
        await mirrored(fleet, "east")


async def is_gone(cluster: TestCluster) -> bool:
    try:
        await cluster.client.get(CRDS, "clusterproperties.about.k8s.io")
    except NotFound:
        return True
    return False
