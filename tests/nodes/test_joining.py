"""West leaves and joins again, pods and all: by a token, with its agent beside the hub, and by way of another set."""

import asyncio
from pathlib import Path

import pytest
import yaml

from isthmus.api.core import CONFIG_MAPS, PODS
from isthmus.api.isthmus import MEMBERS_NAMESPACE
from isthmus.errors import NotFound
from isthmus.kube.client import ListOptions
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.waiting import eventually
from tests.nodes.installed import ISTHMUS, SET, isthmus
from tests.nodes.site import Site
from tests.nodes.tunnel import tunnelled
from tests.real.images import IMAGE
from tests.real.node import NodeCluster
from tests.real.nodes import Clusters
from tests.registry.left import on_hub, on_member

PUSHED = "app.kubernetes.io/name=isthmus-agent-west"


async def typed(cluster: NodeCluster, *words: str) -> str:
    return await asyncio.to_thread(isthmus, cluster, *words)


async def join(hub: NodeCluster, member: NodeCluster, *words: str, cluster_set: str = SET) -> None:
    """By a token, which has to be the way into that set."""
    token = (await typed(hub, "token", "create", f"--set={cluster_set}", "--cluster=west")).strip()
    said = await typed(member, "join", token, "--name=west", *words)
    assert f"This cluster is member west of set {cluster_set}" in said


async def wait_forgotten(hub: Site) -> None:
    """Return once the hub has nothing of west."""

    async def is_forgotten() -> bool:
        return not {name for name in await on_hub(hub.client) if "/west" in name and "isthmus-members" in name}

    await eventually(is_forgotten, within=90.0, what="the hub has nothing of west")


async def answers(east: Site, west: Site, prod: str, name: str) -> None:
    """A service of east, exported just now, answers in west."""
    await east.offer(prod, name)
    await east.export(prod, name)
    await west.wait_import(prod, name)
    await west.wait_answers(prod, f"{name}.{prod}.svc.clusterset.local", 80, {"east-1", "east-2"})


@pytest.mark.timeout(400)
async def test_a_cluster_that_nobody_reaches_is_reached_through_the_tunnel_and_leaves_and_joins_and_answers_again(
    node_clusters: Clusters, east: Site, west: Site, prod: str
) -> None:
    hub, member = node_clusters.get("east", "west")
    async with tunnelled(east, west, prod) as tunnel:
        # It was made a member by hand: joining takes that over.
        await join(hub, member, "--no-dns", f"--tunnel={tunnel.url}")
        await tunnel.admit()
        await west.client.apply(CONFIG_MAPS, {"metadata": {"name": "here"}}, namespace=prod, options=BY_HAND)
        await tunnel.wait_listed("here")
        await tunnel.delete_agents()
        await tunnel.wait_status(200)
        await tunnel.wait_listed("here")
        assert "this cluster is in no set" in await typed(member, "leave", "--yes")
        await tunnel.wait_status(404)
    # Definitions stay: others' ServiceExports may be left.
    left = {name for name in await on_member(west.client) if "isthmus" in name or "clusterset" in name}
    assert left == set()
    await wait_forgotten(east)
    await join(hub, member, "--dns", "--property=region=eu-west")
    await answers(east, west, prod, "joined")


@pytest.mark.timeout(400)
async def test_the_agent_of_a_cluster_that_may_not_dial_out_lives_beside_the_hub(
    node_clusters: Clusters, east: Site, west: Site, prod: str, tmp_path: Path
) -> None:
    hub, member = node_clusters.get("east", "west")
    both = tmp_path / "both.yaml"
    both.write_text(merged(hub, member))
    push = ("--mode=push", "--hub-context=east", "--context=west", f"--kubeconfig={both}")
    pushed = ListOptions(labels=PUSHED)

    async def by_both(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            ISTHMUS, *words, *push, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        return said.decode()

    await typed(member, "leave", "--yes")
    await wait_forgotten(east)
    try:
        token = (await typed(hub, "token", "create", f"--set={SET}", "--cluster=west")).strip()
        assert "This cluster is member west" in await by_both("join", token, "--dns", f"--image={IMAGE}")
        assert len((await east.client.list(PODS, namespace=MEMBERS_NAMESPACE, options=pushed)).items) == 2
        assert not {name for name in await on_member(west.client) if "deployments" in name and "agent" in name}
        await answers(east, west, prod, "pushed")
        await by_both("leave", "--yes")
        assert not (await east.client.list(PODS, namespace=MEMBERS_NAMESPACE, options=pushed)).items
        await wait_forgotten(east)
    finally:
        await join(hub, member, "--dns")
    await west.wait_answers(prod, f"pushed.{prod}.svc.clusterset.local", 80, {"east-1", "east-2"})


def merged(*clusters: NodeCluster) -> str:
    """One kubeconfig for all of these, with a context for each."""
    whole: dict[str, list[object]] = {"clusters": [], "users": [], "contexts": []}
    for cluster in clusters:
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        name = cluster.name
        whole["clusters"].append(config["clusters"][0] | {"name": name})
        whole["users"].append(config["users"][0] | {"name": name})
        whole["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Config"} | whole)


@pytest.mark.timeout(400)
async def test_a_hub_has_a_second_set_to_which_a_cluster_moves_and_back(
    node_clusters: Clusters, east: Site, west: Site, prod: str
) -> None:
    hub, member = node_clusters.get("east", "west")
    await typed(hub, "install", "hub", "--set=dev", f"--image={IMAGE}")
    await answers(east, west, prod, "kept")
    try:
        await join(hub, member, "--dns", "--move", cluster_set="dev")
        # Exports never cross sets.
        with pytest.raises(NotFound):
            await west.service_import(prod, "kept")
        assert await west.look_up(prod, f"kept.{prod}.svc.clusterset.local") == set()
    finally:
        await join(hub, member, "--dns", "--move")
    await west.wait_answers(prod, f"kept.{prod}.svc.clusterset.local", 80, {"east-1", "east-2"})
    await typed(hub, "install", "uninstall", "hub", "--set=dev", "--yes")
    assert not {name for name in await on_hub(east.client) if "dev" in name}
    await answers(east, west, prod, "kept-on")
