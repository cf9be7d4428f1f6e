"""The road of a member: each of its steps is broken in turn, and the walk ends there and says what to type."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from isthmus.agent import app as agent
from isthmus.agent.agent import Duty
from isthmus.api.access import CLUSTER_ROLE_BINDINGS
from isthmus.api.core import CRDS
from isthmus.api.isthmus import EXPORT_GRANTS
from isthmus.dns.app import DNSOptions, serve
from isthmus.errors import Unreachable
from isthmus.hub.bootstrap import bootstrap_member
from isthmus.install.manifests import apply
from isthmus.install.road import membership, services
from isthmus.install.road.walk import Finding, Road, Step, Words, walk
from isthmus.install.roles import member_roles
from isthmus.kit.clock import SystemClock
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.records import Address, Type
from isthmus.kit.dns.server import bind
from isthmus.kube.client import Client
from isthmus.kube.config import Config, load_kubeconfig
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet, Pace, Process
from isthmus.testing.waiting import eventually
from tests.fleets import MakeFleet

QUICK = Pace(heartbeat=0.5, silent_after=4)
STEPS = (*membership.STEPS, *services.STEPS)
ALL = ["rights", "CRDs", "agent", "hub", "lease", "clock", "export", "import", "slices", "DNS", "endpoint"]
LOCAL = "127.0.0.1"


class Fast(SystemClock):
    """The machine's clock, two minutes ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=2)


@dataclass
class Node:
    """Stands where a pod of the member would: its resolver asks `isthmus dns`, and all addresses lead to one port."""

    dns: tuple[str, int]
    backend: int

    async def resolve(self, name: str) -> Sequence[str]:
        try:
            reply = await resolve(name, Type.A, self.dns)
        except TimeoutError as error:
            raise Unreachable(f"{self.dns}: no answer") from error
        return [str(record.data.address) for record in reply.answers if isinstance(record.data, Address)]

    async def connect(self, address: str, port: int) -> str:
        del address, port
        try:
            _, writer = await asyncio.open_connection(LOCAL, self.backend)
        except OSError as error:
            return str(error)
        writer.close()
        return ""


@dataclass
class Walker:
    """Walks east's road, and keeps what it found broken."""

    road: Road
    table: list[Finding] = field(default_factory=list)
    last: Finding | None = None
    looks: Sequence[Step] = STEPS

    async def steps(self) -> list[Finding]:
        return [finding async for finding in walk(self.road, self.looks)]

    async def wait_well(self) -> list[Finding]:
        async def well() -> list[Finding]:
            found = await self.steps()
            self.last = found[-1]
            return found if not self.last.is_broken else []

        try:
            return await eventually(well, within=45)
        except AssertionError as error:
            raise AssertionError(f"the road ends with {self.last}") from error

    async def wait_said(self, step: str, said: str) -> None:
        """Until that step says these words, and the walk goes on to its end."""

        async def noted() -> bool:
            found = await self.steps()
            self.last = found[-1]
            return not self.last.is_broken and any(each.step == step and said in each.said for each in found)

        await eventually(noted, within=45, what=f"{step}: {said}")

    async def wait_broken(self, step: str, said: str, remedy: str) -> None:
        """Until the walk ends at that step, with these words."""

        async def ends() -> bool:
            self.last = (await self.steps())[-1]
            return self.last.is_broken and self.last.step == step and said in self.last.said

        try:
            await eventually(ends, within=45)
        except AssertionError as error:
            raise AssertionError(f"the road ends with {self.last}, not at {step}: {said}") from error
        finding = self.last
        assert finding is not None
        assert remedy in finding.remedy
        assert "Type: " in finding.remedy
        self.table.append(finding)


@asynccontextmanager
async def names_of(fleet: Fleet) -> AsyncIterator[tuple[str, int]]:
    options = DNSOptions(fleet["east"].host.kubeconfig, listen=((LOCAL, 0),))
    sockets = bind(options.listen)
    async with fleet["east"].connect() as client, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(serve(client, sockets, options))
        yield sockets[0].getsockname()
        task.cancel()


@asynccontextmanager
async def other_agent(fleet: Fleet, duty: Duty, hub: Client) -> AsyncIterator[None]:
    """Another agent of east in the place of its own."""
    await fleet.agents["east"].kill()
    async with fleet["east"].connect() as member, hub, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(agent.serve(duty, member=member, hub=hub))
        yield
        await Process(task).kill()
    fleet.agents["east"] = await fleet.start_agent("east")


async def broken(walker: Walker, step: str, said: str, remedy: str, mend: Callable[[], Awaitable[object]]) -> None:
    await walker.wait_broken(step, said, remedy)
    await mend()
    await walker.wait_well()


