"""`isthmus clusters` and `isthmus describe cluster` as they are typed, on both kinds of hub."""

import asyncio
import json

import yaml
from click.testing import CliRunner, Result

from isthmus.api.core import EVENTS, LEASES
from isthmus.api.isthmus import MEMBERS, MEMBERS_NAMESPACE
from isthmus.cli.main import cli
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet, Pace
from isthmus.testing.waiting import eventually
from tests.fleets import MakeFleet, make_fleet

__all__ = ["make_fleet"]

QUICK = Pace(heartbeat=0.5, silent_after=3)


async def typed(fleet: Fleet, *words: str, cluster_set: str = "") -> Result:
    """What the command says, while the hub is served by this very process."""
    line = [*words, "--kubeconfig", str(fleet.hub.host.kubeconfig), "--set", cluster_set or fleet.set]
    return await asyncio.to_thread(CliRunner().invoke, cli, line)


async def wait_row(fleet: Fleet, name: str, **wanted: object) -> dict[str, object]:
    """One cluster's row, once it says so."""

    async def check() -> dict[str, object] | None:
        done = await typed(fleet, "clusters", "-o", "json")
        rows = {row["name"]: row for row in json.loads(done.stdout)}
        row: dict[str, object] = rows.get(name, {})
        return row if all(row.get(key) == value for key, value in wanted.items()) else None

    return await eventually(check, within=30, what=f"{name} says {wanted}")


async def test_a_set_is_listed_with_all_that_is_known_of_each_cluster(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"], QUICK) as fleet:
        await fleet["east"].serve(fleet.namespace, "shop", ["10.77.0.5"])
        await fleet["east"].export(fleet.namespace, "shop")
        row = await wait_row(fleet, "east", health="Healthy", exports=1, imports=1, clockDifference=0)
        assert row["version"] == await fleet["east"].client.version()
        assert row["lastSeen"]
        assert isinstance(row["properties"], dict)
        assert row["properties"]["cluster.clusterset.k8s.io"] == "east"
        await wait_row(fleet, "west", health="Healthy", exports=0, imports=1)
        lines = (await typed(fleet, "clusters")).stdout.splitlines()
        assert lines[0].split() == ["NAME", "HEALTH", "VERSION", "REGION", "LAST", "SEEN", "EXPORTS", "IMPORTS"]
        assert [line.split()[:2] for line in lines[1:]] == [["east", "Healthy"], ["west", "Healthy"]]
        assert "WHY" in (await typed(fleet, "clusters", "-o", "wide")).stdout
        assert [row["name"] for row in yaml.safe_load((await typed(fleet, "clusters", "-o", "yaml")).stdout)] == [
            "east",
            "west",
        ]
        told = (await typed(fleet, "describe", "cluster", "east")).stdout
        for words in ("Health:", "all is well", "as the hub's", f"{fleet.namespace}/shop", "Imports:     1. Which: "):
            assert words in told
        assert "none: its admin gave them no rights" in told
        described = json.loads((await typed(fleet, "describe", "cluster", "east", "-o", "json")).stdout)
        assert described["services"] == [f"{fleet.namespace}/shop"]


async def test_why_a_cluster_is_not_well_is_told(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"], QUICK) as fleet:
        await wait_row(fleet, "east", health="Healthy", clockDifference=0)
        await fleet.hub.client.merge_patch(
            MEMBERS, "west", {"spec": {"server": "https://127.0.0.1:9"}}, namespace=fleet.set
        )
        row = await wait_row(fleet, "west", health="Unanswered")
        assert "https://127.0.0.1:9: no connection" in str(row["why"])
        await fleet.agents["east"].kill()
        row = await wait_row(fleet, "east", health="Silent")
        assert "no heartbeat since 20" in str(row["why"])
        assert "Lease isthmus-members/east was watched all the time" in str(row["why"])
        told = (await typed(fleet, "describe", "cluster", "east")).stdout
        assert "Silent since 20" in told
        assert "Lease isthmus-members/east" in told


async def test_verdicts_that_are_held_back_are_told_where_people_look(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west", "north"], Pace(heartbeat=0.5, silent_after=2)) as fleet:
        for name in fleet.members:
            await wait_row(fleet, name, health="Healthy", clockDifference=0)
        for agent in fleet.agents.values():
            await agent.kill()
        long_ago = {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}
        async with asyncio.TaskGroup() as tasks:
            for name in fleet.members:
                tasks.create_task(fleet.hub.client.merge_patch(LEASES, name, long_ago, namespace=MEMBERS_NAMESPACE))

        async def told() -> bool:
            rows = json.loads((await typed(fleet, "clusters", "-o", "json")).stdout)
            return all("it holds its verdicts back until 20" in row["why"] for row in rows)

        await eventually(told, what="why nobody is called silent")
        assert "no heartbeat since 2026-01-01T00:00:00Z" in (await typed(fleet, "clusters", "-o", "wide")).stdout
        assert "holds its verdicts back" in (await typed(fleet, "describe", "cluster", "east")).stdout
        events = (await fleet.hub.client.list(EVENTS, namespace=fleet.set)).items
        assert any(each.reason == "VerdictsHeld" and "the fault may be the hub's" in each.message for each in events)


async def test_who_is_not_there_is_said_with_what_to_type(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east"], QUICK) as fleet:
        missing = await typed(fleet, "describe", "cluster", "nobody")
        assert "has no cluster 'nobody'. Type: isthmus clusters" in str(missing.exception)
        elsewhere = await typed(fleet, "clusters", cluster_set="elsewhere")
        assert "has no cluster set 'elsewhere'; there are: " in str(elsewhere.exception)


async def test_what_a_cluster_is_made_of_is_described(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east"], QUICK) as fleet:
        await wait_row(fleet, "east", health="Healthy")
        await fleet.agents["east"].kill()
        facts = {"provider": "aws", "distribution": "eks", "zones": ["a", "b"], "nodes": 10, "cpu": 50, "memory": 200}
        said = {"facts": facts, "leftOut": ["long.example"], "properties": {"works.isthmus.dev": "default"}}
        await fleet.hub.client.merge_patch(
            MEMBERS, "east", {"status": said}, namespace=fleet.set, subresource="status", options=BY_HAND
        )
        told = (await typed(fleet, "describe", "cluster", "east")).stdout
        assert "aws, eks, zones a, b, nodes: about 10, cores: about 50, memory: about 200 GiB" in told
        assert "long.example: a profile holds 256 properties, with values of 1 to 1024 characters" in told
        assert "Works:       default" in told
