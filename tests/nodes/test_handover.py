"""CoreDNS hands the zone over, and gets it back, as if nothing had been: its other names answer all the while."""

import asyncio

import pytest

from isthmus.api.core import CONFIG_MAPS
from isthmus.api.mcs import ZONE
from tests.nodes.installed import isthmus
from tests.nodes.site import Site
from tests.nodes.steady import Steady
from tests.nodes.test_traffic import EAST, WEST, export
from tests.real.coredns import COREFILE


async def corefile(site: Site) -> str:
    found = await site.client.get(CONFIG_MAPS, "coredns", namespace="kube-system")
    assert list(found["data"]) == ["Corefile"]
    return str(found["data"]["Corefile"])


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
        await load.none_was_lost()
        assert {each.who for each in await load.requests()} == WEST
