"""A cluster set of real processes under a steady load: control planes, hub, agents and DNS servers, all watched."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from isthmus.api.core import ENDPOINT_SLICES, LEASES, NAMESPACES
from isthmus.api.isthmus import MEMBERS, MEMBERS_NAMESPACE
from isthmus.api.mcs import SERVICE_IMPORTS, SERVICE_NAME_LABEL
from isthmus.hub.bootstrap import NewMember, bootstrap_hub, bootstrap_member
from isthmus.install.manifests import apply
from isthmus.install.roles import AGENT_USER, DNS_USER, HUB_USER, hub_roles, member_user
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.waiting import eventually
from tests.faults.disturbances import Disturbances
from tests.faults.ledger import Ledger
from tests.faults.load import NAMESPACE, Load
from tests.faults.observer import BOUND, Observer, Seen, Sight
from tests.faults.plane import Plane
from tests.faults.processes import Unit
from tests.faults.questions import Questions
from tests.faults.relay import Relays
from tests.faults.watcher import Told, Watcher, session
from tests.real.ports import free_port

SET = "prod"
HUB, AGENT, DNS = "hub", "agent", "dns"
# Seconds.
START = 60.0
LOOK = 0.1
# Members fall silent in one test after the other here: that is no flapping.
UNSEEN = 1000


@dataclass(frozen=True)
class Pace:
    """How fast the set's clockwork runs, in seconds."""

    heartbeat: float = 1.5
    # A heartbeat may come that much late: an outage of 3 s, and the longest back-off that such a one leads to.
    silent_after: float = 9.0
    brake: float = 10.0


@dataclass
class Member:
    """A cluster of the set, with its two processes."""

    name: str
    plane: Plane
    client: Client
    agent: Unit
    dns: Unit
    load: Load
    questions: Questions