async def test_each_step_is_broken_in_turn_and_the_walk_ends_there(make_fleet: MakeFleet, kind: str) -> None:
    async with make_fleet(["east", "west"], QUICK) as fleet, AsyncExitStack() as stack:
        east, west, at = fleet["east"], fleet["west"], fleet.namespace
        dns = await stack.enter_async_context(names_of(fleet))
        backend = await asyncio.start_server(lambda _, writer: writer.close(), LOCAL, 0)
        stack.callback(backend.close)
        node = Node(dns, backend.sockets[0].getsockname()[1])
        words = Words("kubectl --context east", context="--context east")
        walker = Walker(Road(east.client, fleet.hub.client, "east", fleet.set, words, node))
        await west.serve(at, "shop", ["10.78.0.5"])
        await west.export(at, "shop")
        await east.wait_addresses(at, "shop", {"10.78.0.5"})
        assert [finding.step for finding in await walker.wait_well()] == ALL

        await membership_broken(walker, fleet)
        await services_broken(walker, fleet)

        walker.road = replace(walker.road, inside=Node(("127.0.0.1", unused()), node.backend))
        await walker.wait_broken("DNS", "shop", "isthmus dns configure --context east")
        walker.road = replace(walker.road, inside=node)
        await walker.wait_well()
        backend.close()
        await backend.wait_closed()
        await walker.wait_broken("endpoint", "no connection to", "kubectl --context east -n")

        await east.client.delete(CRDS, "serviceexports.multicluster.x-k8s.io")
        await walker.wait_broken("CRDs", "serviceexports.multicluster.x-k8s.io", "isthmus join TOKEN --context east")
        await bootstrap_member(east.client)
        show(kind, walker.table)


async def membership_broken(walker: Walker, fleet: Fleet) -> None:
    east, logs = fleet["east"], "logs deployment/isthmus-agent"
    await east.client.delete(CLUSTER_ROLE_BINDINGS, "isthmus-agent")
    await broken(
        walker,
        "rights",
        "isthmus-agent lacks: get namespaces",
        "isthmus token create --cluster east, then with what it prints: isthmus join TOKEN --context east",
        lambda: apply(east.client, member_roles()),
    )

    async def restart() -> None:
        fleet.agents["east"] = await fleet.start_agent("east")

    await fleet.agents["east"].kill()
    await broken(walker, "agent", "no agent works here: ", logs, restart)

    whole = walker.road
    async with Client(Config("https://127.0.0.1:9")) as nowhere:
        walker.road = replace(whole, hub=nowhere)
        await walker.wait_broken("hub", "the hub cannot be reached", "curl -k https://127.0.0.1:9/readyz")
    async with Client(Config("https://hub.example", proxy="http://east:secret@127.0.0.1:9")) as nowhere:
        walker.road = replace(whole, hub=nowhere)
        curl = "curl -k -x 127.0.0.1:9 https://hub.example/readyz"
        await walker.wait_broken("hub", "the hub cannot be reached", curl)
    walker.road = replace(whole, cluster="nobody")
    await walker.wait_broken("hub", "has no member nobody", "isthmus join TOKEN --context east")
    walker.road = whole

    async with other_agent(fleet, Duty("other", fleet.set, "other", 0.5), fleet.hub.connect()):
        await walker.wait_broken("lease", "no heartbeat since", logs)
    await walker.wait_well()
    fast = Client(load_kubeconfig([fleet.hub.host.kubeconfig]), clock=Fast())
    async with other_agent(fleet, Duty("east", fleet.set, "fast", 0.5), fast):
        await walker.wait_broken("clock", "seconds ahead of the hub's", "timedatectl set-ntp true")
    await walker.wait_well()


async def services_broken(walker: Walker, fleet: Fleet) -> None:
    east, west, at = fleet["east"], fleet["west"], fleet.namespace
    await east.export(at, "ghost")
    await broken(walker, "export", "ghost is not Valid", "describe serviceexport", lambda: east.unexport(at, "ghost"))
    grant = {
        "apiVersion": EXPORT_GRANTS.api_version,
        "kind": EXPORT_GRANTS.kind,
        "metadata": {"name": "closed"},
        "spec": {"namespaces": [at], "clusters": ["nobody"]},
    }
    await fleet.hub.client.apply(EXPORT_GRANTS, grant, namespace=fleet.set, options=BY_HAND)
    await walker.wait_said("import", "no ExportGrant lets cluster west export")
    await fleet.hub.client.delete(EXPORT_GRANTS, "closed", namespace=fleet.set)
    await east.wait_addresses(at, "shop", {"10.78.0.5"})
    await west.serve(at, "bare", [])
    await west.export(at, "bare")
    await walker.wait_said("slices", f"1 of 2 imports have ready endpoints; {at}/bare has none")
    await west.unexport(at, "bare")
    await east.wait_no_import(at, "bare")
    await west.back(at, "shop", [])
    await broken(
        walker,
        "slices",
        "has no ready endpoint: none of its exporters (west) has one",
        "get exportedservices",
        lambda: west.back(at, "shop", ["10.78.0.5"]),
    )
    await fleet.agents["east"].kill()
    await west.serve(at, "late", ["10.78.0.6"])
    await west.export(at, "late")
    late = f"{at}/late is exported by west, and not imported here"
    walk_on = replace(walker, looks=services.STEPS)
    await walk_on.wait_broken("import", late, "logs deployment/isthmus-agent")
    await west.unexport(at, "late")
    fleet.agents["east"] = await fleet.start_agent("east")
    await walker.wait_well()


def unused() -> int:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
        free.bind((LOCAL, 0))
        return int(free.getsockname()[1])


def show(kind: str, table: Sequence[Finding]) -> None:
    lines = [f"{finding.step:<9} {finding.said}\n{'':9} -> {finding.remedy}" for finding in table]
    print(f"\n{kind}: what doctor named\n" + "\n".join(lines))  # noqa: T201 - a table for people
