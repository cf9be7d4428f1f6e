"""The same changes with a crowd: 100 importing agents, 1,000 other services on the hub.

One exporter on a real control plane, the hub on another one; the importers are real agents, each beside an embedded
API server of its own, in a few processes. The other services lie in namespaces that the importers do not have, which
is what most of a large set is to each of its clusters. Beside each change the floor: the same watches and writes by
plain clients, in the same processes against the same servers.
"""

import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.figures import beside_floor
from bench.floor import EXPORT, EXPORTED, FLOOR_EXPORT, FLOOR_NAMESPACE, SERVICE, SLICE, copied, define
from bench.importing import names
from bench.real import NAMESPACE, SET, client_of, follow, isthmus, make_namespace, side_by_side, wait_ready
from bench.result import Result
from isthmus.api.isthmus import CLUSTER_LABEL, NAMESPACE_LABEL
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, Unreachable
from isthmus.hub.bootstrap import NewMember, bootstrap_hub, bootstrap_member
from isthmus.kube.client import Client
from isthmus.testing import objects
from tests.real.build import binary
from tests.real.controlplane import running

GOAL = 3.0
IMPORTERS, PROCESSES = 100, 4
OTHERS, OTHER_NAMESPACES = 1000, 50
SERVICES = 5
# The third number of the addresses of what is exported later.
FRESH = 100
WARM_UP, CHANGES = 3, 20
EXPORT_WARM_UP, EXPORTS = 2, 10
# Seconds. What follows an event (conditions, status) is over before the next begins.
PAUSE = 0.5
EXPORT_PAUSE = 2.0
LIMIT = 300.0


def run() -> Iterator[Result]:
    """The figures. Raises Invalid where there is no control plane."""
    if not binary().exists():
        raise Invalid("there is no real control plane here. Type: make real")
    changes, exports = uvloop.run(_measured())
    for what, taken in (("new export", exports), ("endpoint", changes)):
        yield from beside_floor(f"{what} to slice in {IMPORTERS} clusters", taken.ours, taken.floor, GOAL, share=0.99)


@dataclass(frozen=True)
class Taken:
    """Seconds from each event until each importer had it: by Isthmus, and by raw watches and writes."""

    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)


async def _measured() -> tuple[Taken, Taken]:
    """Of changed endpoints, and of new exports."""
    changes, exports = Taken(), Taken()
    async with exporter() as road, road.importers() as crowd:
        for number in range(WARM_UP + CHANGES):
            arrived = await crowd.after(road.change(NAMESPACE, number), f"10.78.{number}.1", PAUSE)
            beside = await crowd.after(road.change(FLOOR_NAMESPACE, number), f"10.79.{number}.1", PAUSE)
            if number >= WARM_UP:
                changes.ours.extend(arrived)
                changes.floor.extend(beside)
        for number in range(EXPORT_WARM_UP + EXPORTS):
            await road.serve(number)
            arrived = await crowd.after(road.export(number), f"10.78.{FRESH + number}.1", EXPORT_PAUSE)
            beside = await crowd.after(road.export_raw(number), f"10.79.{FRESH + number}.1", EXPORT_PAUSE)
            if number >= EXPORT_WARM_UP:
                exports.ours.extend(arrived)
                exports.floor.extend(beside)
    return changes, exports


@dataclass
class Exporter:
    """The one who exports, and the hub; with the floor's own writes to it."""

    folder: Path
    hub_kubeconfig: Path
    hub: Client
    east: Client
    # The floor's exports on the hub by name, and what any of them looks like.
    exported: dict[str, Manifest]
    template: Manifest

    async def change(self, namespace: str, number: int) -> None:
        """Give a service another endpoint: ours, or the floor's."""
        service, net = f"shop-{number % SERVICES}", 78 if namespace == NAMESPACE else 79
        piece = objects.endpoints(namespace, service, [f"10.{net}.{number}.1"])
        change = {"endpoints": piece["endpoints"]}
        await self.east.merge_patch(SLICE, piece["metadata"]["name"], change, namespace=namespace)

    async def serve(self, number: int) -> None:
        """A Service with an endpoint, not exported yet."""
        name = f"new-{number}"
        await self.east.create(SERVICE, objects.service(NAMESPACE, name))
        await self.east.create(SLICE, objects.endpoints(NAMESPACE, name, [f"10.78.{FRESH + number}.1"]))

    async def export(self, number: int) -> None:
        """Export it."""
        await self.east.create(EXPORT, objects.service_export(NAMESPACE, f"new-{number}"))

    async def export_raw(self, number: int) -> None:
        """The same on the floor."""
        manifest = objects.service_export(FLOOR_NAMESPACE, f"new-{number}")
        await self.east.create(FLOOR_EXPORT, manifest | {"apiVersion": FLOOR_EXPORT.api_version})

    async def carry_export(self, _: str, export: Manifest) -> None:
        """The floor's one write to the hub, when the watch shows a new export."""
        name = export["metadata"]["name"]
        await self.hub.create(EXPORTED, _renamed(self.template, name, FRESH + int(name.removeprefix("new-"))))

    async def carry(self, _: str, changed: Manifest) -> None:
        """The floor's one write to the hub, when the watch shows a change of endpoints."""
        name = changed["metadata"]["labels"]["kubernetes.io/service-name"]
        wanted = self.exported.get(name)
        if wanted is None:
            return
        endpoints = [{"addresses": each["addresses"], "ready": True} for each in changed["endpoints"]]
        if wanted["spec"]["slices"][0]["endpoints"] != endpoints:
            wanted["spec"]["slices"][0]["endpoints"] = endpoints
            self.exported[name] = await self.hub.update(EXPORTED, wanted)

    @asynccontextmanager
    async def importers(self) -> AsyncIterator["Crowd"]:
        """All importers, ready; they end with the block."""
        each = IMPORTERS // PROCESSES
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for kind, carry in ((SLICE, self.carry), (FLOOR_EXPORT, self.carry_export)):
                stack.callback(tasks.create_task(follow(self.east, kind, FLOOR_NAMESPACE, carry)).cancel)
            processes: list[asyncio.subprocess.Process] = []
            for number in range(PROCESSES):
                at = str(self.folder / f"importers-{number}")
                words = ("-m", "bench.importing", str(self.hub_kubeconfig), at, str(number * each), str(each))
                command = ("setpriv", "--pdeathsig", "KILL", sys.executable, *words)
                process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
                stack.push_async_callback(process.wait)
                stack.callback(process.kill)
                processes.append(process)
            crowd = Crowd(processes)
            # What every service was exported with arrives everywhere, ours and the floor's.
            for number, net in itertools.product(range(SERVICES), (78, 79)):
                await crowd.of(f"10.{net}.255.{number}")
            yield crowd


