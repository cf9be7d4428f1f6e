"""A member's API server through the tunnel beside the same server asked directly, turn by turn.

Hub and member are real control planes; proxy server and agent run as they are installed. What asks is a process of its
own, with Python's own HTTP client, and does the same either way.
"""

import asyncio
import base64
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

from bench.figures import beside_floor
from bench.processes import cpu_seconds
from bench.real import NAMESPACE, SET, isthmus, make_namespace, side_by_side
from bench.result import Result
from isthmus.api.core import CONFIG_MAPS
from isthmus.api.isthmus import MEMBERS
from isthmus.errors import Invalid, Unreachable
from isthmus.hub.bootstrap import NewMember, bootstrap_hub, bootstrap_member
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.tls import context
from isthmus.testing.cluster import BY_HAND
from isthmus.tunnel.connect import address
from tests.fleets import by_token
from tests.real.build import binary
from tests.real.controlplane import ControlPlane, running
from tests.real.ports import free_ports

KEPT_GOAL, NEW_GOAL, LIST_GOAL = 2.5, 4.0, 0.4
MEMBER = "west"
LARGE = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
SMALL = f"{LARGE}/small"
# ConfigMaps of so many bytes.
COUNT, SIZE = 400, 20_000
TIMES_KEPT, TIMES_NEW, TIMES_LISTED = 2000, 300, 20
MB = 1_000_000
# Seconds.
LIMIT = 60.0

Opens = Callable[[], HTTPSConnection]
# Seconds of each request: directly, and through the tunnel.
Both = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Measured:
    """By connections that are kept, by new ones; lists of so many bytes, and processor time of those through."""

    kept: Both
    new: Both
    lists: Both
    size: int
    cpu: float


def run() -> Iterator[Result]:
    """The figures. Raises Invalid where the control plane is not built."""
    if not binary().exists():
        raise Invalid("there is no real control plane here. Type: make real")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        hub, member = (
            stack.enter_context(running(Path(folder, name), number=number))
            for number, name in enumerate(("hub", MEMBER), start=1)
        )
        measured = _measured(hub, member, stack)
    for what, (floor, ours), goal in (
        ("GET, connection kept", measured.kept, KEPT_GOAL),
        ("GET, new connection", measured.new, NEW_GOAL),
    ):
        yield from beside_floor(what, ours, floor, goal, by="direct")
    direct, through = (measured.size / statistics.median(seconds) / MB for seconds in measured.lists)
    what = f"list of {measured.size / MB:.1f} MB"
    yield Result(f"{what}: direct", direct, "MB/s")
    yield Result(f"{what}: through the tunnel", through, "MB/s")
    yield Result(f"{what}: beside direct", through / direct, "times", LIST_GOAL, at_least=True)
    yield Result(f"{what}: of proxy server and agent", TIMES_LISTED * measured.size / MB / measured.cpu, "MB per cpu s")


def _measured(hub: ControlPlane, member: ControlPlane, stack: ExitStack) -> Measured:
    credential = hub.folder / "member.kubeconfig"
    credential.write_text(asyncio.run(_prepare(hub.kubeconfig, member.kubeconfig)))
    certificate, key = hub.authority.sign("tunnel", "tunnel", addresses=["127.0.0.1"])
    consumers, agents = free_ports(2)
    proxy = (
        *(
            "tunnel",
            f"--kubeconfig={hub.kubeconfig}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
        ),
        *(f"--consumers=127.0.0.1:{consumers}", f"--agents=127.0.0.1:{agents}"),
    )
    agent = (
        *("agent", f"--set={SET}", f"--cluster={MEMBER}", f"--kubeconfig={member.kubeconfig}"),
        *(f"--hub-kubeconfig={credential}", f"--tunnel=https://127.0.0.1:{agents}"),
    )
    pids = [
        stack.enter_context(isthmus(hub.folder / "tunnel.log", *proxy)),
        stack.enter_context(isthmus(member.folder / "agent.log", *agent)),
    ]
    command = [sys.executable, "-m", "bench.tunnel", str(member.kubeconfig), str(consumers), *map(str, pids)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(told.stdout))


