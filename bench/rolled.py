"""Deployments rolled: 50 services of 100 endpoints change a tenth of them, ten times each, all at once.

Each service's next change is made when the last one is in the other cluster. What it costs the hub is counted by its
API server: one write per change, and two where the endpoints do not fit into one object.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence

import uvloop

from bench.floor import EXPORT, SERVICE, SLICE
from bench.real import NAMESPACE, RealSet, follow, real_set, side_by_side, wait_ready
from bench.result import Result
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.kube.client import Client
from isthmus.testing import objects

SERVICES, ROLLS = 50, 10
LARGE, LARGE_SLICES = 10, 3
ENDPOINTS, STEP = 100, 10
# Seconds.
SETTLE = 3.0
LIMIT = 60.0
# Writes to the hub per change.
ONE, TWO = 1.0, 2.0
_WRITES = re.compile(
    r'^apiserver_request_total\{.*resource="exported(?:services|endpoints)".*verb="(?!GET|LIST|WATCH)\w+".*\} (\S+)$',
    re.MULTILINE,
)


def run() -> Iterator[Result]:
    """The figures."""
    seconds, writes, large = uvloop.run(_measured())
    changes = SERVICES * ROLLS
    what = f"{SERVICES} services of {ENDPOINTS} endpoints rolled"
    yield Result(f"{what}: slices changed elsewhere", changes / seconds, "per second")
    yield Result(f"{what}: hub writes per change", writes / changes, "writes", ONE)
    what = f"{LARGE} services of {ENDPOINTS * LARGE_SLICES} endpoints rolled"
    yield Result(f"{what}: hub writes per change", large / (LARGE * ROLLS), "writes", TWO)


async def _measured() -> tuple[float, float, float]:
    async with real_set() as fleet, asyncio.TaskGroup() as tasks:
        arrivals = _Arrivals()
        following = tasks.create_task(follow(fleet.west, SLICE, NAMESPACE, arrivals.told))
        usual = [f"shop-{number}" for number in range(SERVICES)]
        large = [f"large-{number}" for number in range(LARGE)]
        await side_by_side(usual, lambda name: _export(fleet, name, 1))
        await side_by_side(large, lambda name: _export(fleet, name, LARGE_SLICES))
        await asyncio.sleep(SETTLE)
        before = await _written(fleet.hub)
        began = time.monotonic()
        await asyncio.gather(*(_roll(fleet.east, name, arrivals) for name in usual))
        seconds = time.monotonic() - began
        await asyncio.sleep(SETTLE)
        between = await _written(fleet.hub)
        await asyncio.gather(*(_roll(fleet.east, name, arrivals) for name in large))
        await asyncio.sleep(SETTLE)
        after = await _written(fleet.hub)
        following.cancel()
    return seconds, between - before, after - between


class _Arrivals:
    """When the other cluster has an endpoint that it did not have."""

    def __init__(self) -> None:
        self._awaited: dict[tuple[str, str], asyncio.Event] = {}

    async def told(self, _: str, item: Manifest) -> None:
        """Take in one event of the watch."""
        service = item["metadata"]["labels"].get("multicluster.kubernetes.io/service-name", "")
        for endpoint in item["endpoints"] or ():
            awaited = self._awaited.pop((service, endpoint["addresses"][0]), None)
            if awaited is not None:
                awaited.set()

    async def of(self, service: str, address: str) -> None:
        """Return when it is there. Raises TimeoutError."""
        arrived = self._awaited[service, address] = asyncio.Event()
        await asyncio.wait_for(arrived.wait(), LIMIT)


def _endpoints(name: str, roll: int, index: int) -> Manifest:
    """One slice after so many rolls: each replaces the STEP oldest endpoints."""
    numbers = range(roll * STEP, roll * STEP + ENDPOINTS)
    return objects.endpoints(
        NAMESPACE, name, [f"10.{77 + index}.{each >> 8}.{each & 255}" for each in numbers], index=index
    )


async def _export(fleet: RealSet, name: str, slices: int) -> None:
    await fleet.east.create(SERVICE, objects.service(NAMESPACE, name))
    for index in range(slices):
        await fleet.east.create(SLICE, _endpoints(name, 0, index))
    await fleet.east.create(EXPORT, objects.service_export(NAMESPACE, name))
    await wait_ready(fleet.west, name)


async def _roll(east: Client, name: str, arrivals: _Arrivals) -> None:
    for roll in range(1, ROLLS + 1):
        piece = _endpoints(name, roll, 0)
        newest = piece["endpoints"][-1]["addresses"][0]
        arrived = arrivals.of(name, newest)
        change = {"endpoints": piece["endpoints"]}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(arrived)
            await asyncio.sleep(0)
            await east.merge_patch(SLICE, piece["metadata"]["name"], change, namespace=NAMESPACE)


async def _written(hub: Client) -> float:
    """How often exports were written, by the API server's own count."""
    counted: Sequence[str] = _WRITES.findall((await hub.raw("GET", "/metrics")).decode())
    if not counted:
        raise Invalid("the hub's API server counts no writes of exports by that name")
    return sum(map(float, counted))
