"""CoreDNS hands the zone over, and gets it back, as if nothing had been: its other names answer all the while."""

import asyncio

import pytest

from isthmus.api.core import CONFIG_MAPS, PODS
from isthmus.api.mcs import ZONE
from isthmus.kube.client import ListOptions
from isthmus.kube.logs import LogOptions, logs
from tests.nodes.installed import isthmus
from tests.nodes.site import Site
from tests.nodes.steady import Steady
from tests.nodes.test_traffic import EAST, WEST, export
from tests.real.coredns import COREFILE


async def corefile(site: Site) -> str:
    found = await site.client.get(CONFIG_MAPS, "coredns", namespace="kube-system")
    assert list(found["data"]) == ["Corefile"]
    return str(found["data"]["Corefile"])


async def unsynced_starts(site: Site) -> int:
    """How often CoreDNS did not wait for the API server any longer: until it hears of it, it knows no name.

    It waits 5 s whenever it reads its configuration again; only a machine that is very busy takes longer.
    """
    found = await site.client.list(PODS, namespace="kube-system", options=ListOptions(labels="k8s-app=kube-dns"))
    names = [pod["metadata"]["name"] for pod in found.items]
    said = [
        piece
        for name in names
        async for piece in logs(site.client, name, namespace="kube-system", options=LogOptions())
    ]
    return b"".join(said).count(b"starting server with unsynced Kubernetes API")


@pytest.mark.requirement("MCS-7", "MCS-80")
async def test_the_zone_is_given_back_byte_for_byte_and_taken_again_while_other_names_answer(
    east: Site, west: Site, prod: str
) -> None:
    await west.offer(prod, "undone")
    await export(prod, "elsewhere-too", east)
    name = f"elsewhere-too.{prod}.svc.{ZONE}"
    await west.wait_answers(prod, name, 80, EAST)
    configured = await corefile(west)
    assert configured.endswith(COREFILE)
    unsynced = await unsynced_starts(west)
    async with Steady(west, prod, f"undone.{prod}.svc.cluster.local") as load:
        try:
            said = await asyncio.to_thread(isthmus, west.node, "dns", "configure", "--undo")
            assert f"{ZONE} is no longer answered" in said
            assert await corefile(west) == COREFILE
            assert await west.look_up(prod, name) == set()
        finally:
            await asyncio.to_thread(isthmus, west.node, "dns", "configure")
        assert await corefile(west) == configured
        await west.wait_answers(prod, name, 80, EAST)
        if await unsynced_starts(west) == unsynced:
            await load.none_was_lost()
        assert {each.who for each in await load.requests() if not each.is_lost} == WEST
