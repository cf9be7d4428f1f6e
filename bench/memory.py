"""What one agent holds: its memory when idle and with 1,000 imports, what a cached slice weighs, how fast 10,000 come.

Memory is proportional (PSS). The slices are read by an informer as the agent has it, in a process of its own, from a
real API server; beside it the time that the bare bytes of the same list take.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import uvloop

from bench.floor import EXPORT, SERVICE, SLICE
from bench.processes import pss
from bench.real import NAMESPACE, RealSet, client_of, make_namespace, real_set, side_by_side
from bench.result import Result
from isthmus.api.core import ENDPOINT_SLICES
from isthmus.api.mcs import SERVICE_IMPORTS
from isthmus.api.scheme import Manifest
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.informer import Informer
from isthmus.testing import objects
from isthmus.testing.waiting import eventually
from tests.real.controlplane import running

IDLE_GOAL = 40.0
SLICE_GOAL = 2.7
SYNC_GOAL = 0.5
IMPORTS, ENDPOINTS = 1000, 10
SLICES = 10_000
# Seconds.
SETTLE = 10.0
LIMIT = 180.0


def run() -> Iterator[Result]:
    """The figures."""
    idle, full = uvloop.run(_of_agents())
    yield Result("memory of an agent that is idle", idle, "MiB", IDLE_GOAL)
    yield Result(f"memory of an agent with {IMPORTS} imports of {ENDPOINTS} endpoints", full, "MiB")
    seconds, floor, kilobytes = _of_slices()
    yield Result(f"cold sync of {SLICES} slices: Isthmus", seconds, "s", SYNC_GOAL)
    yield Result(f"cold sync of {SLICES} slices: the bare bytes", floor, "s")
    yield Result("memory per cached slice of 1.2 KB", kilobytes, "KB", SLICE_GOAL)


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


def _of_slices() -> tuple[float, float, float]:
    """Seconds until all slices are there, for us and as bytes, and KB for each."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as plane:

        async def fill() -> None:
            async with client_of(plane) as client:
                await make_namespace(client, NAMESPACE)
                await side_by_side(range(SLICES), lambda number: client.create(SLICE, _slice(number)))

        uvloop.run(fill())
        command = [sys.executable, "-m", "bench.memory", str(plane.kubeconfig)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(told.stdout)
        return found["seconds"], found["floor"], found["kilobytes"]


def _slice(number: int) -> Manifest:
    """1.2 KB, as of a Deployment's Service: two endpoints with all that Kubernetes says of them."""
    name = f"shop-{number}"
    piece = objects.endpoints(NAMESPACE, name, [f"10.77.{number % 250}.{each}" for each in (1, 2)])
    for index, endpoint in enumerate(piece["endpoints"]):
        pod = f"{name}-7d4b9c6f5d-{number:05}{index}"
        endpoint |= {
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"node-{number % 20}",
            "zone": f"zone-{number % 3}",
            "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": pod, "uid": str(uuid.uuid4())},
        }
    return piece


async def _read(kubeconfig: Path) -> dict[str, float]:
    """Read all slices, once as bytes, then into a store."""
    async with Client(load_kubeconfig([kubeconfig])) as client:
        path = ENDPOINT_SLICES.path(namespace=NAMESPACE)
        began = time.monotonic()
        await client.raw("GET", path)
        floor = time.monotonic() - began
        before = pss("self")
        informer = Informer(client, ENDPOINT_SLICES, namespace=NAMESPACE)
        async with asyncio.TaskGroup() as tasks:
            began = time.monotonic()
            following = tasks.create_task(informer.run())
            await informer.wait_synced()
            seconds = time.monotonic() - began
            await asyncio.sleep(1)
            kilobytes = (pss("self") - before) * 1024**2 / 1000 / len(informer.store)
            following.cancel()
        return {"floor": floor, "seconds": seconds, "kilobytes": kilobytes}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(_read(Path(sys.argv[1])))))
