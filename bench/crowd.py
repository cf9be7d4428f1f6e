"""The hub's API server with 500 agents: what it costs at rest, and after its restart until all know everything.

Of each agent all that faces the hub is there as it is in an agent, with connections of its own: its watches and its
heartbeat; its cluster is not. They share a few processes.
"""

import asyncio
import contextlib
import json
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvloop

from bench.processes import cpu_seconds, pss
from bench.real import NAMESPACE, client_of, side_by_side
from bench.result import Result
from isthmus.api.isthmus import (
    CLUSTER_LABEL,
    EXPORTED_SERVICES,
    MEMBERS,
    MEMBERS_NAMESPACE,
    NAMESPACE_LABEL,
    ExportedService,
)
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, Unreachable
from isthmus.hub.bootstrap import bootstrap_hub
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.informer import Change
from isthmus.kube.lease import Heartbeat
from isthmus.mcs.controllers.views import HubView
from tests.real.build import binary
from tests.real.controlplane import ControlPlane, running

SET = "bench"
AGENTS, PROCESSES = 500, 4
EXPORTS = 100
# Seconds.
HEARTBEAT = 10.0
REST = 20.0
LIMIT = 150.0


def run() -> Iterator[Result]:
    """The figures. Raises Invalid where there is no control plane, or no `ss` to count bytes."""
    if not binary().exists():
        raise Invalid("there is no real control plane here. Type: make real")
    if shutil.which("ss") is None:
        raise Invalid("no ss here. Type: apt-get install iproute2")
    yield from uvloop.run(_measured())


async def _measured() -> list[Result]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as plane:
        async with client_of(plane) as client, crowd(plane, client) as agents:
            await agents.know(client, "mark-1")
            rest = await _rest(plane)
            return [*rest, *await _restart(plane, client, agents)]


async def _rest(plane: ControlPlane) -> list[Result]:
    pid = plane.processes["kube-apiserver"].pid
    used, sent, began = cpu_seconds([pid]), _sent(plane), time.monotonic()
    await asyncio.sleep(REST)
    seconds = time.monotonic() - began
    what = f"hub's API server, {AGENTS} agents at rest"
    return [
        Result(f"{what}: processor", (cpu_seconds([pid]) - used) / seconds * 100, "% of a core"),
        Result(f"{what}: egress", (_sent(plane) - sent) / seconds / 1024, "KiB/s"),
        Result(f"{what}: memory", pss(pid), "MiB"),
    ]


async def _restart(plane: ControlPlane, client: Client, agents: "Crowd") -> list[Result]:
    plane.kill("kube-apiserver")
    began = time.monotonic()
    await asyncio.to_thread(plane.start_server)
    ready = time.monotonic() - began
    known = await agents.know(client, "mark-2") - began
    what = f"hub's API server restarted, {AGENTS} agents"
    return [
        Result(f"{what}: until it is ready", ready, "s"),
        Result(f"{what}: until the last knows everything", known, "s"),
        Result(f"{what}: its processor time until then", cpu_seconds([plane.processes["kube-apiserver"].pid]), "s"),
        Result(f"{what}: its egress until then", _sent(plane) / (1 << 20), "MiB"),
    ]


