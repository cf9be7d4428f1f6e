"""The hub's API server with 500 agents: what it costs at rest, and after its restart until all know everything.

Of each agent all that faces the hub is there as it is in an agent, with connections of its own: its watches, its
heartbeat, and its Member's status, which it writes when it starts, and which a restart of the server gives it no reason
to write again; its cluster is not. They share a few processes.
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
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import uvloop

from bench.processes import cpu_seconds, pss
from bench.real import NAMESPACE, client_of, side_by_side
from bench.result import Result
from isthmus import __version__
from isthmus.api.isthmus import (
    AGENT_MANAGER,
    CLUSTER_LABEL,
    EXPORTED_SERVICES,
    MEMBERS,
    MEMBERS_NAMESPACE,
    NAMESPACE_LABEL,
    RULES_VERSION,
    ExportedService,
    Member,
)
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, IsthmusError, Unreachable
from isthmus.hub.bootstrap import bootstrap_hub
from isthmus.kube.client import Client
from isthmus.kube.config import Config, load_kubeconfig
from isthmus.kube.informer import Change
from isthmus.kube.lease import Heartbeat
from isthmus.kube.request import WriteOptions
from isthmus.mcs.controllers.views import HubView
from tests.real.build import binary
from tests.real.controlplane import ControlPlane, running

SET = "bench"
AGENTS, PROCESSES = 500, 4
EXPORTS = 100
# What a Member said of itself before its agent came.
FIRST_EPOCH = 1
# Seconds.
HEARTBEAT = 10.0
REST = 20.0
LIMIT = 400.0
# What an agent may cost.
WATCHES = 4
_LONG_RUNNING = re.compile(r"^apiserver_longrunning_requests\{(.*)\} (\S+)$", re.MULTILINE)
_WATCH = frozenset({'group="isthmus.dev"', 'scope="namespace"', 'verb="WATCH"'})


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
            # Then every agent has given its first sign of life.
            await asyncio.sleep(HEARTBEAT)
            rest = await _rest(plane, client)
            return [*rest, *await _restart(plane, client, agents)]


async def _rest(plane: ControlPlane, client: Client) -> list[Result]:
    pid = plane.processes["kube-apiserver"].pid
    used, sent, began = cpu_seconds([pid]), _sent(plane), time.monotonic()
    await asyncio.sleep(REST)
    seconds = time.monotonic() - began
    what = f"hub's API server, {AGENTS} agents at rest"
    return [
        Result(f"{what}: processor", (cpu_seconds([pid]) - used) / seconds * 100, "% of a core"),
        Result(f"{what}: egress", (_sent(plane) - sent) / seconds / 1024, "KiB/s"),
        Result(f"{what}: memory", pss(pid), "MiB"),
        Result(f"{what}: watches for each", await _watches(client) / AGENTS, "", WATCHES),
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


async def _watches(client: Client) -> float:
    """How many watches the server serves of what is ours, without those of its own controllers."""
    text = (await client.raw("GET", "/metrics")).decode()
    return sum(float(count) for labels, count in _LONG_RUNNING.findall(text) if set(labels.split(",")) >= _WATCH)


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
    names = [f"agent-{number}" for number in range(AGENTS)]
    await side_by_side(names, lambda name: client.create(MEMBERS, _member(name)))
    await side_by_side(names, lambda name: _speak(client, name, FIRST_EPOCH))
    exports = [_exported(f"shop-{number}") for number in range(EXPORTS)]
    await side_by_side(exports, lambda item: client.create(EXPORTED_SERVICES, item, namespace=SET))
    each = AGENTS // PROCESSES
    processes: list[asyncio.subprocess.Process] = []
    try:
        for number in range(PROCESSES):
            words = ("-m", "bench.crowd", str(plane.kubeconfig), str(number * each), str(each), str(AGENTS))
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


async def _speak(client: Client, name: str, epoch: int) -> None:
    """Write a Member's status as its agent does."""
    namespaces = {NAMESPACE: {"count": 10, "digest": f"{epoch:032x}"}}
    status = {
        "agentVersion": __version__,
        "kubernetesVersion": "v1.36.0",
        "rulesVersion": RULES_VERSION,
        "region": "region-1",
        "properties": {"cluster.clusterset.k8s.io": name, "clusterset.k8s.io": SET},
        "exports": {"epoch": epoch, "namespaces": namespaces},
    }
    options = WriteOptions(manager=AGENT_MANAGER, force=True)
    await client.apply(MEMBERS, _member(name) | {"status": status}, subresource="status", options=options)


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
    """Some agents in one process; it says when the last of them knows everything there is to know at a mark."""

    def __init__(self, kubeconfig: Path, first: int, count: int, *, of: int) -> None:
        self._config = load_kubeconfig([kubeconfig])
        self._first, self._count, self._of = first, count, of
        self._knowing: Counter[int] = Counter()

    async def run(self) -> None:
        """Work until killed."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._count):
                late = HEARTBEAT * number / self._count
                name = f"agent-{self._first + number}"
                tasks.create_task(_Agent(name, self._of, self._told).run(self._config, late))

    def _told(self, mark: int) -> None:
        """One agent knows everything."""
        self._knowing[mark] += 1
        if self._knowing[mark] == self._count:
            sys.stdout.write(json.dumps({"mark": f"mark-{mark}", "at": time.monotonic()}) + "\n")
            sys.stdout.flush()


class _Agent:
    """One of them: `know` is called with the number of a mark, once that and what all members say by then is known.

    All of them say something new when they have listed their exports for the first time.
    """

    def __init__(self, name: str, of: int, know: Callable[[int], None]) -> None:
        self._name, self._of, self._know = name, of, know
        self._marks: set[int] = set()
        self._epochs: dict[str, int] = {}
        self._speaking: Counter[int] = Counter()
        self._listed = asyncio.Event()

    async def run(self, config: Config, late: float) -> None:
        """Work until cancelled; the first sign of life comes so many seconds late."""
        async with Client(config, user_agent="isthmus-agent") as hub, asyncio.TaskGroup() as tasks:
            view = HubView(self._name, hub, namespace=SET)
            view.exports.subscribe(self._heard)
            view.members.subscribe(self._judged)
            view.exports.when_listed(self._listed.set)
            view.select(frozenset({NAMESPACE}))
            for informer in view.informers:
                tasks.create_task(informer.run())
            tasks.create_task(self._report(hub))
            await asyncio.sleep(late)
            heartbeat = Heartbeat(hub, namespace=MEMBERS_NAMESPACE, name=self._name, identity=self._name)
            tasks.create_task(heartbeat.run())

    async def _report(self, hub: Client) -> None:
        await self._listed.wait()
        while True:
            with contextlib.suppress(IsthmusError):
                await _speak(hub, self._name, FIRST_EPOCH + 1)
                return
            await asyncio.sleep(1)

    def _heard(self, change: Change[ExportedService]) -> None:
        spec = change.after.spec if change.after is not None else None
        if spec is not None and change.before is None and spec.name.startswith("mark-"):
            self._marks.add(int(spec.name.removeprefix("mark-")))
            self._look()

    def _judged(self, change: Change[Member]) -> None:
        if change.after is None or change.after.status is None:
            return
        name, epoch = change.after.metadata.name, change.after.status.exports.epoch
        self._speaking[self._epochs.get(name, 0)] -= 1
        self._speaking[epoch] += 1
        self._epochs[name] = epoch
        self._look()

    def _look(self) -> None:
        if self._speaking[FIRST_EPOCH + 1] == self._of:
            for mark in sorted(self._marks):
                self._marks.remove(mark)
                self._know(mark)


if __name__ == "__main__":
    # What the server's restart does to watches is no news here.
    logging.disable()
    uvloop.run(_Agents(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), of=int(sys.argv[4])).run())
