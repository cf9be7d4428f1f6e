"""An agent through the faults of its world: hub away, hub emptied, killed, doubled, its cluster away."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from isthmus.agent.agent import Agent, Duty
from isthmus.agent.app import AgentOptions, run, serve
from isthmus.agent.standing import Standing
from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.core import ENDPOINT_SLICES, LEASES, SERVICES
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.errors import Invalid
from isthmus.hub.bootstrap import bootstrap_member
from isthmus.kit.clock import SYSTEM
from isthmus.kit.probes import Readiness
from isthmus.kube.client import Client
from isthmus.testing.cluster import EmbeddedHost, TestCluster
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually, throughout
from tests.conftest import CONTROL_PLANE
from tests.fleets import MakeFleet

SHOP = "shop"
LONG_RUNNING = re.compile(r"^apiserver_longrunning_requests\{(.*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


async def exported(fleet: Fleet) -> None:
    """Shop is exported from east and west, and everybody has both."""
    for name, address in (("east", "10.77.0.5"), ("west", "10.78.0.5")):
        await fleet[name].serve(fleet.namespace, SHOP, [address])
        await fleet[name].export(fleet.namespace, SHOP)
    for name in fleet.members:
        await fleet[name].wait_addresses(fleet.namespace, SHOP, {"10.77.0.5", "10.78.0.5"})
        await fleet[name].wait_import(fleet.namespace, SHOP)


async def test_while_the_hub_is_away_all_stays_and_own_endpoints_go_on_changing(
    embedded_fleet: MakeFleet,
) -> None:
    async with embedded_fleet() as fleet:
        await exported(fleet)
        await fleet.hub.host.stop()
        await fleet["east"].back(fleet.namespace, SHOP, ["10.77.0.6"])
        await fleet["east"].wait_addresses(fleet.namespace, SHOP, {"10.77.0.6", "10.78.0.5"})
        assert await fleet["west"].addresses(fleet.namespace, SHOP) == {"10.77.0.5", "10.78.0.5"}
        await fleet.hub.host.start()
        await fleet["west"].wait_addresses(fleet.namespace, SHOP, {"10.77.0.6", "10.78.0.5"}, within=20)


async def test_an_agent_started_while_the_hub_is_away_touches_nothing_but_its_own_endpoints(
    embedded_fleet: MakeFleet,
) -> None:
    async with embedded_fleet() as fleet:
        await exported(fleet)
        before = await fleet["east"].service_import(fleet.namespace, SHOP)
        await fleet.agents["east"].kill()
        await fleet.hub.host.stop()
        await fleet["east"].back(fleet.namespace, SHOP, ["10.77.0.6", "10.77.0.7"])
        fleet.agents["east"] = await fleet.start_agent("east")
        mine = {"10.77.0.6", "10.77.0.7", "10.78.0.5"}
        await fleet["east"].wait_addresses(fleet.namespace, SHOP, mine)
        assert await fleet["east"].service_import(fleet.namespace, SHOP) == before
        assert await fleet["east"].derived(fleet.namespace, SHOP) is not None
        await fleet.hub.host.start()
        await fleet["west"].wait_addresses(fleet.namespace, SHOP, mine, within=20)


async def test_a_hub_that_lost_everything_is_told_again_and_nothing_is_missing_meanwhile(
    embedded_fleet: MakeFleet,
) -> None:
    async with embedded_fleet() as fleet:
        await exported(fleet)
        epoch = await epoch_of(fleet, "east")
        before = [await identity_of(fleet, name) for name in fleet.members]
        await fleet.hub.host.stop()
        assert isinstance(fleet.hub.host, EmbeddedHost)
        fleet.hub.host.empty()
        await fleet.hub.host.start()

        async def still_there() -> bool:
            found = [await fleet[name].addresses(fleet.namespace, SHOP) for name in fleet.members]
            return all(each == {"10.77.0.5", "10.78.0.5"} for each in found)

        await throughout(still_there, seconds=1, what="imports while the hub is empty")
        await fleet.register()
        await throughout(still_there, seconds=3, what="imports while the hub is filled again")

        async def told_again() -> bool:
            return await epoch_of(fleet, "east") > epoch

        await eventually(told_again, within=20)
        assert [await identity_of(fleet, name) for name in fleet.members] == before
        await fleet["east"].unexport(fleet.namespace, SHOP)
        await fleet["west"].wait_addresses(fleet.namespace, SHOP, {"10.78.0.5"}, within=20)


async def test_a_hub_restored_from_a_backup_is_brought_up_to_date(embedded_fleet: MakeFleet) -> None:
    async with embedded_fleet() as fleet:
        hub = fleet.hub.host
        assert isinstance(hub, EmbeddedHost)
        await exported(fleet)
        await hub.stop()
        hub.back_up()
        await hub.start()
        await fleet["east"].unexport(fleet.namespace, SHOP)
        await fleet["east"].serve(fleet.namespace, "cart", ["10.77.0.9"])
        await fleet["east"].export(fleet.namespace, "cart")
        await fleet["west"].wait_addresses(fleet.namespace, SHOP, {"10.78.0.5"}, within=20)
        await fleet["west"].wait_addresses(fleet.namespace, "cart", {"10.77.0.9"})
        before = await identity_of(fleet, "west", "cart")
        await hub.stop()
        hub.restore()
        await hub.start()

        async def as_if_nothing_had_been() -> bool:
            names = {item.metadata.name for item in await fleet.exported()}
            return names == {f"east.{fleet.namespace}.cart", f"west.{fleet.namespace}.{SHOP}"}

        await eventually(as_if_nothing_had_been, within=25)
        await fleet["west"].wait_addresses(fleet.namespace, SHOP, {"10.78.0.5"})
        assert await identity_of(fleet, "west", "cart") == before


async def identity_of(fleet: Fleet, name: str, service: str = SHOP) -> tuple[str, tuple[str, ...]]:
    """Which import it is, and its addresses."""
    item = await fleet[name].wait_import(fleet.namespace, service)
    return item.metadata.uid, item.spec.ips if item.spec is not None else ()


async def epoch_of(fleet: Fleet, name: str) -> int:
    """The epoch of what a member says that it exports."""
    member = await fleet.member(name)
    return member.status.exports.epoch if member.status is not None else 0


async def has_import(fleet: Fleet) -> bool:
    await fleet["west"].client.get(SERVICE_IMPORTS, SHOP, namespace=fleet.namespace)
    return True


async def has_derived(fleet: Fleet) -> bool:
    return await fleet["west"].derived(fleet.namespace, SHOP) is not None


async def has_slice(fleet: Fleet) -> bool:
    return bool(await fleet["west"].slices(fleet.namespace, SHOP))


async def has_nothing(fleet: Fleet) -> bool:
    return bool(fleet.members)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(has_nothing, id="before anything was written"),
        pytest.param(has_import, id="after the import"),
        pytest.param(has_derived, id="after the derived Service"),
        pytest.param(has_slice, id="after a slice"),
    ],
)
async def test_an_agent_killed_between_two_writes_is_finished_by_the_next(
    embedded_fleet: MakeFleet, moment: Callable[[Fleet], Awaitable[bool]]
) -> None:
    async with embedded_fleet() as fleet:
        await fleet["east"].serve(fleet.namespace, SHOP, ["10.77.0.5"])
        await fleet["east"].export(fleet.namespace, SHOP)
        await eventually(lambda: moment(fleet))
        await fleet.agents["west"].kill()
        fleet.agents["west"] = await fleet.start_agent("west")
        item = await fleet["west"].wait_import(fleet.namespace, SHOP)
        await fleet["west"].wait_addresses(fleet.namespace, SHOP, {"10.77.0.5"})
        found = await fleet["west"].client.list(SERVICES, namespace=fleet.namespace)
        assert [service.spec.cluster_ips for service in found.items] == [item.spec.ips if item.spec else ()]


async def test_an_export_made_or_taken_back_while_no_agent_runs_is_noticed_later(
    make_fleet: MakeFleet,
) -> None:
    async with make_fleet() as fleet:
        await exported(fleet)
        await fleet.agents["east"].kill()
        await fleet["east"].unexport(fleet.namespace, SHOP)
        await fleet["east"].serve(fleet.namespace, "cart", ["10.77.0.9"])
        await fleet["east"].export(fleet.namespace, "cart")
        fleet.agents["east"] = await fleet.start_agent("east")
        await fleet["west"].wait_addresses(fleet.namespace, SHOP, {"10.78.0.5"})
        await fleet["west"].wait_addresses(fleet.namespace, "cart", {"10.77.0.9"})


async def test_an_importer_that_was_away_while_an_export_ended_removes_its_import(
    make_fleet: MakeFleet,
) -> None:
    async with make_fleet() as fleet:
        await exported(fleet)
        await fleet.agents["west"].kill()
        await fleet["east"].unexport(fleet.namespace, SHOP)
        await fleet["east"].wait_addresses(fleet.namespace, SHOP, {"10.78.0.5"})
        fleet.agents["west"] = await fleet.start_agent("west")
        await fleet["west"].wait_addresses(fleet.namespace, SHOP, {"10.78.0.5"})


async def test_of_two_agents_one_works_and_the_other_takes_over(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        second = await fleet.start_agent("east", identity="east-agent-2")
        await exported(fleet)
        await fleet.agents["east"].kill()
        await fleet["east"].back(fleet.namespace, SHOP, ["10.77.0.8"])
        await fleet["west"].wait_addresses(fleet.namespace, SHOP, {"10.77.0.8", "10.78.0.5"}, within=20)
        assert second.running
        await second.kill()
        fleet.agents["east"] = await fleet.start_agent("east")


async def test_a_standby_that_takes_over_is_ready_all_the_while_and_one_that_begins_by_leading_once_it_has_read(
    embedded_fleet: MakeFleet,
) -> None:
    async with embedded_fleet() as fleet:
        await exported(fleet)
        standby, said = Standing(SYSTEM), list[Readiness]()
        async with fleet["east"].connect() as member, fleet.hub.connect() as hub, asyncio.TaskGroup() as tasks:
            duty = Duty("east", fleet.set, "east-agent-2")
            working = tasks.create_task(serve(duty, member=member, hub=hub, standing=standby))
            await eventually(lambda: notes_of(standby.readiness(), "another agent leads"))
            await fleet.agents["east"].kill()
            while not said or said[-1].notes != ("leading",):
                said.append(standby.readiness())
                await asyncio.sleep(0)
            working.cancel()
        assert {notes for each in said for notes in each.notes} >= {"reading the cluster", "reading the hub"}
        assert all(each.ready for each in said)
        first = Standing(SYSTEM)
        first.waiting_for = ""
        first.agent = Agent(duty, member=fleet["east"].client, hub=fleet.hub.client)
        assert first.readiness() == Readiness(ready=False, notes=("leading", "reading the cluster"))
        fleet.agents["east"] = await fleet.start_agent("east")


async def notes_of(readiness: Readiness, wanted: str) -> bool:
    return wanted in readiness.notes


async def test_a_cluster_that_was_away_catches_up(embedded_fleet: MakeFleet) -> None:
    async with embedded_fleet() as fleet:
        await exported(fleet)
        await fleet["west"].host.stop()
        await fleet["east"].back(fleet.namespace, SHOP, ["10.77.0.8"])
        await fleet["east"].wait_addresses(fleet.namespace, SHOP, {"10.77.0.8", "10.78.0.5"})
        await fleet["west"].host.start()
        await fleet["west"].wait_addresses(fleet.namespace, SHOP, {"10.77.0.8", "10.78.0.5"}, within=25)


async def test_an_agent_waits_for_what_it_does_not_install_and_says_what(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with TestCluster("bare", EmbeddedHost("bare", tmp_path, 1)) as bare, asyncio.TaskGroup() as tasks:
        duty = Duty("bare", "some-set", "bare-agent")
        with caplog.at_level(logging.WARNING):
            working = tasks.create_task(serve(duty, member=bare.client, hub=bare.client))

            async def said() -> bool:
                problems = [vars(record).get("problem", "") for record in caplog.records]
                return any("serviceexports.multicluster.x-k8s.io" in problem for problem in problems)

            await eventually(said)
        await bootstrap_member(bare.client)

        async def elected() -> bool:
            lease = await bare.client.get(LEASES, "isthmus-agent", namespace=SYSTEM_NAMESPACE)
            return lease.spec.holder_identity == "bare-agent"

        await eventually(elected)
        working.cancel()


async def test_a_hub_that_does_not_answer_is_told_with_since_when(embedded_fleet: MakeFleet) -> None:
    async with embedded_fleet() as fleet:
        await exported(fleet)
        await fleet.hub.host.stop()

        async def told() -> bool:
            export = await fleet["east"].service_export(fleet.namespace, SHOP)
            conditions = export.status.conditions if export.status is not None else ()
            return any("the hub has not answered since 20" in each.message for each in conditions)

        await eventually(told, within=45)
        await fleet.hub.host.start()

        async def told_no_more() -> bool:
            return not await told()

        await eventually(told_no_more, within=25)


async def test_an_agent_that_starts_again_changes_nothing(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        await exported(fleet)
        east, namespace = fleet["east"], fleet.namespace
        await east.wait_condition(namespace, SHOP, "Conflict", "False/NoConflicts")
        kinds = (SERVICE_IMPORTS, SERVICE_EXPORTS, SERVICES, ENDPOINT_SLICES, CLUSTER_PROPERTIES)

        async def versions() -> set[str]:
            lists = [await east.client.list(kind, namespace=namespace if kind.namespaced else "") for kind in kinds]
            return {item.metadata.uid + item.metadata.resource_version for each in lists for item in each.items}

        async def settled() -> set[str] | None:
            before = await versions()
            await throughout(nothing_to_do, seconds=0.5)
            return before if before == await versions() else None

        before = await eventually(settled, what="nothing changes any more")
        epoch = await epoch_of(fleet, "east")
        await fleet.agents["east"].kill()
        fleet.agents["east"] = await fleet.start_agent("east")

        async def at_work() -> bool:
            return await epoch_of(fleet, "east") > epoch

        await eventually(at_work)
        await east.back(namespace, SHOP, ["10.77.0.6"])
        await fleet["west"].wait_addresses(namespace, SHOP, {"10.77.0.6", "10.78.0.5"})
        changed = await versions() - before
        # The source slice, changed by hand, and its import.
        assert len(changed) == 2


async def nothing_to_do() -> bool:
    return True


@pytest.mark.parametrize("kind", [CONTROL_PLANE], indirect=True)
async def test_a_member_costs_its_hub_four_watches(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        await exported(fleet)
        for process in (fleet.controller, *fleet.agents.values()):
            await process.kill()

        wanted = Counter(("exportedservices", "exportedendpoints", "exportgrants", "members"))

        async def nobodys() -> Counter[str] | None:
            """Those of the server's own controllers."""
            found = await watches_at(fleet.hub.client)
            return None if found & wanted else found

        before = await eventually(nobodys, what="only the server's own watches")
        fleet.agents["east"] = await fleet.start_agent("east")

        async def only_these() -> bool:
            return await watches_at(fleet.hub.client) - before == wanted

        await eventually(only_these, what="one agent's watches")
        await fleet["east"].back(fleet.namespace, SHOP, ["10.77.0.6"])
        await fleet["east"].wait_addresses(fleet.namespace, SHOP, {"10.77.0.6", "10.78.0.5"})
        assert await only_these()