class RealFleet:
    """`async with RealFleet(folder, ["east", "west"]) as fleet:`: all runs, is changed, asked and watched."""

    def __init__(self, folder: Path, members: Iterable[str], *, pace: Pace = Pace()) -> None:
        self.folder = folder
        self.pace = pace
        self.ledger = Ledger()
        self.disturbances = Disturbances()
        self.observer = Observer(self.ledger, self.disturbances, silent_after=pace.silent_after)
        self.members: dict[str, Member] = {}
        self.hub: Plane
        self.hub_client: Client
        self.controller: Unit
        self._names = tuple(members)
        self._planes = 0
        self._sync = ExitStack()
        self._stack = AsyncExitStack()
        self._relays: Relays
        self._tasks: asyncio.TaskGroup
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._relays = self._sync.enter_context(Relays())
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self.hub, self.hub_client = await self._plane(HUB)
        await bootstrap_hub(self.hub_client, SET, [])
        await apply(self.hub_client, hub_roles(SET))
        pace = (f"--silent-after={self.pace.silent_after}", f"--brake={self.pace.brake}", f"--flaps={UNSEEN}")
        config = self.hub.road_of(HUB, HUB_USER)
        self.controller = self._unit(HUB, HUB, f"--kubeconfig={config}", f"--set={SET}", *pace)
        self.controller.start()
        path = f"apis/{MEMBERS.api_version}/namespaces/{SET}/{MEMBERS.plural}"
        await self._see(self.hub, path, self.observer.member_changed)
        path = f"apis/{LEASES.api_version}/namespaces/{MEMBERS_NAMESPACE}/{LEASES.plural}"
        await self._see(self.hub, path, self.observer.lease_changed)
        for name in self._names:
            await self._join(name)
        self._run(self._look(), "observer")
        await self._begin(*self.members.values())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        self._sync.close()
        await self._stack.aclose()

    async def join(self, name: str) -> Member:
        """Another member, with its agent, its DNS server, and load; returns when all is right there."""
        member = await self._join(name)
        await self._begin(member)
        return member

    async def _begin(self, *members: Member) -> None:
        """Names are asked for once they are there."""
        await self.settled(within=START)
        for member in members:
            self._run(member.questions.run(), f"questions {member.name}")

    async def _join(self, name: str) -> Member:
        plane, client = await self._plane(name)
        uid = await bootstrap_member(client)
        await bootstrap_hub(self.hub_client, SET, [NewMember(name, uid)])
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await client.create(NAMESPACES, manifest)
        agent = self.agent(name, plane)
        port = free_port()
        config = plane.road_of(DNS, DNS_USER)
        dns = self._unit(f"{name}-dns", DNS, f"--kubeconfig={config}", f"--listen=127.0.0.1:{port}")
        load = Load(name, plane.number, client, self.ledger, random.Random(plane.number))
        questions = Questions(name, ("127.0.0.1", port), self.ledger, self.observer, self.disturbances, load.chance)
        member = self.members[name] = Member(name, plane, client, agent, dns, load, questions)
        for unit in (agent, dns):
            unit.start()
        await self._see_member(name, plane)
        await load.begin()
        self._run(load.run(), f"load {name}")
        return member

    def agent(self, name: str, plane: Plane, *, pod: str = "", launched: tuple[str, ...] = ()) -> Unit:
        """An agent for a member, not started; another one under another pod's name."""
        here = plane.road_of(pod or AGENT, AGENT_USER)
        there = self.hub.road_of(pod or name, member_user(name))
        words = (f"--kubeconfig={here}", f"--hub-kubeconfig={there}", f"--cluster={name}", f"--set={SET}")
        pace = f"--heartbeat={self.pace.heartbeat}"
        return self._unit(pod or f"{name}-agent", AGENT, *words, pace, launched=launched)

    @contextmanager
    def broken(self, *parts: str) -> Iterator[None]:
        """For as long as the block lasts, what depends on these parts may be wrong."""
        with self.disturbances.broken(parts):
            yield

    async def settled(self, *, within: float = BOUND) -> float:
        """Seconds until every member could change something, and what was wrong by then is right.

        Raises AssertionError after `within`.
        """
        began = time.monotonic()
        before = {name: member.load.done for name, member in self.members.items()}
        changed_at = 0.0

        async def all_right() -> bool:
            nonlocal changed_at
            if not changed_at and all(self.members[name].load.done > done for name, done in before.items()):
                self.observer.look()
                changed_at = time.monotonic()
            return bool(changed_at) and not self.observer.wrong_since_before(changed_at)

        try:
            await eventually(all_right, within=within, what="all is right again")
        except AssertionError as late:
            left = self.observer.wrong_since_before(changed_at or time.monotonic())
            lines = [f"{' '.join(each)}: {self.observer.shown(each)}" for each in left]
            lines += [f"{name} could not be changed" for name in before if self.members[name].load.done == before[name]]
            text = "\n".join(lines)
            raise AssertionError(f"{late}\n{text}") from late
        return time.monotonic() - began

    async def _plane(self, name: str) -> tuple[Plane, Client]:
        self._planes += 1
        plane = Plane(self.folder / name, self._relays, number=self._planes)
        self._sync.callback(plane.stop)
        await asyncio.to_thread(plane.start)
        client = Client(load_kubeconfig([plane.kubeconfig]), user_agent="test")
        return plane, await self._stack.enter_async_context(client)

    def _unit(self, name: str, *words: str, launched: tuple[str, ...] = ()) -> Unit:
        unit = Unit(name, words, self.folder / f"{name}.log", launched)
        self._sync.callback(unit.kill)
        return unit

    async def _see(self, plane: Plane, path: str, told: Told, *, labels: str = "") -> Watcher:
        """Have one kind of one cluster looked at, past all roads."""
        pki = (plane.folder / file for file in ("ca.crt", "admin.crt", "admin.key"))
        looking = await self._stack.enter_async_context(session(*pki))
        watcher = Watcher(looking, f"{plane.server}/{path}", told, labels=labels)
        self._run(watcher.run(), f"watch {path}")
        return watcher

    async def _see_member(self, name: str, plane: Plane) -> None:
        observer = self.observer
        own = f"namespaces/{NAMESPACE}"
        mcs = f"apis/{SERVICE_IMPORTS.api_version}/{own}"

        def told(of: Callable[[str, str, Seen, Seen], None]) -> Told:
            return lambda item, before, after: of(name, item, before, after)

        derived = await self._see(
            plane, f"api/v1/{own}/services", told(observer.service_changed), labels=SERVICE_NAME_LABEL
        )
        slices = f"apis/{ENDPOINT_SLICES.api_version}/{own}/endpointslices"
        observer.sights[name] = Sight(
            imports=(await self._see(plane, f"{mcs}/serviceimports", told(observer.import_changed))).objects,
            exports=(await self._see(plane, f"{mcs}/serviceexports", _nothing)).objects,
            services=derived.objects,
            slices=(await self._see(plane, slices, _nothing, labels=SERVICE_NAME_LABEL)).objects,
        )

    async def _look(self) -> None:
        while True:
            self.observer.look()
            await asyncio.sleep(LOOK)

    def _run(self, work: Coroutine[object, object, None], name: str) -> None:
        self._running.append(self._tasks.create_task(work, name=name))


def _nothing(name: str, before: Seen, after: Seen) -> None:
    """Only what is there counts, not how it came."""
