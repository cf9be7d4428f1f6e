"""West leaves and joins again, by a token, pods and all; then a service of east answers there by name."""

import asyncio

import pytest

from isthmus.testing.waiting import eventually
from tests.nodes.installed import SET, isthmus
from tests.nodes.site import Site
from tests.real.node import NodeCluster
from tests.real.nodes import Clusters
from tests.registry.conftest import on_hub, on_member


@pytest.mark.timeout(400)
async def test_a_cluster_leaves_and_joins_by_a_token_and_answers_again(
    node_clusters: Clusters, east: Site, west: Site, prod: str
) -> None:
    hub, member = node_clusters.get("east", "west")

    async def typed(cluster: NodeCluster, *words: str) -> str:
        return await asyncio.to_thread(isthmus, cluster, *words)

    async def join(*words: str) -> None:
        token = (await typed(hub, "token", "create", f"--set={SET}", "--cluster=west")).strip()
        assert "This cluster is member west" in await typed(member, "join", token, "--name=west", *words)

    # It was made a member by hand: joining takes that over.
    await join("--no-dns")
    assert "this cluster is in no set" in await typed(member, "leave", "--yes")
    # Definitions stay: others' ServiceExports may be left.
    left = {name for name in await on_member(west.client) if "isthmus" in name or "clusterset" in name}
    assert left == set()

    async def is_forgotten() -> bool:
        return not {name for name in await on_hub(east.client) if "/west" in name and "isthmus-members" in name}

    await eventually(is_forgotten, within=90.0, what="the hub has nothing of west")
    await join("--dns", "--property=region=eu-west")
    await east.offer(prod, "joined")
    await east.export(prod, "joined")
    await west.wait_import(prod, "joined")
    await west.wait_answers(prod, f"joined.{prod}.svc.clusterset.local", 80, {"east-1", "east-2"})
