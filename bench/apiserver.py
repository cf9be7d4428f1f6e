"""The embedded API server beside the real one: speed, start and memory. Nobody set a goal: the ratios are to be read.

Real is kube-apiserver with its etcd, which does not force its log to the disk (`--unsafe-no-fsync`). Embedded is one
process with its SQLite file, whose log is not forced either: both keep what they answered through `kill -9`, neither
through a power cut. Both serve all the time and take turns at every kind of work. The load is one process with one
pool of connections: one request at a time, or CLIENTS of them; ConfigMaps of about 1 KB. Where that process is the
slower part, the ratio per second of the server's own processor time says more than the one per second of the clock.
"""

import asyncio
import itertools
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import msgspec
import uvloop
import yaml

from bench.processes import cpu_seconds, process, pss
from bench.real import client_of
from bench.result import Result
from isthmus.api.core import CONFIG_MAPS
from isthmus.apiserver.pki import PKI
from isthmus.errors import Invalid
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.request import MERGE_PATCH
from tests.real.build import binary
from tests.real.controlplane import ControlPlane

ROUNDS = 4
CLIENTS = 16
# Per round; all writes together make 10,000 objects.
ONE_BY_ONE = 500
AT_ONCE = 2000
CHANGES = 200
STARTS = 3
# Seconds.
LIMIT = 120.0
TEXT = "x" * 700
NAMESPACE = "default"
ALL = CONFIG_MAPS.path(namespace=NAMESPACE)


@dataclass
class Subject:
    """A running server."""

    name: str
    start: float
    pids: tuple[int, ...]
    client: Client
    objects: Iterator[int] = field(default_factory=itertools.count)
    reads: Iterator[int] = field(default_factory=itertools.count)


Work: TypeAlias = Callable[[Subject], Awaitable[int]]


@dataclass(frozen=True)
class Measured:
    """One round of one kind of work: so many per second of the clock, and per second of the server's processors."""

    per_second: float
    per_cpu_second: float


def run() -> Iterator[Result]:
    """The figures. Raises Invalid where the real server is not built."""
    if not binary().exists():
        raise Invalid("there is no real control plane here. Type: make real")
    yield from uvloop.run(_results())


async def _results() -> list[Result]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        embedded, real = await _embedded(Path(folder), stack), await _real(Path(folder), stack)
        async with embedded.client, real.client:
            results = _pair("start", "s", embedded.start, real.start)
            for what, work in WORK.items():
                results += await _compared(what, work, embedded, real)
            memory = [sum(map(pss, subject.pids)) for subject in (embedded, real)]
            return [*results, *_pair(f"memory with {next(embedded.objects)} objects", "MiB", *memory)]


async def _compared(what: str, work: Work, embedded: Subject, real: Subject) -> list[Result]:
    rounds = [(await _measured(work, embedded), await _measured(work, real)) for _ in range(ROUNDS)]
    ours = statistics.median(one.per_second for one, _ in rounds)
    theirs = statistics.median(other.per_second for _, other in rounds)
    ratio = statistics.median(one.per_cpu_second / other.per_cpu_second for one, other in rounds)
    return [*_pair(what, "per second", ours, theirs), Result(f"{what}: ratio per second of processor", ratio, "times")]


def _pair(what: str, unit: str, embedded: float, real: float) -> list[Result]:
    return [
        Result(f"{what}: embedded", embedded, unit),
        Result(f"{what}: real", real, unit),
        Result(f"{what}: ratio", embedded / real, "times"),
    ]


async def _measured(work: Work, subject: Subject) -> Measured:
    used, began = cpu_seconds(subject.pids), time.monotonic()
    count = await asyncio.wait_for(work(subject), LIMIT)
    took = time.monotonic() - began
    return Measured(count / took, count / (cpu_seconds(subject.pids) - used))