async def watches_at(hub: Client) -> Counter[str]:
    """How many watches of one namespace or one object the server serves, by resource."""
    found = Counter[str]()
    for labels, count in LONG_RUNNING.findall((await hub.raw("GET", "/metrics")).decode()):
        facts = dict(LABEL.findall(labels))
        if facts["verb"] == "WATCH" and facts["scope"] != "cluster":
            found[facts["resource"]] += int(float(count))
    return found


async def test_an_agent_runs_from_kubeconfigs(embedded_fleet: MakeFleet) -> None:
    async with embedded_fleet() as fleet:
        east = fleet["east"]
        await fleet.agents["east"].kill()
        options = AgentOptions(fleet.hub.host.kubeconfig, east.host.kubeconfig, "east", fleet.set)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(run(options))
            await east.serve(fleet.namespace, SHOP, ["10.77.0.5"])
            await east.export(fleet.namespace, SHOP)
            await fleet["west"].wait_addresses(fleet.namespace, SHOP, {"10.77.0.5"})
            running.cancel()


@pytest.mark.parametrize(
    ("cluster", "cluster_set", "file", "words"),
    [
        pytest.param("hub", "shops", "kubeconfig", "kept for Isthmus", id="a name kept for ourselves"),
        pytest.param("East", "shops", "kubeconfig", "DNS label", id="a name that is no label"),
        pytest.param("east", "The Shops", "kubeconfig", "cluster set", id="a set that is no label"),
        pytest.param("east", "shops", "nowhere", "nowhere", id="a kubeconfig that is not there"),
    ],
)
async def test_options_that_cannot_be_are_refused_with_a_sentence(
    tmp_path: Path, cluster: str, cluster_set: str, file: str, words: str
) -> None:
    (tmp_path / "kubeconfig").write_text("{}")
    options = AgentOptions(tmp_path / file, None, cluster, cluster_set)
    with pytest.raises(Invalid, match=words):
        await run(options)
