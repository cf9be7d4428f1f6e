"""A cluster whose node is cut off from all others, as traffic of the others sees it."""

import pytest

from isthmus.testing.waiting import eventually
from tests.nodes.site import Site
from tests.nodes.test_traffic import EAST, EVERYBODY, WEST, addresses, export

# From a member's last renewal until its endpoints are gone everywhere; a little for questions that time out.
GONE_WITHIN = 45.0 + 15.0
BACK_WITHIN = 30.0


@pytest.mark.requirement("MCS-33", "MCS-76", "MCS-77", "MCS-78")
async def test_pods_of_a_cluster_that_is_cut_off_are_left_out_until_it_is_back(
    east: Site, west: Site, prod: str
) -> None:
    await export(prod, "cut", east, west)
    local = await west.offer(prod, "cut")
    before = {site.name: await addresses(site, prod, "cut") for site in (east, west)}
    for site in (east, west):
        await site.wait_answers(prod, before[site.name][0], 80, EVERYBODY)
    west.node.cut()
    try:
        await east.wait_answers(prod, before["east"][0], 80, EAST, within=GONE_WITHIN)
        item = await east.wait_import(prod, "cut")
        assert item.spec is not None
        assert item.status is not None
        assert item.spec.ips == before["east"]
        assert [each.cluster for each in item.status.clusters] == ["east", "west"]
        # The cluster on its own goes on with what is its own.
        inside = west.node.inside("curl", "-s", "--max-time", "5", f"http://{local['spec']['clusterIP']}").stdout
        assert set(inside.decode().split()[:1]) == WEST
    finally:
        west.node.cut(cut=False)

    async def reached() -> bool:
        return west.node.server.is_ready()

    await eventually(reached, within=BACK_WITHIN, what="west is reached again")
    for site in (east, west):
        await site.wait_answers(prod, before[site.name][0], 80, EVERYBODY, within=BACK_WITHIN)
        assert await addresses(site, prod, "cut") == before[site.name]