async def _embedded(folder: Path, stack: ExitStack) -> Subject:
    """Started a few times, with what it stored before; the last one stays."""
    at = folder / "embedded"
    at.mkdir()
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    config = {"name": "bench", "pki": str(at / "pki"), "state": str(at / "state.db"), "listeners": [listener.fileno()]}
    (at / "config.json").write_bytes(msgspec.json.encode(config))
    server = f"https://127.0.0.1:{listener.getsockname()[1]}"
    admin = PKI.create(at / "pki", "bench", ["127.0.0.1"]).client_config(server, "admin", ["system:masters"])
    (at / "kubeconfig").write_text(yaml.safe_dump(admin))
    command = [sys.executable, "-m", "isthmus.apiserver", "--config", str(at / "config.json")]
    seconds: list[float] = []
    for last in (False,) * (STARTS - 1) + (True,):
        with ExitStack() as this:
            began = time.monotonic()
            started = this.enter_context(process(command, at / "log", (listener.fileno(),)))
            async with Client(load_kubeconfig([at / "kubeconfig"])) as client:
                await client.raw("GET", "/readyz")
            seconds.append(time.monotonic() - began)
            if last:
                stack.push(this.pop_all())
    return Subject("embedded", statistics.median(seconds), (started.pid,), Client(load_kubeconfig([at / "kubeconfig"])))


async def _real(folder: Path, stack: ExitStack) -> Subject:
    """The same: etcd and kube-apiserver, without the controller manager."""
    plane = ControlPlane(folder / "real")
    stack.callback(plane.stop)
    seconds: list[float] = []
    for _ in range(STARTS):
        plane.stop()
        began = time.monotonic()
        plane.start_etcd()
        plane.start_server()
        seconds.append(time.monotonic() - began)
    pids = tuple(each.pid for each in plane.processes.values())
    return Subject("real", statistics.median(seconds), pids, client_of(plane))


def _config_map(name: str) -> bytes:
    """About 1 KB as it is stored."""
    metadata = {"name": name, "labels": {"app": "bench"}}
    return msgspec.json.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": TEXT}})


async def _write(subject: Subject) -> None:
    await subject.client.raw("POST", ALL, body=_config_map(f"thing-{next(subject.objects)}"))


async def _get(subject: Subject) -> None:
    await subject.client.raw("GET", f"{ALL}/thing-{next(subject.reads) % ONE_BY_ONE}")


async def _change(subject: Subject) -> None:
    body = msgspec.json.encode({"data": {"changed": str(next(subject.reads))}})
    path = f"{ALL}/thing-{next(subject.reads) % ONE_BY_ONE}"
    await subject.client.raw("PATCH", path, body=body, content_type=MERGE_PATCH)


def _many(request: Callable[[Subject], Awaitable[None]], count: int, clients: int) -> Work:
    """So many requests, shared by so many clients."""

    async def work(subject: Subject) -> int:
        waiting = iter(range(count))

        async def client() -> None:
            for _ in waiting:
                await request(subject)

        await asyncio.gather(*(client() for _ in range(clients)))
        return count

    return work


def _watched(watches: int, changes: int) -> Work:
    """Changes as they are made, each told to so many watches; opening these is part of it, some 3 ms a connection."""

    async def work(subject: Subject) -> int:
        newest = msgspec.json.decode(await subject.client.raw("GET", ALL, query={"limit": "1"}))
        since = (("watch", "true"), ("resourceVersion", newest["metadata"]["resourceVersion"]))
        changing = _many(_change, changes, CLIENTS)(subject)
        await asyncio.gather(changing, *(_lines(subject, since, changes) for _ in range(watches)))
        return changes * watches

    return work


async def _streamed_list(subject: Subject) -> int:
    """All that is there, as a watch tells it that begins with nothing (KEP-3157)."""
    count = len((await subject.client.list(CONFIG_MAPS, namespace=NAMESPACE)).items)
    query = {"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    await _lines(subject, (*query.items(), ("allowWatchBookmarks", "true")), count)
    return count


async def _lines(subject: Subject, query: tuple[tuple[str, str], ...], count: int) -> None:
    async with aclosing(subject.client.stream(ALL, query)) as chunks:
        async for chunk in chunks:
            count -= chunk.count(b"\n")
            if count <= 0:
                return


WORK: dict[str, Work] = {
    "writes, one by one": _many(_write, ONE_BY_ONE, 1),
    f"writes, {CLIENTS} at once": _many(_write, AT_ONCE, CLIENTS),
    "gets, one by one": _many(_get, ONE_BY_ONE, 1),
    f"gets, {CLIENTS} at once": _many(_get, AT_ONCE, CLIENTS),
    "watch events, 10 watches of changes": _watched(10, CHANGES),
    "watch events, 100 watches of changes": _watched(100, CHANGES // 2),
    "watch events, all objects at its begin": _streamed_list,
}
