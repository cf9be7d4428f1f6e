"""A cluster set on real control planes: hub, east and west, and the processes of Isthmus that serve it."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.processes import process
from isthmus.api.core import NAMESPACES
from isthmus.api.mcs import SERVICE_IMPORTS, ServiceExport, ServiceImport
from isthmus.api.scheme import Resource
from isthmus.errors import Invalid, Throttled, Unreachable
from isthmus.hub.bootstrap import NewMember, bootstrap_hub, bootstrap_member
from isthmus.kube.client import Client, WatchEvent
from isthmus.kube.client import Event as WatchEvents
from isthmus.kube.codec import Key, key_of, version_of
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.waiting import eventually
from tests.real.build import binary
from tests.real.controlplane import ControlPlane, running

T = TypeVar("T")

SET = "bench"
NAMESPACE = "bench"
MEMBERS = ("east", "west")
# Writes under way at a time, to each server.
WRITERS = 16
# Seconds.
READY_LIMIT = 60.0
TRIES = 100


@dataclass(frozen=True)
class RealSet:
    """A running set: a client of an admin for each cluster, and the processes of Isthmus by their cluster."""

    hub: Client
    east: Client
    west: Client
    pids: dict[str, int]

    @property
    def all(self) -> tuple[Client, ...]:
        """The three of them."""
        return self.hub, self.east, self.west


@asynccontextmanager
async def real_set() -> AsyncIterator[RealSet]:
    """Three control planes, a hub process and two agents, for the length of the block.

    Raises Invalid where the control plane is not built.
    """
    if not binary().exists():
        raise Invalid("there is no real control plane here. Type: make real")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        planes = {
            name: stack.enter_context(running(folder / name, number=number))
            for number, name in enumerate(("hub", *MEMBERS), start=1)
        }
        clients = {name: await stack.enter_async_context(client_of(plane)) for name, plane in planes.items()}
        for name in MEMBERS:
            uid = await bootstrap_member(clients[name])
            await bootstrap_hub(clients["hub"], SET, [NewMember(name, uid)])
            await make_namespace(clients[name], NAMESPACE)
        hub = planes["hub"].kubeconfig
        pids = {"hub": stack.enter_context(isthmus(folder / "hub.log", "hub", f"--kubeconfig={hub}", f"--set={SET}"))}
        for name in MEMBERS:
            words = ["agent", f"--hub-kubeconfig={hub}", f"--kubeconfig={planes[name].kubeconfig}"]
            log = folder / f"{name}.log"
            pids[name] = stack.enter_context(isthmus(log, *words, f"--cluster={name}", f"--set={SET}"))
        yield RealSet(**clients, pids=pids)


def client_of(plane: ControlPlane) -> Client:
    """A client of an admin, to be entered."""
    return Client(load_kubeconfig([plane.kubeconfig]), user_agent="bench")


async def follow(
    client: Client,
    kind: Resource[T],
    namespace: str,
    told: Callable[[str, T], Awaitable[None]],
) -> None:
    """Call `told` with each change of one kind in one namespace, until cancelled.

    A server ends the watches of a kind that was just defined once or twice: they are begun again. Raises Unreachable
    where that does not help.
    """
    heard: dict[Key, str] = {}
    for _ in range(TRIES):
        with suppress(Throttled, Unreachable):
            await _follow(client.watch(kind, namespace=namespace), told, heard)
        await asyncio.sleep(0.1)
    raise Unreachable(f"{client.server} ends every watch of {kind.plural}")


async def _follow(
    events: AsyncGenerator[WatchEvents[T], None],
    told: Callable[[str, T], Awaitable[None]],
    heard: dict[Key, str],
) -> None:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, WatchEvent) and heard.get(key_of(event.object)) != version_of(event.object):
                heard[key_of(event.object)] = version_of(event.object)
                await told(event.type, event.object)


async def make_namespace(client: Client, name: str) -> None:
    """A namespace of that name."""
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


@contextmanager
def isthmus(log: Path, *words: str) -> Iterator[int]:
    """One of the processes of Isthmus, as a supervisor starts it; its pid."""
    with process([sys.executable, "-m", "isthmus.cli.main", *words], log) as started:
        yield started.pid


async def side_by_side(items: Sequence[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do the work of all items, WRITERS of them at a time."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(WRITERS)))


async def wait_ready(member: Client, name: str) -> None:
    """Return once an import is Ready. Raises AssertionError where that takes too long."""

    async def ready() -> bool:
        item = await member.get(SERVICE_IMPORTS, name, namespace=NAMESPACE)
        return is_ready(item)

    await eventually(ready, within=READY_LIMIT, what=f"import {name} ready at {member.server}")


def is_ready(item: ServiceImport | ServiceExport) -> bool:
    """Whether an import says that it can be used, or an export that it is published."""
    conditions = item.status.conditions if item.status is not None else ()
    return any((each.type, each.status) == ("Ready", "True") for each in conditions)
