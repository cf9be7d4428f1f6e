"""Of several candidates one leads, and never two; a heartbeat that others can watch."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from isthmus import errors
from isthmus.api import core
from isthmus.kit.clock import FakeClock
from isthmus.kube.client import Client
from isthmus.kube.config import Config
from isthmus.kube.lease import Elector, Heartbeat, micro_time
from tests.kube.scripted import Reply, Scripted, Seen, soon, status

# Seconds: long enough that a loaded machine renews in time.
DURATION = 2.4


class Stage:
    """Who works, and whether ever two did at once."""

    def __init__(self) -> None:
        self.working: list[str] = []
        self.history: list[str] = []
        self.most = 0

    def work(self, name: str) -> Callable[[], Awaitable[None]]:
        async def working() -> None:
            self.working.append(name)
            self.history.append(name)
            self.most = max(self.most, len(self.working))
            try:
                await asyncio.Event().wait()
            finally:
                self.working.remove(name)

        return working


async def soon_by(clock: FakeClock, condition: Callable[[], bool]) -> None:
    """Let time pass in steps of half a second until the condition holds."""
    async with asyncio.timeout(20):
        while not condition():
            await clock.advance(0.5)
            await asyncio.sleep(0.005)


def elector(client: Client, namespace: str, identity: str) -> Elector:
    return Elector(client, namespace=namespace, name="agent", identity=identity, duration=DURATION)


async def test_of_two_candidates_one_leads_until_it_ends(client: Client, namespace: str) -> None:
    stage = Stage()
    async with asyncio.TaskGroup() as tasks:
        candidates = {
            name: tasks.create_task(elector(client, namespace, name).lead(stage.work(name))) for name in ("a", "b")
        }
        await soon(lambda: stage.working)
        (first,) = stage.working
        lease = await client.get(core.LEASES, "agent", namespace=namespace)
        assert lease.spec.holder_identity == first
        # It keeps the lead over many renewals.
        versions = {lease.metadata.resource_version}

        async def renewed() -> None:
            while len(versions) < 5:
                seen = await client.get(core.LEASES, "agent", namespace=namespace)
                versions.add(seen.metadata.resource_version)
                await asyncio.sleep(0.02)

        async with asyncio.timeout(20):
            await renewed()
        assert stage.history == [first]
        candidates.pop(first).cancel()
        await soon(lambda: stage.working and stage.working != [first])
        assert stage.most == 1
        lease = await client.get(core.LEASES, "agent", namespace=namespace)
        assert lease.spec.lease_transitions == 2
        assert lease.spec.renew_time is not None
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", lease.spec.renew_time)
        for task in candidates.values():
            task.cancel()


async def test_a_leader_that_dies_is_followed_after_its_time(client: Client, namespace: str) -> None:
    # It holds the lease for an hour by its own clock, which is wrong; what counts is that it stands still.
    dead = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "agent"},
        "spec": {
            "holderIdentity": "dead",
            "leaseDurationSeconds": 1,
            "renewTime": "2099-01-01T00:00:00.000000Z",
        },
    }
    await client.create(core.LEASES, dead, namespace=namespace)
    stage = Stage()
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(elector(client, namespace, "b").lead(stage.work("b")))
        await soon(lambda: stage.working)
        assert loop.time() - began >= 1.0
        task.cancel()


async def test_a_leader_that_is_robbed_stops(client: Client, namespace: str) -> None:
    stage = Stage()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(elector(client, namespace, "a").lead(stage.work("a")))
        await soon(lambda: stage.working)
        stolen = {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 3600}}
        await client.merge_patch(core.LEASES, "agent", stolen, namespace=namespace)
        await soon(lambda: not stage.working)
        task.cancel()
    lease = await client.get(core.LEASES, "agent", namespace=namespace)
    assert lease.spec.holder_identity == "thief"


async def test_the_end_of_the_work_ends_the_lead_and_frees_the_lease(client: Client, namespace: str) -> None:
    candidate = elector(client, namespace, "a")
    was_leading: list[bool] = []

    async def work() -> None:
        was_leading.append(candidate.is_leading)

    await candidate.lead(work)
    assert was_leading == [True]
    assert not candidate.is_leading
    lease = await client.get(core.LEASES, "agent", namespace=namespace)
    assert not lease.spec.holder_identity


async def test_work_that_fails_frees_the_lease_and_tells(client: Client, namespace: str) -> None:
    async def work() -> None:
        raise errors.Invalid("broken")

    with pytest.raises(ExceptionGroup) as group:
        await elector(client, namespace, "a").lead(work)
    assert group.group_contains(errors.Invalid)
    lease = await client.get(core.LEASES, "agent", namespace=namespace)
    assert not lease.spec.holder_identity


async def test_a_leader_cut_off_stops_before_others_may_begin() -> None:
    """The server takes the lease's first write, and then never answers again."""
    lease = {
        "metadata": {"name": "agent", "resourceVersion": "1"},
        "spec": {"holderIdentity": "", "leaseDurationSeconds": 15},
    }
    cut_off = asyncio.Event()

    async def answer(seen: Seen, reply: Reply) -> None:
        if cut_off.is_set():
            await reply.hang()
        await reply.json(lease)

    clock = FakeClock(datetime(2030, 1, 1, tzinfo=UTC))
    stage = Stage()
    async with Scripted().then(answer) as server, Client(Config(server.url)) as client:
        candidate = Elector(client, namespace="x", name="agent", identity="a", duration=15.0, clock=clock)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(candidate.lead(stage.work("a")))
            await soon(lambda: stage.working)
            cut_off.set()
            began = clock.monotonic()
            await soon_by(clock, lambda: not stage.working)
            assert clock.monotonic() - began <= 10.5
            assert not candidate.is_leading
            task.cancel()


