"""What one agent holds: its memory when idle and with 1,000 imports, what a cached slice weighs, how fast 10,000 come.

Memory is proportional (PSS). The slices are read by an informer as the agent has it, indexes included, in a process of
its own, from a real API server; beside it, in turns, the time that the bare bytes of the same pages take. Two shapes
are weighed: as Kubernetes makes slices of pods, each endpoint with its conditions, node, zone, and its pod's name and
UID; and as an import's are, without what names another cluster's objects.
"""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import uvloop

from bench.floor import EXPORT, SERVICE, SLICE
from bench.processes import pss
from bench.real import NAMESPACE, RealSet, client_of, make_namespace, real_set, side_by_side
from bench.result import Result
from isthmus.api.core import ENDPOINT_SLICES, SERVICE_NAME_LABEL, EndpointSlice
from isthmus.api.mcs import SERVICE_IMPORTS, SOURCE_CLUSTER_LABEL
from isthmus.api.mcs import SERVICE_NAME_LABEL as IMPORT_NAME_LABEL
from isthmus.api.scheme import Manifest
from isthmus.kube.client import EVERYTHING, Client
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.informer import Informer
from isthmus.testing import objects
from isthmus.testing.waiting import eventually
from tests.real.controlplane import ControlPlane, running

IDLE_GOAL = 40.0
SLICE_GOAL = 2.7
SYNC_GOAL = 0.5
IMPORTS, ENDPOINTS = 1000, 10
SLICES, WEIGHED = 10_000, 3000
ROUNDS = 4
# Seconds.
SETTLE = 10.0
LIMIT = 180.0


def run() -> Iterator[Result]:
    """The figures."""
    idle, full = uvloop.run(_of_agents())
    yield Result("memory of an agent that is idle", idle, "MiB", IDLE_GOAL)
    yield Result(f"memory of an agent with {IMPORTS} imports of {ENDPOINTS} endpoints", full, "MiB")
    seconds, floor, weights = _of_slices()
    yield Result(f"cold sync of {SLICES} slices of 2 pods: Isthmus", seconds, "s", SYNC_GOAL)
    yield Result(f"cold sync of {SLICES} slices of 2 pods: the bare bytes", floor, "s")
    for shape, weight in weights.items():
        yield Result(f"memory per cached slice: {shape}", weight, "KB", SLICE_GOAL)


@dataclass(frozen=True)
class Shape:
    """So many slices in a namespace, each with so many endpoints, which are pods here or those of an import."""

    namespace: str
    count: int
    endpoints: int
    pods: bool

    @property
    def what(self) -> str:
        """In words."""
        return f"{self.endpoints} {'pods' if self.pods else 'endpoints of an import'}"


SHAPES = (
    Shape("small", SLICES, 2, pods=True),
    Shape("imported", WEIGHED, ENDPOINTS, pods=False),
    Shape("pods", WEIGHED, ENDPOINTS, pods=True),
)


async def _of_agents() -> tuple[float, float]:
    """MiB of west's agent before and after east exports."""
    async with real_set() as fleet:
        await asyncio.sleep(SETTLE)
        idle = pss(fleet.pids["west"])
        await side_by_side([f"shop-{number}" for number in range(IMPORTS)], lambda name: _export(fleet.east, name))
        await eventually(lambda: _all_imported(fleet), within=LIMIT, what="all is imported")
        await asyncio.sleep(SETTLE)
        return idle, pss(fleet.pids["west"])


async def _export(east: Client, name: str) -> None:
    number = int(name.rpartition("-")[2])
    addresses = [f"10.{77 + number // 250}.{number % 250}.{each}" for each in range(1, ENDPOINTS + 1)]
    await east.create(SERVICE, objects.service(NAMESPACE, name))
    await east.create(SLICE, objects.endpoints(NAMESPACE, name, addresses))
    await east.create(EXPORT, objects.service_export(NAMESPACE, name))


async def _all_imported(fleet: RealSet) -> bool:
    # Often looked at, so many imports would cost what is measured.
    await asyncio.sleep(1)
    imports = await fleet.west.list(SERVICE_IMPORTS, namespace=NAMESPACE)
    return len(imports.items) == IMPORTS