async def _prepare(hub: Path, member: Path) -> str:
    """The member's address is published, and it has what is asked for; the kubeconfig of its agent for the hub."""
    config = load_kubeconfig([member])
    async with Client(load_kubeconfig([hub])) as client:
        await bootstrap_hub(client, SET, [NewMember(MEMBER)])
        credential = await by_token(client, hub, MEMBER)
        await client.merge_patch(MEMBERS, MEMBER, {"spec": {"server": config.server}}, namespace=SET)
    async with Client(config) as client:
        await bootstrap_member(client)
        await make_namespace(client, NAMESPACE)

        async def make(wanted: tuple[str, int]) -> None:
            name, size = wanted
            manifest = {"metadata": {"name": name}, "data": {"text": "x" * size}}
            await client.apply(CONFIG_MAPS, manifest, namespace=NAMESPACE, options=BY_HAND)

        await side_by_side([("small", 10), *((f"large-{number}", SIZE) for number in range(COUNT))], make)
    return credential


def _measure(kubeconfig: Path, consumers: int, pids: Sequence[int]) -> Measured:
    """In a process of its own."""
    config = load_kubeconfig([kubeconfig])
    tls = context(config.trust, now=datetime.now(UTC))
    server = address(config.server)
    direct = partial(HTTPSConnection, *server, timeout=LIMIT, context=tls)

    def through() -> HTTPSConnection:
        connection = HTTPSConnection("127.0.0.1", consumers, timeout=LIMIT, context=tls)
        user = base64.b64encode(f"{MEMBER}:".encode()).decode()
        connection.set_tunnel(*server, headers={"Proxy-Authorization": f"Basic {user}"})
        return connection

    _wait(through)
    kept = _kept(direct, through, SMALL, TIMES_KEPT)
    new = _new(direct, through)
    with closing(through()) as connection:
        size = _asked(connection, LARGE)
        before = cpu_seconds(pids)
        lists = _kept(direct, through, LARGE, TIMES_LISTED)
        return Measured(kept, new, lists, size, cpu_seconds(pids) - before)


def _wait(through: Opens) -> None:
    limit = time.monotonic() + LIMIT
    while time.monotonic() < limit:
        with suppress(OSError, HTTPException), closing(through()) as connection:
            _asked(connection, SMALL)
            return
        # The agent has yet to dial in.
        time.sleep(0.05)
    raise Unreachable(f"nothing comes through the tunnel after {LIMIT:g} s")


def _kept(direct: Opens, through: Opens, path: str, times: int) -> Both:
    """Turn by turn, each by one connection."""
    with closing(direct()) as one, closing(through()) as other:
        for connection in (one, other):
            _asked(connection, path)
        rounds = [(_timed(one, path), _timed(other, path)) for _ in range(times)]
    return [each for each, _ in rounds], [each for _, each in rounds]


def _new(direct: Opens, through: Opens) -> Both:
    """Turn by turn, each by a connection of its own, whose making counts."""
    rounds = []
    for _ in range(TIMES_NEW):
        with closing(direct()) as one, closing(through()) as other:
            rounds.append((_timed(one, SMALL), _timed(other, SMALL)))
    return [each for each, _ in rounds], [each for _, each in rounds]


def _timed(connection: HTTPSConnection, path: str) -> float:
    began = time.perf_counter()
    _asked(connection, path)
    return time.perf_counter() - began


def _asked(connection: HTTPSConnection, path: str) -> int:
    """The size of the answer, all of which is read. Raises Invalid for one that says no."""
    connection.request("GET", path)
    answer = connection.getresponse()
    size = 0
    while piece := answer.read(1 << 18):
        size += len(piece)
    if answer.status != 200:
        raise Invalid(f"GET {path}: {answer.status}")
    return size


if __name__ == "__main__":
    kubeconfig, consumers, *pids = sys.argv[1:]
    sys.stdout.write(json.dumps(asdict(_measure(Path(kubeconfig), int(consumers), [int(pid) for pid in pids]))))
