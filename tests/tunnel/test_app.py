"""Consumers reach members' API servers through the tunnel alone."""

import asyncio
import json
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path

from isthmus.api.core import CONFIG_MAPS, NAMESPACES
from isthmus.api.scheme import Manifest
from isthmus.install.kinds import whole
from isthmus.testing.cluster import BY_HAND
from tests.docs.test_install import documented, served
from tests.fleets import MakeFleet
from tests.kit.test_probes import ask
from tests.tunnel.scene import KUBECTL, PATIENCE, Scene, arrived, playing


async def kubectl(scene: Scene, member: str, *args: str) -> Manifest:
    process = await asyncio.create_subprocess_exec(
        *(str(KUBECTL), "--kubeconfig", str(await scene.kubeconfig(member)), *args, "-o", "json"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    answer: Manifest = json.loads(out)
    return answer


def names(listed: Iterable[Manifest]) -> set[str]:
    return {item["metadata"]["name"] for item in listed}


async def test_consumers_list_objects_of_two_members_with_one_address(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with playing(make_fleet, tmp_path, "east", "west") as scene:
        for name in scene.members:
            await scene.fleet.members[name].namespace(name)
            await scene.consumer.granted(name, role="view")
        east, west = scene.members
        for name, other in ((east, west), (west, east)):
            async with await scene.client(name) as client:
                found = names((await client.list(whole(NAMESPACES))).items)
            assert (name in found, other in found) == (True, False)
            listed = await kubectl(scene, name, "get", "namespaces")
            assert names(listed["items"]) == found


async def test_a_watch_stays_open_and_what_is_large_arrives_whole(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with playing(make_fleet, tmp_path, "west") as scene:
        (west,) = scene.members
        member = scene.fleet[west]
        await member.namespace(west)
        await scene.consumer.granted(west, role="view")
        async with await scene.client(west) as client, aclosing(client.watch(CONFIG_MAPS, namespace=west)) as seen:
            for number in range(5):
                made = {"metadata": {"name": f"n{number}", "namespace": west}, "data": {"x": "x" * 500_000}}
                await member.client.apply(CONFIG_MAPS, made, options=BY_HAND)
                assert await asyncio.wait_for(arrived(seen, f"n{number}"), PATIENCE) == made["data"]
            await scene.wait_open(west)
            assert await served(scene.metrics) == documented("tunnel")
            assert await ask(scene.metrics, "/readyz") == (200, "ok\n")
            assert f'isthmus_tunnel_agents{{member="{west}"}} 1' in await scene.metrics_text()
