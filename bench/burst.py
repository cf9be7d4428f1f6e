"""Many services exported at once: exports per second until the last import is Ready, beside the raw writes.

Raw is a plain client that writes the same objects to the same real control planes, as often as any design must and
with no need to look first: per export the ServiceExport and its status in east, one ExportedService on the hub, and
in each of the two members the ServiceImport, its Service and EndpointSlice, the ServiceImport with the Service's
address, and its status: 13 writes, so many at a time that more would not be faster.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import uvloop

from bench.floor import (
    EXPORT,
    EXPORTED,
    FLOOR_EXPORT,
    FLOOR_IMPORT,
    SERVICE,
    SLICE,
    Imported,
    Made,
    copies,
    prepare,
)
from bench.real import NAMESPACE, RealSet, follow, is_ready, real_set, side_by_side
from bench.result import Result
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS, ServiceExport, ServiceImport
from isthmus.api.scheme import Manifest, Resource
from isthmus.kube.client import Client
from isthmus.testing import objects

GOAL = 0.5
SERVICES = 500
WARM_UP = 20
ROUNDS = 2
# Seconds.
SETTLE = 3.0
LIMIT = 180.0


@dataclass(frozen=True)
class Round:
    """Exports per second in one round, by Isthmus and by hand."""

    ours: float
    raw: float


def run() -> Iterator[Result]:
    """The figures."""
    rounds = uvloop.run(_measured())
    yield Result(f"{SERVICES} exports at once: Isthmus", statistics.median(each.ours for each in rounds), "per second")
    yield Result(
        f"{SERVICES} exports at once: raw writes", statistics.median(each.raw for each in rounds), "per second"
    )
    ratio = statistics.median(each.ours / each.raw for each in rounds)
    yield Result("exports per second beside the raw writes", ratio, "times", GOAL, at_least=True)


async def _measured() -> list[Round]:
    async with real_set() as fleet:
        await prepare(fleet)
        await _round(fleet, [f"warm-{number}" for number in range(WARM_UP)])
        return [await _round(fleet, [f"shop-{each}-{number}" for number in range(SERVICES)]) for each in range(ROUNDS)]


async def _round(fleet: RealSet, names: Sequence[str]) -> Round:
    await side_by_side(names, lambda name: _serve(fleet.east, name))
    await asyncio.sleep(SETTLE)
    ours = len(names) / await _export(fleet, names)
    await asyncio.sleep(SETTLE)
    made = await copies(fleet)
    raw = len(names) / await _write(fleet, [made[name] for name in names])
    await asyncio.sleep(SETTLE)
    return Round(ours, raw)


async def _serve(east: Client, name: str) -> None:
    await east.create(SERVICE, objects.service(NAMESPACE, name))
    await east.create(SLICE, objects.endpoints(NAMESPACE, name, ["10.77.0.1"]))


async def _export(fleet: RealSet, names: Sequence[str]) -> float:
    """Seconds from the first ServiceExport until all imports are Ready in both members.

    Returns when the exports say so too, and there is nothing left to do.
    """
    east, west, exports = Ready(names), Ready(names), Ready(names)
    async with asyncio.TaskGroup() as tasks:
        following = [
            tasks.create_task(follow(fleet.east, SERVICE_IMPORTS, NAMESPACE, east.told)),
            tasks.create_task(follow(fleet.west, SERVICE_IMPORTS, NAMESPACE, west.told)),
            tasks.create_task(follow(fleet.east, SERVICE_EXPORTS, NAMESPACE, exports.told)),
        ]
        began = time.monotonic()
        await side_by_side(names, lambda name: fleet.east.create(EXPORT, objects.service_export(NAMESPACE, name)))
        for each in (east, west, exports):
            await asyncio.wait_for(each.all.wait(), LIMIT)
        for task in following:
            task.cancel()
    return max(east.last, west.last) - began


class Ready:
    """Follows imports, or exports, until all of these names are Ready."""

    def __init__(self, names: Sequence[str]) -> None:
        self._missing = set(names)
        self.all = asyncio.Event()
        self.last = 0.0

    async def told(self, _: str, item: ServiceImport | ServiceExport) -> None:
        """Take in one event of the watch."""
        if item.metadata.name in self._missing and is_ready(item):
            self._missing.remove(item.metadata.name)
            self.last = time.monotonic()
            if not self._missing:
                self.all.set()


async def _write(fleet: RealSet, made: Sequence[Made]) -> float:
    """Seconds for the raw writes."""
    began = time.monotonic()
    await asyncio.gather(
        side_by_side(made, lambda each: _write_export(fleet.east, each.export)),
        side_by_side(made, lambda each: fleet.hub.create(EXPORTED, each.exported)),
        side_by_side(made, lambda each: _write_import(fleet.east, each.imported["east"])),
        side_by_side(made, lambda each: _write_import(fleet.west, each.imported["west"])),
    )
    return time.monotonic() - began


async def _write_export(client: Client, export: Manifest) -> None:
    written = await client.create(FLOOR_EXPORT, {key: export[key] for key in export if key != "status"})
    await _update(client, FLOOR_EXPORT, export, written, subresource="status")


async def _write_import(client: Client, copy: Imported) -> None:
    wanted = copy.service_import
    first = {key: wanted[key] for key in wanted if key != "status"}
    written = await client.create(FLOOR_IMPORT, first | {"spec": wanted["spec"] | {"ips": []}})
    await asyncio.gather(*(client.create(kind, item) for kind, item in copy.owned_by(written)))
    written = await _update(client, FLOOR_IMPORT, first, written)
    await _update(client, FLOOR_IMPORT, wanted, written, subresource="status")


async def _update(
    client: Client, kind: Resource[Manifest], wanted: Manifest, seen: Manifest, *, subresource: str = ""
) -> Manifest:
    version = {"resourceVersion": seen["metadata"]["resourceVersion"]}
    manifest = wanted | {"metadata": wanted["metadata"] | version}
    return await client.update(kind, manifest, subresource=subresource)
