"""How long a change takes from one cluster to another, beside the writes and watches that any design needs.

Measured on real control planes, one event at a time, each beside the same event on the floor: a watch in east, one
write to the hub, a watch there, the writes to west (for an export the ServiceImport, which must be there before what
it owns, then Service and EndpointSlice side by side; for endpoints the EndpointSlice), and a watch in west.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass

import uvloop

from bench.figures import beside_floor
from bench.floor import (
    EXPORT,
    EXPORTED,
    FLOOR_EXPORT,
    FLOOR_IMPORT,
    FLOOR_NAMESPACE,
    SERVICE,
    SLICE,
    Made,
    copies,
    prepare,
)
from bench.real import NAMESPACE, RealSet, follow, real_set, wait_ready
from bench.result import Result
from isthmus.api.scheme import Manifest
from isthmus.kube.watch import ADDED, MODIFIED
from isthmus.testing import objects

GOAL = 3.0
WARM_UP = 8
EVENTS = 60
# Seconds. What follows an event (conditions, the Member's status) is over before the next begins.
PAUSE = 0.4
LIMIT = 30.0


@dataclass(frozen=True)
class Event:
    """One event's seconds: as Isthmus carries it, and by the raw writes and watches alone."""

    ours: float
    floor: float


def run() -> Iterator[Result]:
    """The figures for a new export, then those for a changed endpoint."""
    exports, changes = uvloop.run(_measured())
    for what, events in (("new export to slice elsewhere", exports), ("endpoint to slice elsewhere", changes)):
        yield from beside_floor(what, [each.ours for each in events], [each.floor for each in events], GOAL)


async def _measured() -> tuple[list[Event], list[Event]]:
    exports: list[Event] = []
    changes: list[Event] = []
    async with real_set() as fleet, asyncio.TaskGroup() as tasks:
        await prepare(fleet)
        pair = Pair(fleet, Arrivals(), Arrivals(), Road(fleet))
        following = [tasks.create_task(each) for each in pair.watches()]
        for number in range(WARM_UP + EVENTS):
            exports.append(await pair.export(number))
            changes.append(await pair.change(number))
        for task in following:
            task.cancel()
    return exports[WARM_UP:], changes[WARM_UP:]


class Arrivals:
    """When a watch first showed an EndpointSlice with some address."""

    def __init__(self) -> None:
        self._awaited: dict[str, asyncio.Future[float]] = {}

    async def told(self, _: str, item: Manifest) -> None:
        """Take in one event of the watch."""
        now = time.monotonic()
        for endpoint in item["endpoints"] or ():
            awaited = self._awaited.pop(endpoint["addresses"][0], None)
            if awaited is not None:
                awaited.set_result(now)

    async def after(self, write: Coroutine[object, object, Manifest], address: str) -> float:
        """Make a write; the seconds from then until the address was seen. Raises TimeoutError after LIMIT."""
        awaited = self._awaited[address] = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        await write
        seen: float = await asyncio.wait_for(awaited, LIMIT)
        await asyncio.sleep(PAUSE)
        return seen - began


class Road:
    """The floor: three watches, and nothing but the writes that they call for."""

    def __init__(self, fleet: RealSet) -> None:
        self._fleet = fleet
        self.made: dict[str, Made] = {}
        # As the servers answered: an update names the version it replaces.
        self._exported: dict[str, Manifest] = {}
        self._slices: dict[str, Manifest] = {}

    def watches(self) -> Iterator[Coroutine[object, object, None]]:
        """The three, to be run."""
        yield follow(self._fleet.east, FLOOR_EXPORT, FLOOR_NAMESPACE, self._on_export)
        yield follow(self._fleet.east, SLICE, FLOOR_NAMESPACE, self._on_endpoints)
        yield follow(self._fleet.hub, EXPORTED, FLOOR_NAMESPACE, self._on_exported)

    async def _on_export(self, _: str, export: Manifest) -> None:
        name = export["metadata"]["name"]
        self._exported[name] = await self._fleet.hub.create(EXPORTED, self.made[name].exported)

    async def _on_endpoints(self, kind: str, changed: Manifest) -> None:
        if kind == MODIFIED:
            wanted = self._exported[changed["metadata"]["labels"]["kubernetes.io/service-name"]]
            endpoints = [{"addresses": each["addresses"], "ready": True} for each in changed["endpoints"]]
            wanted["spec"]["slices"][0]["endpoints"] = endpoints
            await self._fleet.hub.update(EXPORTED, wanted)

    async def _on_exported(self, kind: str, exported: Manifest) -> None:
        name, west = exported["spec"]["name"], self._fleet.west
        if kind == ADDED:
            copy = self.made[name].imported["west"]
            owner = await west.create(FLOOR_IMPORT, copy.service_import)
            written = await asyncio.gather(*(west.create(kind, item) for kind, item in copy.owned_by(owner)))
            self._slices[name] = next(each for each in written if "endpoints" in each)
        else:
            endpoints = exported["spec"]["slices"][0]["endpoints"]
            wanted = [{"addresses": each["addresses"], "conditions": {"ready": True}} for each in endpoints]
            await west.update(SLICE, self._slices[name] | {"endpoints": wanted})


@dataclass
class Pair:
    """Isthmus and the floor, given the same events one after the other."""

    fleet: RealSet
    ours: Arrivals
    floor: Arrivals
    road: Road

    def watches(self) -> Iterator[Coroutine[object, object, None]]:
        """All that must run beside."""
        yield from self.road.watches()
        yield follow(self.fleet.west, SLICE, NAMESPACE, self.ours.told)
        yield follow(self.fleet.west, SLICE, FLOOR_NAMESPACE, self.floor.told)

    async def export(self, number: int) -> Event:
        """Export a Service that is there with its endpoints."""
        name, address = f"shop-{number}", f"10.77.{number}.1"
        east = self.fleet.east
        await east.create(SERVICE, objects.service(NAMESPACE, name))
        for namespace in (NAMESPACE, FLOOR_NAMESPACE):
            await east.create(SLICE, objects.endpoints(namespace, name, [address]))
        await asyncio.sleep(PAUSE)
        ours = await self.ours.after(east.create(EXPORT, objects.service_export(NAMESPACE, name)), address)
        await asyncio.gather(*(wait_ready(member, name) for member in (east, self.fleet.west)))
        self.road.made = await copies(self.fleet)
        write = east.create(FLOOR_EXPORT, self.road.made[name].export)
        return Event(ours, await self.floor.after(write, address))

    async def change(self, number: int) -> Event:
        """Give that Service another endpoint."""
        piece = objects.endpoints(NAMESPACE, f"shop-{number}", [f"10.77.{number}.2"])
        address, change = f"10.77.{number}.2", {"endpoints": piece["endpoints"]}

        def write(namespace: str) -> Coroutine[object, object, Manifest]:
            return self.fleet.east.merge_patch(SLICE, piece["metadata"]["name"], change, namespace=namespace)

        ours = await self.ours.after(write(NAMESPACE), address)
        return Event(ours, await self.floor.after(write(FLOOR_NAMESPACE), address))