def _sent(plane: ControlPlane) -> int:
    """Bytes that the API server has sent on connections that are there now."""
    asked = ["ss", "-tinHO", "state", "established", f"sport = :{plane.port}"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return sum(map(int, re.findall(r"bytes_sent:([0-9]+)", told)))


class Crowd:
    """The processes that play the agents."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    async def know(self, client: Client, mark: str) -> float:
        """Export something new; when the last agent had it, on the monotonic clock. Raises Unreachable."""
        await client.create(EXPORTED_SERVICES, _exported(mark), namespace=SET)
        try:
            async with asyncio.timeout(LIMIT):
                return max([await self._said(each, mark) for each in self._processes])
        except TimeoutError as late:
            raise Unreachable(f"not all agents knew everything within {LIMIT:g} s") from late

    async def _said(self, process: asyncio.subprocess.Process, mark: str) -> float:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            said = json.loads(line)
            if said["mark"] == mark:
                return float(said["at"])
        raise Invalid("a process of agents ended; its complaint is above")


@contextlib.asynccontextmanager
async def crowd(plane: ControlPlane, client: Client) -> AsyncIterator[Crowd]:
    """All agents at work, for the length of the block; what they shall know is there already."""
    await bootstrap_hub(client, SET, [])
    await side_by_side([_member(f"agent-{n}") for n in range(AGENTS)], lambda item: client.create(MEMBERS, item))
    exports = [_exported(f"shop-{number}") for number in range(EXPORTS)]
    await side_by_side(exports, lambda item: client.create(EXPORTED_SERVICES, item, namespace=SET))
    each = AGENTS // PROCESSES
    processes: list[asyncio.subprocess.Process] = []
    try:
        for number in range(PROCESSES):
            words = ("-m", "bench.crowd", str(plane.kubeconfig), str(number * each), str(each))
            # Whatever happens to this program, they end with it.
            command = ("setpriv", "--pdeathsig", "KILL", sys.executable, *words)
            processes.append(await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE))
        yield Crowd(processes)
    finally:
        for process in processes:
            process.kill()
            await process.wait()


def _member(name: str) -> Manifest:
    return {
        "apiVersion": MEMBERS.api_version,
        "kind": MEMBERS.kind,
        "metadata": {"name": name, "namespace": SET},
        "spec": {"id": name, "set": SET},
    }


def _exported(name: str) -> Manifest:
    endpoints = [{"addresses": [f"10.77.0.{number}"], "ready": True} for number in range(1, 11)]
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return {
        "apiVersion": EXPORTED_SERVICES.api_version,
        "kind": EXPORTED_SERVICES.kind,
        "metadata": {
            "name": f"crowd.{NAMESPACE}.{name}",
            "labels": {CLUSTER_LABEL: "crowd", NAMESPACE_LABEL: NAMESPACE},
        },
        "spec": {
            "cluster": "crowd",
            "namespace": NAMESPACE,
            "name": name,
            "uid": name,
            "created": "2026-01-01T00:00:00Z",
            "type": "ClusterSetIP",
            "ports": ports,
            "slices": [{"addressType": "IPv4", "ports": ports, "endpoints": endpoints}],
        },
    }


class _Agents:
    """Some agents in one process; it says when the last of them knows of a mark."""

    def __init__(self, kubeconfig: Path, first: int, count: int) -> None:
        self._config = load_kubeconfig([kubeconfig])
        self._first, self._count = first, count
        self._knowing: Counter[str] = Counter()

    async def run(self) -> None:
        """Work until killed."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._count):
                tasks.create_task(self._agent(f"agent-{self._first + number}", HEARTBEAT * number / self._count))

    async def _agent(self, name: str, late: float) -> None:
        async with Client(self._config, user_agent="isthmus-agent") as hub, asyncio.TaskGroup() as tasks:
            view = HubView(name, hub, namespace=SET)
            view.others.subscribe(self._heard)
            view.select(frozenset({NAMESPACE}))
            for informer in view.informers:
                tasks.create_task(informer.run())
            await asyncio.sleep(late)
            heartbeat = Heartbeat(hub, namespace=MEMBERS_NAMESPACE, name=name, identity=name, every=HEARTBEAT)
            tasks.create_task(heartbeat.run())

    def _heard(self, change: Change[ExportedService]) -> None:
        spec = change.after.spec if change.after is not None else None
        if spec is None or change.before is not None or not spec.name.startswith("mark-"):
            return
        self._knowing[spec.name] += 1
        if self._knowing[spec.name] == self._count:
            sys.stdout.write(json.dumps({"mark": spec.name, "at": time.monotonic()}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    # What the server's restart does to watches is no news here.
    logging.disable()
    uvloop.run(_Agents(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])).run())
