"""A fleet that follows an inventory, by the controller that the README of `runtime` shows, word for word."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

import isthmus.runtime
from isthmus.api.core import CONFIG_MAPS, NAMESPACES
from isthmus.api.inventory import ClusterProfile
from isthmus.api.isthmus import MEMBERS
from isthmus.errors import Invalid, NotFound
from isthmus.inventory import Inventory, Providers, read_providers
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.runtime import Fleet as Clusters
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet, Pace
from isthmus.testing.waiting import eventually, throughout
from tests.fleets import MakeFleet
from tests.inventory.access import Consumer
from tests.inventory.controllers.test_profiles import publish, wait_healthy

QUICK = Pace(heartbeat=0.5, silent_after=3, brake=4.0)
README = Path(str(isthmus.runtime.__file__)).with_name("README.md")
Greet = Callable[[Client, str, Providers], Awaitable[None]]


def snippet() -> Greet:
    """The function that the README shows."""
    (code,) = [
        each for each in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "def greet" in each
    ]
    names: dict[str, object] = {}
    exec(code, names)
    return cast("Greet", names["greet_everywhere"])


async def ask_for_greeting(fleet: Fleet, member: str, suffix: str) -> str:
    """A new namespace that wants to be greeted; on shared servers it goes with the test."""
    name = f"{fleet.namespace}-{suffix}"
    await fleet[member].namespace(name)
    await fleet[member].client.merge_patch(
        NAMESPACES, name, {"metadata": {"labels": {"example.com/greeted": "yes"}}}, options=BY_HAND
    )
    return name


async def greeting(fleet: Fleet, member: str, namespace: str) -> str:
    try:
        found = await fleet[member].client.get(CONFIG_MAPS, "greeting", namespace=namespace)
    except NotFound:
        return ""
    return str(found["data"]["text"])


async def wait_greeting(fleet: Fleet, member: str, namespace: str) -> None:
    async def check() -> bool:
        return await greeting(fleet, member, namespace) == f"This is {member}."

    await eventually(check, within=40, what=f"{namespace} of {member} is greeted")


async def open_up(fleet: Fleet, consumer: Consumer, member: str) -> None:
    await publish(fleet, member)
    await consumer.granted(member, role="cluster-admin")
    await wait_healthy(fleet, member)


@pytest.mark.requirement("INV-33")
async def test_clusters_engage_and_go_as_their_profiles_say(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with make_fleet(["east", "west"], QUICK) as fleet, asyncio.TaskGroup() as tasks:
        consumer = Consumer(fleet, tmp_path)
        await consumer.settle()
        await open_up(fleet, consumer, "east")
        await ask_for_greeting(fleet, "east", "one")
        await ask_for_greeting(fleet, "west", "one")
        providers = read_providers(consumer.provider_file("secretreader"))

        async def work() -> None:
            await snippet()(fleet.hub.client, fleet.set, providers)

        running = tasks.create_task(work())
        await wait_greeting(fleet, "east", f"{fleet.namespace}-one")
        # West is a member, but nobody has said where it answers.
        assert await greeting(fleet, "west", f"{fleet.namespace}-one") == ""
        await open_up(fleet, consumer, "west")
        await wait_greeting(fleet, "west", f"{fleet.namespace}-one")

        await fleet.agents["east"].kill()
        await wait_healthy(fleet, "east", "Unknown/HeartbeatLost")
        late = await ask_for_greeting(fleet, "east", "late")
        await wait_greeting(fleet, "west", await ask_for_greeting(fleet, "west", "late"))

        async def ungreeted() -> bool:
            return await greeting(fleet, "east", late) == ""

        await throughout(ungreeted, seconds=1)
        fleet.agents["east"] = await fleet.start_agent("east")
        await wait_greeting(fleet, "east", late)

        await fleet.hub.client.delete(MEMBERS, "west", namespace=fleet.set)
        await wait_greeting(fleet, "east", await ask_for_greeting(fleet, "east", "last"))
        last = await ask_for_greeting(fleet, "west", "last")
        assert await greeting(fleet, "west", last) == ""
        running.cancel()


async def test_a_cluster_that_cannot_be_reached_as_its_profile_says_waits_for_another_word(
    make_fleet: MakeFleet,
) -> None:
    asked: list[str] = []
    async with make_fleet(["east"], QUICK) as fleet, asyncio.TaskGroup() as tasks:
        config = load_kubeconfig([fleet["east"].host.kubeconfig])

        def connect(profile: ClusterProfile) -> Client:
            asked.append(profile.metadata.name)
            if len(asked) == 1:
                raise Invalid("no such plugin")
            return Client(config)

        clusters = Clusters()
        inventory = Inventory(fleet.hub.client, connect, lambda _: (), namespace=fleet.set)
        following = tasks.create_task(inventory.feed(clusters))
        await publish(fleet, "east")
        await wait_healthy(fleet, "east")

        async def refused() -> bool:
            return asked == ["east"]

        await eventually(refused)
        await throughout(refused, seconds=1)
        assert not clusters.clusters
        await publish(fleet, "east", server=f"{config.server}/")

        async def engaged() -> bool:
            return set(clusters.clusters) == {"east"}

        await eventually(engaged)
        following.cancel()
    assert not clusters.clusters


def test_the_snippet_is_as_short_as_it_says() -> None:
    code = README.read_text().split("async def greet_everywhere", 1)[1].split("```", 1)[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