@asynccontextmanager
async def exporter() -> AsyncIterator[Exporter]:
    """Hub and exporter at work: all is exported, the others are there, every importer is registered."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        planes = [stack.enter_context(running(folder / name, number=n)) for n, name in enumerate(("hub", "east"), 1)]
        hub, east = [await stack.enter_async_context(client_of(plane)) for plane in planes]
        members = [NewMember("east", await bootstrap_member(east)), *map(NewMember, names(0, IMPORTERS))]
        await bootstrap_hub(hub, SET, members)
        for client in (hub, east):
            await make_namespace(client, FLOOR_NAMESPACE)
        await make_namespace(east, NAMESPACE)
        await define(east)
        config = f"--hub-kubeconfig={planes[0].kubeconfig}"
        words = ("agent", config, f"--kubeconfig={planes[1].kubeconfig}", "--cluster=east", f"--set={SET}")
        stack.enter_context(isthmus(folder / "east.log", *words))
        for number in range(SERVICES):
            await _export(east, number)
        seen = {each["spec"]["name"]: each for each in (await hub.list(EXPORTED, namespace=SET)).items}
        exported = {name: await hub.create(EXPORTED, _floor(item, number)) for number, (name, item) in _numbered(seen)}
        others = [_other(seen["shop-0"], number) for number in range(OTHERS)]
        await side_by_side(others, lambda item: hub.create(EXPORTED, item))
        yield Exporter(folder, planes[0].kubeconfig, hub, east, exported, _floor(seen["shop-0"], 0))


class Crowd:
    """The processes that play the importers, and what they have told so far."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes
        self._told: dict[str, list[float]] = {}

    async def after(self, change: Coroutine[object, object, None], address: str, pause: float) -> list[float]:
        """Make a change; the seconds until each importer had that address, then a pause. Raises Unreachable."""
        began = time.monotonic()
        await change
        arrived = await self.of(address)
        await asyncio.sleep(pause)
        return [at - began for at in arrived]

    async def of(self, address: str) -> list[float]:
        """When each importer had an address, on the monotonic clock."""
        try:
            async with asyncio.timeout(LIMIT):
                return [at for each in self._processes for at in await self._said(each, address)]
        except TimeoutError as late:
            raise Unreachable(f"{address} was not in all clusters within {LIMIT:g} s") from late

    async def _said(self, process: asyncio.subprocess.Process, address: str) -> list[float]:
        assert process.stdout is not None
        key = f"{process.pid} {address}"
        while key not in self._told:
            line = await process.stdout.readline()
            if not line:
                raise Invalid("a process of importers ended; its complaint is above")
            said = json.loads(line)
            self._told[f"{process.pid} {said['address']}"] = said["at"]
        return self._told.pop(key)


def _numbered(items: dict[str, Manifest]) -> Iterator[tuple[int, tuple[str, Manifest]]]:
    for name, item in items.items():
        yield int(name.rpartition("-")[2]), (name, item)


async def _export(east: Client, number: int) -> None:
    name = f"shop-{number}"
    await east.create(SERVICE, objects.service(NAMESPACE, name))
    await east.create(SLICE, objects.endpoints(NAMESPACE, name, [f"10.78.255.{number}"]))
    await east.create(SLICE, objects.endpoints(FLOOR_NAMESPACE, name, [f"10.79.255.{number}"]))
    await east.create(EXPORT, objects.service_export(NAMESPACE, name))
    await wait_ready(east, name)


def _floor(item: Manifest, number: int) -> Manifest:
    """The floor's copy of an export, at an address of its own."""
    copy: Manifest = json.loads(json.dumps(copied(item)))
    copy["spec"]["slices"][0]["endpoints"] = [{"addresses": [f"10.79.255.{number}"], "ready": True}]
    return copy


def _renamed(item: Manifest, name: str, number: int) -> Manifest:
    """The same export under another name, at an address of its own."""
    metadata = item["metadata"] | {"name": f"east.{FLOOR_NAMESPACE}.{name}"}
    slices = [item["spec"]["slices"][0] | {"endpoints": [{"addresses": [f"10.79.{number}.1"], "ready": True}]}]
    return item | {"metadata": metadata, "spec": item["spec"] | {"name": name, "uid": name, "slices": slices}}


def _other(item: Manifest, number: int) -> Manifest:
    """A service of a namespace that no importer has."""
    name, namespace = f"other-{number}", f"elsewhere-{number % OTHER_NAMESPACES}"
    metadata = {
        "name": f"other.{namespace}.{name}",
        "namespace": SET,
        "labels": {CLUSTER_LABEL: "other", NAMESPACE_LABEL: namespace},
    }
    spec = item["spec"] | {"cluster": "other", "namespace": namespace, "name": name, "uid": name}
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata, "spec": spec}
