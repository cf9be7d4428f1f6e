"""A name under clusterset.local beside one under cluster.local, looked up by a stock resolver in a pod of one cluster;
and what the pods of Isthmus take of its node's memory.

On clusters with nodes, where Isthmus runs as pods and the cluster's own CoreDNS hands the zone over. The names are as
applications write them: the pod's search list is gone through first, for both alike, turn by turn.
"""

import asyncio
import json
import secrets
from collections.abc import Iterator, Sequence

from bench.figures import beside_floor
from bench.result import Result
from isthmus.api.core import NAMESPACES
from isthmus.api.mcs import ZONE
from isthmus.errors import Invalid
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.waiting import eventually
from tests.nodes import pods
from tests.nodes.installed import install
from tests.nodes.site import CLIENT, Site
from tests.nodes.test_footprint import MIB, resident
from tests.real.node import NodeCluster
from tests.real.nodes import problem, running

GOAL = 2.0
LOOKUPS = 500
SERVICE = "shop"
LOOKS_UP = """
import json, socket, sys, time
names, times = sys.argv[2:], int(sys.argv[1])
took = {name: [] for name in names}
for _ in range(times):
    for name in names:
        began = time.perf_counter()
        socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
        took[name].append(time.perf_counter() - began)
print(json.dumps([took[name] for name in names]))
"""


def run() -> Iterator[Result]:
    """The figures. Raises Invalid where this machine runs no clusters with nodes."""
    if reason := problem():
        raise Invalid(reason)
    with running() as clusters:
        nodes = clusters.get("east", "west")
        install(nodes)
        ours, theirs, memory = asyncio.run(_measured(nodes))
    yield from beside_floor("stock lookup in a pod", ours, theirs, GOAL, by="cluster.local")
    for process, taken in sorted(memory.items()):
        yield Result(f"resident memory of a pod: {process}, the largest", taken / MIB, "MiB")


async def _measured(nodes: Sequence[NodeCluster]) -> tuple[list[float], list[float], dict[str, int]]:
    namespace = f"bench-{secrets.token_hex(3)}"
    async with Site(nodes[0]) as east, Site(nodes[1]) as west:
        for site in (east, west):
            await site.client.apply(NAMESPACES, {"metadata": {"name": namespace}}, options=BY_HAND)
        try:
            await west.make(namespace, pods.asking(namespace, CLIENT))
            await west.offer(namespace, SERVICE)
            await east.offer(namespace, SERVICE)
            await east.export(namespace, SERVICE)
            names = [f"{SERVICE}.{namespace}.svc.{zone}" for zone in (ZONE, "cluster.local")]

            async def known() -> bool:
                return all([await west.look_up(namespace, name) for name in names])

            await eventually(known, what=f"{' and '.join(names)} are known")
            await _look_up(west, namespace, names, LOOKUPS // 10)
            ours, theirs = await _look_up(west, namespace, names, LOOKUPS)
            memory: dict[str, int] = {}
            for pod, (taken, _) in (await resident(west, namespace)).items():
                process = "-".join(pod.split("-")[:2])
                memory[process] = max(taken, memory.get(process, 0))
        finally:
            for site in (east, west):
                await site.client.delete(NAMESPACES, namespace)
        return ours, theirs, memory


async def _look_up(site: Site, namespace: str, names: Sequence[str], times: int) -> list[list[float]]:
    code, said = await site.run(namespace, CLIENT, "python3", "-c", LOOKS_UP, str(times), *names)
    if code:
        raise Invalid(f"a name was not found in {site.name}; see its logs")
    found: list[list[float]] = json.loads(said)
    return found
