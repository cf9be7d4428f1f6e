"""The clusters themselves: nodes, pods, names, and parts that are killed."""

import time
from collections.abc import Callable, Iterator

import pytest

from isthmus.kube.logs import LogOptions, logs
from isthmus.testing.waiting import eventually
from tests.nodes import pods
from tests.nodes.site import CLIENT, NOBODY, Site
from tests.real.nodes import NodeCluster, NodeClusters, problem


def test_both_nodes_are_ready(east: Site, west: Site) -> None:
    assert east.node.is_ready()
    assert west.node.is_ready()


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
async def test_a_pod_reaches_a_pod_of_the_other_cluster(east: Site, west: Site, shop: str, family: int) -> None:
    for here, there in ((east, west), (west, east)):
        backend = f"{there.name}-1"
        address = (await there.pod_addresses(shop, backend))[family]
        assert await here.ask(shop, address, pods.PORT) == {backend: 1}
        assert await here.ask(shop, address, pods.PORT, udp=True) == {backend: 1}


async def test_a_service_has_a_name_and_answers(east: Site, shop: str) -> None:
    made = await east.offer(shop, "local")
    name = f"local.{shop}.svc.cluster.local"
    assert await east.look_up(shop, name) == {made["spec"]["clusterIPs"][0]}
    assert await east.look_up(shop, name, "AAAA") == {made["spec"]["clusterIPs"][1]}
    for host in ("local", name, *made["spec"]["clusterIPs"]):
        await east.wait_answers(shop, host, 80, {"east-1", "east-2"})
    await east.wait_answers(shop, name, 81, {"east-1", "east-2"}, udp=True)


async def test_there_is_no_name_of_the_outside(east: Site, shop: str) -> None:
    assert await east.look_up(shop, "example.com") == set()


async def test_a_command_in_a_pod_has_output_and_exit_code(east: Site, shop: str) -> None:
    assert await east.run(shop, CLIENT, "sh", "-c", "echo hello; echo lost >&2; exit 7") == (7, "hello\n")


async def test_what_a_pod_wrote_is_read_from_its_log(east: Site, shop: str) -> None:
    await east.make(shop, pods.pod(shop, "writer", ["sh", "-c", "echo written; sleep 1000"], {}))

    async def written() -> bytes:
        return b"".join([piece async for piece in logs(east.client, "writer", namespace=shop, options=LogOptions())])

    await eventually(written, what="a log")
    assert await written() == b"written\n"


@pytest.mark.parametrize("part", ["kubelet", "kube-apiserver", "containerd", "kube-proxy"])
async def test_a_part_that_is_killed_comes_back(west: Site, part: str) -> None:
    before = west.node.process_of(part)
    west.node.kill(part)

    def back() -> bool:
        try:
            return west.node.process_of(part) != before and west.node.is_ready()
        except LookupError:
            return False

    within(30.0, back, f"{part} runs again")


async def test_a_frozen_api_server_answers_nobody_until_it_goes_on(west: Site) -> None:
    west.node.freeze("kube-apiserver")
    try:
        assert not west.node.server.is_ready()
    finally:
        west.node.freeze("kube-apiserver", frozen=False)
    within(30.0, west.node.server.is_ready, "the API server goes on")


async def test_a_node_whose_cable_is_pulled_is_out_of_reach_until_it_is_back(east: Site, west: Site, shop: str) -> None:
    address = (await west.pod_addresses(shop, "west-1"))[1]
    west.node.cut()
    try:
        assert await east.ask(shop, address, pods.PORT) == {NOBODY: 1}
        assert not west.node.server.is_ready()
    finally:
        west.node.cut(cut=False)
    within(30.0, west.node.server.is_ready, "the API server is reached again")

    async def answered() -> bool:
        return await east.ask(shop, address, pods.PORT) == {"west-1": 1}

    await eventually(answered, what="the pod is reached again")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[NodeCluster, NodeCluster]]:
    """Two clusters of our own, with the same ranges: none of the others is disturbed."""
    if reason := problem():
        pytest.skip(reason)
    with NodeClusters() as clusters:
        yield clusters.overlapping()


async def test_clusters_with_the_same_ranges_live_side_by_side_without_a_way_between_pods(
    pair: tuple[NodeCluster, NodeCluster],
) -> None:
    assert pair[0].pod_ranges == pair[1].pod_ranges
    assert pair[0].service_ranges == pair[1].service_ranges
    async with Site(pair[0]) as left, Site(pair[1]) as right:
        for site in (left, right):
            await site.make("default", pods.asking("default", CLIENT), pods.answering("default", f"{site.name}-1", {}))
        for address in await left.pod_addresses("default", "left-1"):
            assert await left.ask("default", address, pods.PORT) == {"left-1": 1}
            assert set(await right.ask("default", address, pods.PORT)) <= {"right-1", NOBODY}
        # Gateways will meet at the nodes' addresses.
        code, _ = await left.run("default", CLIENT, "nc", "-z", "-w", "3", right.node.node_ip[0], "6443")
        assert code == 0


async def test_a_node_whose_plug_was_pulled_goes_on_with_what_it_had(pair: tuple[NodeCluster, NodeCluster]) -> None:
    async with Site(pair[0]) as site:
        await site.make("default", pods.answering("default", "steady", {}))
    pair[0].stop()
    assert not pair[0].server.is_ready()
    pair[0].start()
    async with Site(pair[0]) as site:

        async def running_again() -> bool:
            code, _ = await site.run("default", "steady", "true")
            return code == 0

        await eventually(running_again, within=60.0, what="the pod runs again")


def within(seconds: float, true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
