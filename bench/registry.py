"""A hub with 1,000 members at rest, then with 100 of them lost at once: its controller, its API server, its verdicts.

Each member has its record with what an agent says of it, and its heartbeat; all beat from one process. Agents' own
watches are `crowd`'s.
"""

import asyncio
import base64
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.processes import cpu_seconds, pss
from bench.real import client_of, isthmus, side_by_side
from bench.result import Result
from isthmus import __version__
from isthmus.api.inventory import CLUSTER_PROFILES, CONTROL_PLANE_HEALTHY, ClusterProfile
from isthmus.api.isthmus import IMPORTS_ANNOTATION, MEMBERS, MEMBERS_NAMESPACE, SILENT, Member
from isthmus.api.scheme import Manifest
from isthmus.errors import APIError, Invalid, Unreachable
from isthmus.hub.bootstrap import bootstrap_hub
from isthmus.kube.client import Client
from isthmus.kube.config import Config, load_kubeconfig
from isthmus.kube.lease import Heartbeat
from tests.real.build import binary
from tests.real.controlplane import ControlPlane, running
from tests.real.ports import free_ports

SET = "bench"
COUNT = int(os.environ.get("BENCH_MEMBERS", "1000"))
LOST = COUNT // 10
# Seconds.
HEARTBEAT, SETTLE, REST, LIMIT = 10.0, 15.0, 20.0, 150.0
# What the hub's controller may cost per member, in MiB, and in watches; the design's bound on a verdict.
MEMORY, WATCHES, VERDICT = 0.4, 0.0, 45.0
_KINDS = frozenset({"leases", "members", "clusterprofiles", "exportedservices", "joinrequests", "events", "secrets"})
_COUNT = re.compile(r"^apiserver_request_total\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)


def run() -> Iterator[Result]:
    """The figures. Raises Invalid where there is no control plane."""
    if not binary().exists():
        raise Invalid("there is no real control plane here. Type: make real")
    yield from uvloop.run(_measured())


async def _measured() -> list[Result]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plane = stack.enter_context(running(folder))
        client = await stack.enter_async_context(client_of(plane))
        await bootstrap_hub(client, SET, [])
        (port,) = free_ports(1)
        words = ("hub", f"--kubeconfig={plane.kubeconfig}", f"--set={SET}", f"--metrics=127.0.0.1:{port}")
        hub = stack.enter_context(isthmus(folder / "hub.log", *words))
        watches = await _watches(port)
        empty = pss(hub)
        crowd = await stack.enter_async_context(beating(client, _authority(plane)))
        began = time.monotonic()
        await _profiled(client, COUNT)
        published = time.monotonic() - began
        await asyncio.sleep(SETTLE)
        what = f"hub with {COUNT} members"
        return [
            Result(f"{what}: until all profiles say that they are healthy", published, "s"),
            Result(f"{what}: its controller's memory per member", (pss(hub) - empty) / COUNT, "MiB", MEMORY),
            Result(f"{what}: its controller's memory in all", pss(hub), "MiB"),
            Result(
                f"{what}: its controller's watches per member", (await _watches(port) - watches) / COUNT, "", WATCHES
            ),
            Result(f"{what}: its controller's watches in all", watches, ""),
            *await _rest(what, client, plane, hub),
            *await _silence(what, client, crowd),
        ]


async def _rest(what: str, client: Client, plane: ControlPlane, hub: int) -> list[Result]:
    """Requests and processors while nothing happens but heartbeats."""
    server = plane.processes["kube-apiserver"].pid
    before, used, began = await _counts(client), [cpu_seconds([each]) for each in (hub, server)], time.monotonic()
    await asyncio.sleep(REST)
    after, seconds = await _counts(client), time.monotonic() - began
    cpu = [(cpu_seconds([pid]) - at) / seconds * 100 for pid, at in zip((hub, server), used, strict=True)]
    beats = COUNT / HEARTBEAT
    writes = (after.writes - before.writes) / seconds
    return [
        Result(f"{what}, at rest: writes of Leases", (after.leases - before.leases) / seconds, "/s", beats * 1.1 + 1),
        Result(f"{what}, at rest: all other writes", writes, "/s", 1.0),
        Result(f"{what}, at rest: reads", (after.reads - before.reads) / seconds, "/s"),
        Result(f"{what}, at rest: its controller's processor", cpu[0], "% of a core"),
        Result(f"{what}, at rest: its API server's processor", cpu[1], "% of a core"),
    ]


async def _silence(what: str, client: Client, crowd: "Crowd") -> list[Result]:
    lost = crowd.lose(LOST)
    began = time.monotonic()
    silent = await _until(client, lost, began)
    return [
        Result(f"{what}, {LOST} lost at once: until the first is Silent", silent[0], "s"),
        Result(f"{what}, {LOST} lost at once: until the last is Silent", silent[1], "s", VERDICT),
        Result(f"{what}, {LOST} lost at once: until the last profile is Unknown", silent[2], "s", VERDICT),
    ]


async def _until(client: Client, lost: frozenset[str], began: float) -> tuple[float, float, float]:
    """First and last verdict, and the last profile, in seconds since `began`. Raises Unreachable."""
    first = last = 0.0
    while time.monotonic() - began < LIMIT:
        members = (await client.list(MEMBERS, namespace=SET)).items
        silent = {item.metadata.name for item in members if _is_silent(item)}
        profiles = (await client.list(CLUSTER_PROFILES, namespace=SET)).items
        unknown = {item.metadata.name for item in profiles if _healthy(item) == "Unknown"}
        now = time.monotonic() - began
        first = first or (now if silent else 0.0)
        last = last or (now if lost <= silent else 0.0)
        if lost <= unknown:
            return first, last or now, now
        await asyncio.sleep(0.25)
    raise Unreachable(f"not all of {len(lost)} were judged within {LIMIT:g} s")


def _is_silent(member: Member) -> bool:
    return member.spec is not None and member.spec.health.state == SILENT


def _healthy(profile: ClusterProfile) -> str:
    conditions = profile.status.conditions if profile.status is not None else ()
    return next((each.status for each in conditions if each.type == CONTROL_PLANE_HEALTHY), "")


async def _profiled(client: Client, count: int) -> None:
    for _ in range(int(LIMIT)):
        profiles = (await client.list(CLUSTER_PROFILES, namespace=SET)).items
        if sum(_healthy(each) == "True" for each in profiles) == count:
            return
        await asyncio.sleep(1)
    raise Unreachable(f"not all of {count} profiles were healthy within {LIMIT:g} s")


async def _watches(port: int) -> int:
    """How many watches the hub's controller has, once it is ready: by its own metrics, one each."""
    async with Client(Config(f"http://127.0.0.1:{port}")) as metrics:
        for _ in range(int(LIMIT)):
            if count := await _followed(metrics):
                return count
            await asyncio.sleep(1)
    raise Unreachable("the hub's controller watches nothing")


async def _followed(metrics: Client) -> int:
    with suppress(Unreachable, APIError):
        await metrics.raw("GET", "/readyz")
        return len(re.findall(r"(?m)^isthmus_watch_failing\{", (await metrics.raw("GET", "/metrics")).decode()))
    return 0


@dataclass
class _Counts:
    """Requests that the API server has answered for kinds of ours and Leases of members."""

    leases: float = 0.0
    writes: float = 0.0
    reads: float = 0.0


async def _counts(client: Client) -> _Counts:
    found = _Counts()
    for labels, value in _COUNT.findall((await client.raw("GET", "/metrics")).decode()):
        of = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        verb, kind = of.get("verb", ""), of.get("resource", "")
        if kind not in {
            "leases",
            "members",
            "clusterprofiles",
            "exportedservices",
            "joinrequests",
            "events",
            "secrets",
        }:
            continue
        if verb in {"POST", "PUT", "PATCH", "APPLY", "DELETE"}:
            if kind == "leases" and verb == "PATCH":
                found.leases += float(value)
            elif kind != "leases":
                found.writes += float(value)
        elif verb in {"GET", "LIST"} and kind != "leases":
            found.reads += float(value)
    return found


@dataclass
class Crowd:
    """The members that beat."""

    beats: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def lose(self, count: int) -> frozenset[str]:
        """Have so many fall silent now."""
        names = frozenset(sorted(self.beats)[:count])
        for name in names:
            self.beats.pop(name).cancel()
        return names


@asynccontextmanager
async def beating(client: Client, authority: str) -> AsyncIterator[Crowd]:
    """All members on record, each with its report and its heartbeat, for the length of the block."""
    names = [f"member-{number:04}" for number in range(COUNT)]
    await side_by_side(names, lambda name: _registered(client, name, authority))
    crowd = Crowd()
    async with asyncio.TaskGroup() as tasks:
        for number, name in enumerate(names):
            crowd.beats[name] = tasks.create_task(_beat(client, name, HEARTBEAT * number / COUNT))
        yield crowd
        for task in crowd.beats.values():
            task.cancel()


def _authority(plane: ControlPlane) -> str:
    """One that is as long as they are."""
    found = load_kubeconfig([plane.kubeconfig]).trust.authority
    return base64.b64encode(found.read() if found else b"").decode()


async def _registered(client: Client, name: str, authority: str) -> None:
    spec = {"id": name, "set": SET, "uid": name, "server": f"https://{name}.example:6443"}
    spec |= {"joinedAt": "2026-01-01T00:00:00Z", "certificateAuthority": authority}
    manifest: Manifest = {
        "apiVersion": MEMBERS.api_version,
        "kind": MEMBERS.kind,
        "metadata": {"name": name, "namespace": SET},
        "spec": spec,
    }
    await client.create(MEMBERS, manifest)
    await client.merge_patch(MEMBERS, name, {"status": _status(name)}, namespace=SET, subresource="status")


def _status(name: str) -> Mapping[str, object]:
    properties = {f"property-{number}.example.com": f"value {number} of {name}" for number in range(10)}
    return {
        "agentVersion": __version__,
        "kubernetesVersion": "v1.36.3",
        "region": "eu-west",
        "properties": properties | {"cluster.clusterset.k8s.io": name, "clusterset.k8s.io": SET},
        "probe": {"answered": True, "at": "2026-01-01T00:00:00Z"},
        "clockDifference": 0,
    }


async def _beat(client: Client, name: str, late: float) -> None:
    await asyncio.sleep(late)
    heartbeat = Heartbeat(client, namespace=MEMBERS_NAMESPACE, name=name, identity=name, every=HEARTBEAT)
    heartbeat.tell(lambda: {IMPORTS_ANNOTATION: "100"})
    await heartbeat.run()
