"""ClusterProfiles on the hub, by what Members and agents say."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES
from isthmus.api.core import EVENTS, NAMESPACES
from isthmus.api.inventory import CLUSTER_PROFILES, MANAGER_LABEL, ClusterProfile
from isthmus.api.isthmus import CLUSTER_SET_LABELS, MEMBERS
from isthmus.api.scheme import Manifest
from isthmus.errors import Refused
from isthmus.inventory.rules.profile import cluster_set_of, manager_of
from isthmus.kube.client import WriteOptions
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet, Pace
from isthmus.testing.waiting import WITHIN, eventually, throughout
from tests.fleets import MakeFleet

QUICK = Pace(heartbeat=0.5, silent_after=5.0, brake=10.0)
# An agent that took over has to be elected, and its silence to be forgiven.
PATIENCE = 40.0
REGISTRY = WriteOptions(manager="test-registry", force=True)


async def publish(fleet: Fleet, name: str, **spec: str) -> None:
    """Put a cluster's address on record, as joining does."""
    config = load_kubeconfig([fleet[name].host.kubeconfig])
    assert config.trust.authority is not None
    published = {
        "server": config.server,
        "certificateAuthority": base64.b64encode(config.trust.authority.read()).decode(),
    }
    manifest = {"metadata": {"name": name, "namespace": fleet.set}, "spec": published | spec}
    await fleet.hub.client.apply(MEMBERS, manifest, options=REGISTRY)


async def profile_of(fleet: Fleet, name: str) -> ClusterProfile:
    return await fleet.hub.client.get(CLUSTER_PROFILES, name, namespace=fleet.set)


def conditions(profile: ClusterProfile) -> dict[str, str]:
    status = profile.status
    return {each.type: f"{each.status}/{each.reason}" for each in (status.conditions if status else ())}


def properties(profile: ClusterProfile) -> dict[str, str]:
    return {each.name: each.value for each in (profile.status.properties if profile.status else ())}


async def wait_healthy(fleet: Fleet, name: str, wanted: str = "True/Healthy") -> ClusterProfile:
    async def check() -> ClusterProfile | None:
        profile = await profile_of(fleet, name)
        return profile if conditions(profile).get("ControlPlaneHealthy") == wanted else None

    return await eventually(check, within=PATIENCE, what=f"{name} is {wanted}")


async def say(fleet: Fleet, name: str, values: dict[str, str]) -> None:
    """Set ClusterProperties in a member."""
    for key, value in values.items():
        manifest = {"metadata": {"name": key}, "spec": {"value": value}}
        await fleet[name].client.apply(CLUSTER_PROPERTIES, manifest, options=BY_HAND)


@asynccontextmanager
async def said(fleet: Fleet, name: str, values: dict[str, str]) -> AsyncIterator[None]:
    """As long as it lasts, a member has these ClusterProperties; its server may live longer than the test."""
    await say(fleet, name, values)
    yield
    for key in values:
        await fleet[name].client.delete(CLUSTER_PROPERTIES, key)


