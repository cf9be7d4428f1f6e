"""A third cluster, in the zone of the first: whom each policy leads to, and a node that is frozen or killed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from isthmus.api.core import ENDPOINT_SLICES, NAMESPACES, NODES
from isthmus.api.mcs import ZONE
from isthmus.api.scheme import Manifest
from isthmus.runtime.together import together
from isthmus.testing.cluster import BY_HAND
from tests.nodes import pods
from tests.nodes.installed import SET, isthmus
from tests.nodes.site import CLIENT, NOBODY, Site
from tests.nodes.steady import Steady
from tests.nodes.test_traffic import EAST, WEST, addresses, export
from tests.real.node import NodeCluster
from tests.real.nodes import Clusters

NORTH = {"north-1"}
EVERYBODY = EAST | WEST | NORTH
MANY = 40
# Requests during a few seconds' freeze, and seconds until a node that was off has its pods again and all know.
WHILE_AWAY, BACK_WITHIN = 15, 60.0


@pytest.fixture(scope="module")
def third(node_clusters: Clusters, prod: str) -> Iterator[NodeCluster]:
    """North, a member beside east and west while these tests run, with the namespace and a pod behind `app: shop`."""
    hub, _, node = node_clusters.get("east", "west", "north")

    async def furnish() -> None:
        async with Site(node) as site:
            await site.client.apply(NAMESPACES, {"metadata": {"name": prod}}, options=BY_HAND)
            await site.make(prod, pods.asking(prod, CLIENT), pods.answering(prod, "north-1", {"app": "shop"}))

    token = isthmus(hub, "token", "create", f"--set={SET}", "--cluster=north").strip()
    isthmus(node, "join", token, "--name=north", "--dns")
    asyncio.run(furnish())
    yield node
    isthmus(node, "leave", "--yes")
    node_clusters.give_back("north")


@pytest.fixture
async def north(third: NodeCluster) -> AsyncIterator[Site]:
    """The third cluster."""
    async with Site(third) as site:
        yield site


async def zone_of(site: Site) -> str:
    node = await site.client.get(NODES, site.node.node)
    return node.metadata.labels["topology.kubernetes.io/zone"]


async def on_two_nodes(east: Site, namespace: str, name: str, **fields: object) -> None:
    """Offer and export a Service of east whose second pod is on another node of the same zone."""
    await east.offer(namespace, name, selector=None, **fields)
    await back(east, namespace, name, {"east-1": east.node.node, "east-2": "east-other"})
    await east.export(namespace, name)


async def back(east: Site, namespace: str, name: str, nodes: dict[str, str]) -> None:
    """Say which pods are behind it, and on which nodes they are."""
    zone = await zone_of(east)
    for index, family in enumerate(("IPv4", "IPv6")):
        endpoints: list[Manifest] = [
            {
                "addresses": [(await east.pod_addresses(namespace, pod))[index]],
                "conditions": {"ready": True},
                "nodeName": node,
                "zone": zone,
            }
            for pod, node in nodes.items()
        ]
        manifest = {
            "metadata": {"name": f"{name}-{family.lower()}", "labels": {"kubernetes.io/service-name": name}},
            "addressType": family,
            "endpoints": endpoints,
            "ports": [
                {"name": "http", "port": pods.PORT, "protocol": "TCP"},
                {"name": "echo", "port": pods.PORT, "protocol": "UDP"},
            ],
        }
        await east.client.apply(ENDPOINT_SLICES, manifest, namespace=namespace, options=BY_HAND)


# Who answers a client in east: with a pod on its node, and without.
NEAR, REST_OF_ZONE = {"east-1"}, {"east-2"} | NORTH


@pytest.mark.requirement("MCS-40", "MCS-41", "MCS-73")
@pytest.mark.parametrize(
    ("policy", "wanted", "without"),
    [
        pytest.param({}, EVERYBODY, EVERYBODY - NEAR, id="none: everybody"),
        pytest.param({"trafficDistribution": "PreferClose"}, EAST | NORTH, REST_OF_ZONE, id="PreferClose: the zone"),
        pytest.param(
            {"trafficDistribution": "PreferSameZone"}, EAST | NORTH, REST_OF_ZONE, id="PreferSameZone: the zone"
        ),
        pytest.param(
            {"trafficDistribution": "PreferSameNode"}, NEAR, REST_OF_ZONE, id="PreferSameNode: the node, then the zone"
        ),
        pytest.param({"internalTrafficPolicy": "Local"}, NEAR, {NOBODY}, id="Local: the node, then nobody"),
        pytest.param({"internalTrafficPolicy": "Cluster"}, EVERYBODY, EVERYBODY - NEAR, id="Cluster: everybody"),
    ],
)
async def test_each_policy_leads_to_others(
    east: Site, west: Site, north: Site, prod: str, policy: dict[str, str], wanted: set[str], without: set[str]
) -> None:
    assert await zone_of(east) == await zone_of(north) != await zone_of(west)
    name = f"zones-{'-'.join(policy.values()).lower() or 'none'}"
    await on_two_nodes(east, prod, name, **policy)
    await export(prod, name, west, north, **policy)
    address, _ = await addresses(east, prod, name)
    await east.wait_answers(prod, address, 80, wanted)
    assert set(await east.ask(prod, address, 80, times=MANY)) == wanted
    await back(east, prod, name, {"east-2": "east-other"})
    await east.wait_answers(prod, address, 80, without)


def freeze(node: NodeCluster) -> None:
    node.freeze_all()


def thaw(node: NodeCluster) -> None:
    node.freeze_all(frozen=False)


@pytest.mark.requirement("MCS-33", "MCS-70", "MCS-76")
@pytest.mark.parametrize(
    ("harm", "heal"),
    [pytest.param(freeze, thaw, id="frozen"), pytest.param(NodeCluster.stop, NodeCluster.start, id="killed")],
)
async def test_a_whole_node_that_goes_costs_no_more_than_its_own_pods(
    east: Site,
    west: Site,
    north: Site,
    prod: str,
    harm: Callable[[NodeCluster], None],
    heal: Callable[[NodeCluster], None],
) -> None:
    name, sites = f"without-{harm.__name__}", (east, west, north)
    host = f"{name}.{prod}.svc.{ZONE}"
    await export(prod, name, *sites)
    for site in sites:
        await site.wait_answers(prod, host, 80, EVERYBODY)
    before = [(await site.service_import(prod, name)).spec for site in sites]
    async with Steady(east, prod, host, limit=2) as near, Steady(west, prod, host, limit=2) as far:
        harm(north.node)
        began = time.time()
        try:
            await together(near.wait_requests(WHILE_AWAY), far.wait_requests(WHILE_AWAY))
        finally:
            until = time.time()
            heal(north.node)
        for load in (near, far):
            during = [each for each in await load.requests(since=began) if each.ended < until]
            assert {each.who for each in during} - {NOBODY} == EAST | WEST
    for site in sites:
        await site.wait_answers(prod, host, 80, EVERYBODY, within=BACK_WITHIN)
        await site.wait_condition(prod, name, "Ready", "True/Exported")
    assert [(await site.service_import(prod, name)).spec for site in sites] == before
