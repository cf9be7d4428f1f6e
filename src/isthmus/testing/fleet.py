"""A whole cluster set in one process: a hub, members, their agents, and the hub's controller."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from isthmus.agent import app as agent
from isthmus.agent.agent import Duty
from isthmus.api.isthmus import EXPORTED_SERVICES, MEMBERS, ExportedService, Member
from isthmus.hub import app as hub
from isthmus.hub.bootstrap import NewMember, bootstrap_hub, bootstrap_member
from isthmus.inventory.rules.health import Grace
from isthmus.testing.cluster import EmbeddedHost, Host, TestCluster


class Process:
    """A task that plays a process: killing it leaves no time to tidy up."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    @property
    def running(self) -> bool:
        """Whether it has neither ended nor been killed."""
        return not self._task.done()

    async def kill(self) -> None:
        """End it where it stands."""
        self._task.cancel()
        await asyncio.wait([self._task])


@dataclass(frozen=True)
class Pace:
    """How fast the set's clockwork runs, in seconds; tests that wait for silence make it quick."""

    heartbeat: float = 10.0
    silent_after: float = 30.0
    brake: float = 300.0


USUAL = Pace()


class Fleet:
    """`async with Fleet(folder, ["east", "west"]) as fleet:` and everything runs; `fleet["east"]` is a cluster.

    `namespace` is one that all members have, for the test to use. `hosts` makes the API server of a name and
    number (the hub's is 0); embedded ones below `folder` unless told otherwise.
    """

    def __init__(
        self,
        folder: Path,
        clusters: Sequence[str],
        *,
        pace: Pace = USUAL,
        hosts: Callable[[str, int], Host] | None = None,
    ) -> None:
        make = hosts or (lambda name, number: EmbeddedHost(name, folder, number))
        # Servers may be shared with other tests, one after the other: names are not.
        token = secrets.token_hex(3)
        self.set = f"set-{token}"
        self.namespace = f"prod-{token}"
        self.pace = pace
        self.hub = TestCluster("hub", make("hub", 0))
        self.members = {name: TestCluster(name, make(name, number)) for number, name in enumerate(clusters, start=1)}
        self.agents: dict[str, Process] = {}
        self.controller: Process
        self._stack = AsyncExitStack()
        self._uids: dict[str, str] = {}
        self._tasks: asyncio.TaskGroup

    def __getitem__(self, name: str) -> TestCluster:
        return self.members[name]

    async def __aenter__(self) -> "Fleet":
        for cluster in (self.hub, *self.members.values()):
            await self._stack.enter_async_context(cluster)
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        for name, cluster in self.members.items():
            self._uids[name] = await bootstrap_member(cluster.client)
            await cluster.namespace(self.namespace)
        await self.register()
        self.controller = await self.start_hub()
        for name in self.members:
            self.agents[name] = await self.start_agent(name)
        return self

    async def __aexit__(self, *error: object) -> None:
        for process in (self.controller, *self.agents.values()):
            await process.kill()
        await self._stack.aclose()

    async def member(self, name: str) -> Member:
        """The hub's record of a member."""
        return await self.hub.client.get(MEMBERS, name, namespace=self.set)

    async def exported(self) -> tuple[ExportedService, ...]:
        """All that the hub holds of what members export from this test's namespaces.

        On shared servers namespaces of former tests may still be going.
        """
        listed = await self.hub.client.list(EXPORTED_SERVICES, namespace=self.set)
        mine = f".{self.namespace}"
        return tuple(item for item in listed.items if mine in item.metadata.name)

    async def register(self) -> None:
        """Put all members on record with the hub, as the registry would."""
        members = [NewMember(name, uid=self._uids[name]) for name in self.members]
        await bootstrap_hub(self.hub.client, self.set, members)
        self.hub.cleared_later(self.set)

    async def start_agent(self, name: str, *, identity: str = "", id_: str = "", cluster_set: str = "") -> Process:
        """Another agent for a cluster; two at once elect one of them.

        It works under another id, or for another set, where these are given.
        """
        set_ = cluster_set or self.set
        duty = Duty(id_ or name, set_, identity or f"{name}-agent", self.pace.heartbeat)

        async def work() -> None:
            async with self.members[name].connect() as member, self.hub.connect() as hub_client:
                await agent.serve(duty, member=member, hub=hub_client)

        return Process(self._tasks.create_task(work(), name=f"agent {name}"))

    async def admit(self, name: str, *, id_: str = "", cluster_set: str = "") -> None:
        """Put one cluster on record, under another id or in another set where these are given."""
        set_ = cluster_set or self.set
        await bootstrap_hub(self.hub.client, set_, [NewMember(id_ or name, uid=self._uids[name])])
        self.hub.cleared_later(set_)

    async def start_hub(self, *, identity: str = "hub-1") -> Process:
        """The hub's controller."""
        options = hub.HubOptions(None, self.set, Grace(silent_after=self.pace.silent_after, hold=self.pace.brake))

        async def work() -> None:
            async with self.hub.connect() as client:
                await hub.serve(client, options, identity=identity)

        return Process(self._tasks.create_task(work(), name="hub controller"))