async def test_a_write_that_comes_between_does_not_end_the_lead() -> None:
    lease = {"metadata": {"name": "agent", "resourceVersion": "1"}, "spec": {"holderIdentity": "a"}}
    writes: list[int] = []

    async def answer(seen: Seen, reply: Reply) -> None:
        writes.append(seen.method == "PATCH")
        disturbed = seen.method == "PATCH" and sum(writes) in {2, 3}
        await (status(409, "Conflict")(seen, reply) if disturbed else reply.json(lease))

    clock, stage = FakeClock(), Stage()
    async with Scripted().then(answer) as server, Client(Config(server.url)) as client, asyncio.TaskGroup() as tasks:
        candidate = Elector(client, namespace="x", name="agent", identity="a", clock=clock)
        task = tasks.create_task(candidate.lead(stage.work("a")))
        await soon_by(clock, lambda: sum(writes) >= 6)
        assert stage.history == ["a"]
        task.cancel()


async def test_a_label_on_the_lease_does_not_end_the_lead(client: Client, namespace: str) -> None:
    stage = Stage()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(elector(client, namespace, "a").lead(stage.work("a")))
        await soon(lambda: stage.working)
        for n in range(20):
            labels = {"metadata": {"labels": {"n": str(n)}}}
            await client.merge_patch(core.LEASES, "agent", labels, namespace=namespace)
            await asyncio.sleep(DURATION / 10)
        assert stage.history == ["a"]
        assert stage.working == ["a"]
        task.cancel()


async def test_a_heartbeat_renews_its_lease(client: Client, namespace: str) -> None:
    heartbeat = Heartbeat(client, namespace=namespace, name="east", identity="agent-1", every=0.1)
    times: set[str | None] = set()
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
        task = tasks.create_task(heartbeat.run())
        while len(times) < 4:
            await asyncio.sleep(0.02)
            try:
                lease = await client.get(core.LEASES, "east", namespace=namespace)
            except errors.NotFound:
                continue
            times.add(lease.spec.renew_time)
        assert lease.spec.holder_identity == "agent-1"
        assert lease.spec.lease_duration_seconds == 1
        # Somebody deletes it: the next beat makes it again.
        await client.delete(core.LEASES, "east", namespace=namespace)
        while len(times) < 6:
            await asyncio.sleep(0.02)
            try:
                lease = await client.get(core.LEASES, "east", namespace=namespace)
            except errors.NotFound:
                continue
            times.add(lease.spec.renew_time)
        task.cancel()


async def test_an_answer_that_hangs_costs_one_beat_only() -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        if len(server.seen) == 1:
            await reply.hang()
        await reply.json({"metadata": {"name": "east"}})

    async with Scripted().then(answer) as server, Client(Config(server.url)) as client:
        heartbeat = Heartbeat(client, namespace="x", name="east", identity="a", every=0.2)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(heartbeat.run())
            await soon(lambda: len(server.seen) >= 3, seconds=5)
            task.cancel()


class Forgetful(Scripted):
    """A server of one Lease that writes what it is told, answers no write while `deaf`, and can be set back."""

    def __init__(self) -> None:
        super().__init__()
        self.deaf = False
        self.written = ["never"]
        self.then(self._answer)

    def set_back(self, written: int) -> None:
        """As it was after so many writes; what comes now gets other versions than what was lost."""
        self.written[:] = [
            *self.written[:written],
            *["lost"] * (len(self.written) - written),
            self.written[written - 1],
        ]

    async def _answer(self, seen: Seen, reply: Reply) -> None:
        if seen.method == "PATCH":
            patch = json.loads(seen.body)
            if patch["metadata"].get("resourceVersion", self._version) != self._version:
                await status(409, "Conflict")(seen, reply)
                return
            self.written.append(patch["spec"]["renewTime"])
            if self.deaf:
                reply.drop()
                return
        await reply.json({"metadata": {"resourceVersion": self._version}, "spec": {"renewTime": self.written[-1]}})

    @property
    def _version(self) -> str:
        return str(len(self.written))


async def test_a_heartbeat_tells_that_its_server_was_set_back_though_its_beats_got_no_answer() -> None:
    async with Forgetful() as server, Client(Config(server.url)) as client:
        heartbeat = Heartbeat(client, namespace="x", name="east", identity="a", every=0.2)
        told: list[int] = []
        heartbeat.when_lost(lambda: told.append(len(server.written)))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(heartbeat.run())
            await soon(lambda: len(server.written) > 2)
            server.deaf = True
            snapshot = len(server.written) + 1
            await soon(lambda: len(server.written) > snapshot + 2)
            assert not told
            server.set_back(snapshot)
            server.deaf = False
            await soon(lambda: told)
            task.cancel()


def test_a_micro_time_always_has_six_decimals() -> None:
    assert micro_time(datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2030-01-02T03:04:05.000000Z"
