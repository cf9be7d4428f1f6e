"""Consumers reach members' API servers through the tunnel alone."""

import asyncio
import json
import shutil
import ssl
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path

from isthmus.api.core import CONFIG_MAPS, NAMESPACES
from isthmus.api.scheme import Manifest
from isthmus.install.kinds import whole
from isthmus.kit.http import server_tls
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.waiting import eventually, throughout
from isthmus.tunnel.app import renew
from tests.docs.test_install import documented, served
from tests.fleets import MakeFleet
from tests.kit.test_probes import ask
from tests.real.certificates import Authority
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


async def test_a_renewed_certificate_is_served_and_half_of_one_does_no_harm(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("tunnel", "first", addresses=["127.0.0.1"])
    tls, trust = server_tls(*pair), ssl.create_default_context(cafile=authority.certificate)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=tls)

    async def shown(name: str) -> bool:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=trust)
        writer.close()
        return name in str(writer.get_extra_info("peercert")["subject"])

    async with server, asyncio.TaskGroup() as tasks:
        renewing = tasks.create_task(renew(tls, *pair, every=0.02))
        certificate, key = authority.sign("next", "second", addresses=["127.0.0.1"])
        shutil.copy(certificate, pair[0])
        await throughout(lambda: shown("first"), seconds=0.3)
        shutil.copy(key, pair[1])
        await eventually(lambda: shown("second"))
        renewing.cancel()