def _of_slices() -> tuple[float, float, dict[str, float]]:
    """Seconds until all slices are there, for us and as bytes, and KB for each slice by its shape."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as plane:
        found = [_filled_and_read(plane, shape) for shape in SHAPES]
        weights = {shape.what: each["kilobytes"] for shape, each in zip(SHAPES, found, strict=True)}
        return found[0]["seconds"], found[0]["floor"], weights


def _filled_and_read(plane: ControlPlane, shape: Shape) -> dict[str, float]:
    async def fill() -> None:
        async with client_of(plane) as client:
            await make_namespace(client, shape.namespace)
            await side_by_side(range(shape.count), partial(_create, client, shape))

    uvloop.run(fill())
    command = [sys.executable, "-m", "bench.memory", str(plane.kubeconfig), shape.namespace]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(told.stdout)
    return found


async def _create(client: Client, shape: Shape, number: int) -> None:
    await client.create(SLICE, _slice(shape, number))


def _slice(shape: Shape, number: int) -> Manifest:
    """A slice of its own Service, with all that Kubernetes, or we, say of it."""
    name = f"shop-{number}"
    addresses = [f"10.{77 + number // 250}.{number % 250}.{each}" for each in range(1, shape.endpoints + 1)]
    piece = objects.endpoints(shape.namespace, name, addresses)
    if not shape.pods:
        piece["metadata"]["labels"] |= {IMPORT_NAME_LABEL: name, SOURCE_CLUSTER_LABEL: "east"}
        owner = {"apiVersion": SERVICE_IMPORTS.api_version, "kind": SERVICE_IMPORTS.kind, "name": name}
        piece["metadata"]["ownerReferences"] = [owner | {"uid": str(uuid.uuid4())}]
    for index, endpoint in enumerate(piece["endpoints"]):
        endpoint["zone"] = f"zone-{index % 3}"
        if shape.pods:
            pod = f"{name}-7d4b9c6f5d-{number:05}{index}"
            endpoint |= {
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{(number + index) % 20}",
                "targetRef": {"kind": "Pod", "namespace": shape.namespace, "name": pod, "uid": str(uuid.uuid4())},
            }
    return piece


def _found_by(label: str) -> Callable[[EndpointSlice], list[str]]:
    """As the agent finds slices: by the Service they back, and by the import they are of."""

    def keys(item: EndpointSlice) -> list[str]:
        name = item.metadata.labels.get(label)
        return [f"{item.metadata.namespace}/{name}"] if name else []

    return keys


async def _read(kubeconfig: Path, namespace: str) -> dict[str, float]:
    """Read all slices, as bytes and into a store in turns; each store stays, and the later ones are weighed."""
    async with Client(load_kubeconfig([kubeconfig])) as client:
        floors, seconds, memory = list[float](), list[float](), list[float]()
        indexes = {label: _found_by(label) for label in (SERVICE_NAME_LABEL, IMPORT_NAME_LABEL)}
        informers = [Informer(client, ENDPOINT_SLICES, namespace=namespace, indexes=indexes) for _ in range(ROUNDS)]
        for informer in informers:
            informer.subscribe(lambda _: None)
            floors.append(await _bytes(client, namespace))
            seconds.append(await _synced(informer))
            memory.append(pss("self"))
        count = sum(len(informer.store) for informer in informers[1:])
        kilobytes = (memory[-1] - memory[0]) * 1024**2 / 1000 / count
        return {"floor": median(floors), "seconds": median(seconds), "kilobytes": kilobytes}


async def _synced(informer: Informer[EndpointSlice]) -> float:
    """Seconds until an informer that just began holds all."""
    async with asyncio.TaskGroup() as tasks:
        began = time.monotonic()
        following = tasks.create_task(informer.run())
        await informer.wait_synced()
        seconds = time.monotonic() - began
        following.cancel()
    return seconds


async def _bytes(client: Client, namespace: str) -> float:
    """Seconds for the bytes of the same pages."""
    began = time.monotonic()
    token: bytes | None = b""
    while token is not None:
        query = {"limit": str(EVERYTHING.limit)} | ({"continue": token.decode()} if token else {})
        page = await client.raw("GET", ENDPOINT_SLICES.path(namespace=namespace), query=query)
        found = re.search(rb'"continue":"([^"]+)"', page[:1000])
        token = found and found[1]
    return time.monotonic() - began


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(_read(Path(sys.argv[1]), sys.argv[2]))))