@pytest.mark.requirement(
    *("INV-1", "INV-2", "INV-4", "INV-7", "INV-10", "INV-11", "INV-12", "INV-14", "INV-15", "INV-16", "INV-20"),
    *("INV-24", "INV-31", "INV-32"),
)
async def test_each_member_has_a_profile_that_says_how_to_reach_it_once_it_answers(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"], QUICK) as fleet:
        unpublished = await wait_healthy(fleet, "east", "Unknown/NoStatus")
        assert unpublished.status is not None
        assert unpublished.status.access_providers == ()
        for name in fleet.members:
            await publish(fleet, name)
        found = {name: await wait_healthy(fleet, name) for name in fleet.members}
        listed = await fleet.hub.client.list(CLUSTER_PROFILES, namespace=fleet.set)
        assert {item.metadata.name for item in listed.items} == {"east", "west"}
        east = found["east"]
        assert east.spec.cluster_manager.name == east.metadata.labels[MANAGER_LABEL] == manager_of(fleet.set)
        assert conditions(east) == {"ControlPlaneHealthy": "True/Healthy", "Joined": "True/Joined"}
        assert east.status is not None
        assert east.status.version is not None
        assert east.status.version.kubernetes == await fleet["east"].client.version()
        (first, second) = east.status.access_providers
        assert first.cluster is not None
        assert first.cluster.server == fleet["east"].client.server
        assert {first.name, second.name} == {"secretreader", "kubeconfig-secretreader"}
        namespace = await fleet.hub.client.get(NAMESPACES, fleet.set)
        assert {key: namespace.metadata.labels[key] for key in CLUSTER_SET_LABELS} == dict.fromkeys(
            CLUSTER_SET_LABELS, fleet.set
        )
        assert cluster_set_of(namespace.metadata.labels) == fleet.set
        patch = {"spec": {"clusterManager": {"name": "another"}}}
        with pytest.raises(Refused, match="ClusterManager is immutable"):
            await fleet.hub.client.merge_patch(CLUSTER_PROFILES, "east", patch, namespace=fleet.set)


@pytest.mark.requirement("INV-17", "INV-18", "INV-19", "ABOUT-37")
async def test_properties_are_mirrored_unchanged_and_what_does_not_fit_is_told(make_fleet: MakeFleet) -> None:
    longest = "ä" * 1024
    values = {"tier.example.com": " gold ", "long.example.com": "x" * 1025, "longest.example.com": longest}
    async with make_fleet(["east"], QUICK) as fleet, said(fleet, "east", values):

        async def mirrored() -> dict[str, str] | None:
            found = properties(await profile_of(fleet, "east"))
            return found if "longest.example.com" in found else None

        found = await eventually(mirrored)
        assert (found["tier.example.com"], found["longest.example.com"]) == (" gold ", longest)
        assert found[CLUSTER_ID] == "east"
        assert "long.example.com" not in found

        async def told() -> bool:
            events = await fleet.hub.client.list(EVENTS, namespace=fleet.set)
            return any(
                (each.involved_object.kind, each.involved_object.name) == ("ClusterProfile", "east")
                and each.reason == "PropertiesLeftOut"
                and "long.example.com" in each.message
                for each in events.items
            )

        await eventually(told)


@pytest.mark.requirement("INV-22", "INV-34")
async def test_a_profile_is_not_written_while_nothing_changes_nor_by_a_hub_that_begins_anew(
    make_fleet: MakeFleet,
) -> None:
    values = {"level.example.com": "gold"}
    async with make_fleet(["east"], QUICK) as fleet, said(fleet, "east", values):
        await publish(fleet, "east")
        await wait_healthy(fleet, "east")

        async def settled() -> ClusterProfile | None:
            profile = await profile_of(fleet, "east")
            return profile if "level.example.com" in properties(profile) else None

        before = await eventually(settled)
        await fleet.controller.kill()
        fleet.controller = await fleet.start_hub()

        async def unchanged() -> bool:
            return (await profile_of(fleet, "east")).metadata.resource_version == before.metadata.resource_version

        await throughout(unchanged, seconds=3)
        await say(fleet, "east", {"level.example.com": "silver"})

        async def silver() -> ClusterProfile | None:
            profile = await profile_of(fleet, "east")
            return profile if properties(profile)["level.example.com"] == "silver" else None

        after = await eventually(silver)
        times = [_observed(profile) for profile in (before, after)]
        # Only what changed was observed anew.
        assert times[0].keys() == times[1].keys()
        assert {name for name in times[0] if times[0][name] != times[1][name]} <= {"level.example.com"}


def _observed(profile: ClusterProfile) -> dict[str, datetime | None]:
    return {each.name: each.last_observed_time for each in (profile.status.properties if profile.status else ())}


@pytest.mark.requirement("INV-16", "INV-30", "INV-32")
async def test_a_silent_member_keeps_its_profile_which_says_unknown_and_one_that_leaves_does_not(
    make_fleet: MakeFleet,
) -> None:
    async with make_fleet(["east", "west"], QUICK) as fleet:
        for name in fleet.members:
            await publish(fleet, name)
            await wait_healthy(fleet, name)
        await fleet.agents["east"].kill()
        lost = await wait_healthy(fleet, "east", "Unknown/HeartbeatLost")
        assert conditions(lost)["Joined"] == "True/Joined"
        assert lost.status is not None
        assert len(lost.status.access_providers) == 2
        fleet.agents["east"] = await fleet.start_agent("east")
        await wait_healthy(fleet, "east")
        await fleet.hub.client.delete(MEMBERS, "east", namespace=fleet.set)
        await wait_only(fleet, {"west"})
        # Also while no controller looks: the garbage collector does it.
        await fleet.controller.kill()
        await fleet.hub.client.delete(MEMBERS, "west", namespace=fleet.set)
        # It hears of kinds that are new to the server within half a minute.
        await wait_only(fleet, set(), within=60)


async def wait_only(fleet: Fleet, names: set[str], *, within: float = WITHIN) -> None:
    async def check() -> bool:
        listed = await fleet.hub.client.list(CLUSTER_PROFILES, namespace=fleet.set)
        return {item.metadata.name for item in listed.items} == names

    await eventually(check, within=within, what=f"profiles of {sorted(names)} alone")


@pytest.mark.requirement("INV-26", "INV-31", "INV-32")
async def test_an_address_that_does_not_answer_is_published_as_unhealthy(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east"], QUICK) as fleet:
        await publish(fleet, "east", server="https://127.0.0.1:9")
        await wait_healthy(fleet, "east", "False/Unhealthy")
        await publish(fleet, "east")
        await wait_healthy(fleet, "east")


@pytest.mark.requirement("INV-3", "INV-5", "INV-6", "INV-28")
async def test_profiles_and_conditions_of_others_are_left_alone(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east"], QUICK) as fleet:
        theirs = {
            "metadata": {"name": "west", "namespace": fleet.set, "labels": {MANAGER_LABEL: "other"}},
            "spec": {"clusterManager": {"name": "other"}},
        }
        made = await fleet.hub.client.apply(CLUSTER_PROFILES, theirs, options=BY_HAND)
        await admit(fleet, "west")
        await wait_healthy(fleet, "east", "Unknown/NoStatus")
        helper: Manifest = {
            "metadata": {"name": "east", "namespace": fleet.set},
            "status": {
                "conditions": [
                    {
                        "type": "example.com/Audited",
                        "status": "True",
                        "reason": "Audited",
                        "message": "by a helper",
                        "lastTransitionTime": "2026-01-01T00:00:00Z",
                    }
                ],
                "properties": [{"name": "audit.example.com", "value": "passed"}],
            },
        }
        await fleet.hub.client.apply(CLUSTER_PROFILES, helper, subresource="status", options=BY_HAND)
        await publish(fleet, "east")
        both = await wait_healthy(fleet, "east")
        assert conditions(both)["example.com/Audited"] == "True/Audited"
        assert properties(both)["audit.example.com"] == "passed"

        async def quiet() -> bool:
            return (await profile_of(fleet, "east")).metadata.resource_version == both.metadata.resource_version

        await throughout(quiet, seconds=1.5)
        assert await profile_of(fleet, "west") == made

        async def told() -> bool:
            events = await fleet.hub.client.list(EVENTS, namespace=fleet.set)
            return any(each.reason == "ProfileOfAnother" and "other" in each.message for each in events.items)

        await eventually(told)


async def admit(fleet: Fleet, name: str) -> None:
    """A Member without a cluster behind it."""
    manifest = {"metadata": {"name": name, "namespace": fleet.set}, "spec": {"id": name, "set": fleet.set}}
    await fleet.hub.client.apply(MEMBERS, manifest, options=REGISTRY)


@pytest.mark.requirement("INV-21", "INV-30")
async def test_a_member_that_changes_all_the_time_is_written_seldom_and_its_loss_at_once(
    make_fleet: MakeFleet,
) -> None:
    async with make_fleet(["east"], QUICK) as fleet:
        await admit(fleet, "busy")
        await wait_healthy(fleet, "busy", "Unknown/NoStatus")
        versions = set()

        async def looked() -> bool:
            versions.add((await profile_of(fleet, "busy")).metadata.resource_version)
            return True

        for number in range(20):
            changed = {"properties": {"n": str(number)}}
            status = {"metadata": {"name": "busy", "namespace": fleet.set}, "status": changed}
            await fleet.hub.client.apply(MEMBERS, status, subresource="status", options=REGISTRY)
            await throughout(looked, seconds=0.3)
        assert len(versions) <= 10
        lost = await wait_healthy(fleet, "busy", "Unknown/HeartbeatLost")
        assert conditions(lost)["Joined"] == "True/Joined"
        assert "n" in properties(lost)
