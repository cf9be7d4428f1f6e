"""Agent, hub and DNS server as they run: what alerts and panels ask for is there, and alerts fire when things break."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import parse

from isthmus.agent import app as agent
from isthmus.api.isthmus import EXPORT_GRANTS
from isthmus.api.scheme import Manifest
from isthmus.dns import app as dns
from isthmus.errors import Unreachable
from isthmus.hub import app as hub
from isthmus.install.monitoring.alerts import ALERTS
from isthmus.install.monitoring.panels import expressions
from isthmus.inventory.rules.health import Grace
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.records import Type
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet, Pace
from isthmus.testing.waiting import eventually
from tests.docs.test_install import running
from tests.fleets import by_token, embedded_fleet
from tests.install.monitoring.promql import TARGET, Scrapes, asked_for, fires
from tests.install.monitoring.test_panels import asked
from tests.kit.test_probes import ask
from tests.real.ports import free_ports

__all__ = ["embedded_fleet"]

QUICK = Pace(heartbeat=0.5, silent_after=3.0)
# One that falls silent is more than a tenth of the set: the hub doubts itself for a while first.
DOUBTING = Grace(silent_after=QUICK.silent_after, hold=4.0, share=0.1, least=1)
# As often as Prometheus scrapes, in seconds of its own: nobody waits for them here.
EVERY = 30.0


@dataclass
class Prometheus:
    """What a Prometheus knows of some targets, by their ports; `text` is the latest of each."""

    targets: dict[str, int]
    text: dict[str, str] = field(default_factory=dict)
    scrapes: Scrapes = field(default_factory=Scrapes)
    now: float = 0.0

    async def scrape(self) -> None:
        """Once more, all of them."""
        self.now += EVERY
        for name, port in self.targets.items():
            _, self.text[name] = await ask(port, "/metrics")
            self.scrapes.add(self.now, name, self.text[name])

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """Alerts whose condition holds now, with the labels for which it does."""
        found = {alert.name: fires(alert.expr, self.scrapes, self.now) for alert in ALERTS}
        return {name: labels for name, labels in found.items() if labels}

    async def wait_firing(self, *names: str, what: str) -> dict[str, list[dict[str, str]]]:
        """Scrape until exactly these are firing."""

        async def check() -> bool:
            await self.scrape()
            return set(self.firing()) == set(names)

        try:
            await eventually(check, within=40.0, what=what)
        except AssertionError as late:
            raise AssertionError(f"{late}; firing: {self.firing()}") from late
        return self.firing()

    def exposed(self) -> dict[str, tuple[str, set[str]]]:
        """Of each name its type, and the labels that any target has on it."""
        found: dict[str, tuple[str, set[str]]] = {}
        for text in self.text.values():
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    _, labels = found.setdefault(sample.name, (family.type, set(TARGET)))
                    labels |= set(sample.labels)
        return found


@contextlib.asynccontextmanager
async def watched(fleet: Fleet, folder: Path) -> AsyncIterator[tuple[Prometheus, int]]:
    """The hub's controller, west's agent and west's DNS server as processes of their own, and where DNS answers."""
    config, hub_config = fleet["west"].host.kubeconfig, folder / "hub.kubeconfig"
    hub_config.write_text(await by_token(fleet.hub.client, fleet.hub.host.kubeconfig, "west"))
    (server,) = free_ports(1)
    for process in (fleet.controller, fleet.agents["west"]):
        await process.kill()

    def hub_at(port: int) -> hub.HubOptions:
        return hub.HubOptions(fleet.hub.host.kubeconfig, fleet.set, DOUBTING, ("127.0.0.1", port))

    def agent_at(port: int) -> agent.AgentOptions:
        return agent.AgentOptions(hub_config, config, "west", fleet.set, QUICK.heartbeat, ("127.0.0.1", port))

    def dns_at(port: int) -> dns.DNSOptions:
        return dns.DNSOptions(config, (("127.0.0.1", server),), metrics=("127.0.0.1", port))

    async with (
        running(lambda port: hub.run(hub_at(port))) as hub_port,
        running(lambda port: agent.run(agent_at(port))) as agent_port,
        running(lambda port: dns.run(dns_at(port))) as dns_port,
    ):
        yield Prometheus({"hub": hub_port, "agent": agent_port, "dns": dns_port}), server


def only_east(fleet: Fleet) -> Manifest:
    return {
        "apiVersion": EXPORT_GRANTS.api_version,
        "kind": EXPORT_GRANTS.kind,
        "metadata": {"name": "only-east", "namespace": fleet.set},
        "spec": {"namespaces": [fleet.namespace], "clusters": ["east"]},
    }


async def query(server: int, count: int = 10) -> None:
    for _ in range(count):
        await resolve("dns-version.clusterset.local", Type.TXT, ("127.0.0.1", server))


def demand_exposed(exposed: dict[str, tuple[str, set[str]]]) -> None:
    """Every metric that any alert or panel asks for, with every label, of the type that it is taken for."""
    expected = [*(alert.expr for alert in ALERTS), *map(asked, expressions())]
    for expr, wanted in ((each, wanted) for each in expected for wanted in asked_for(parse(each))):
        assert wanted.name in exposed, f"nobody exposes {wanted.name}, for which {expr} asks"
        kind, labels = exposed[wanted.name]
        assert wanted.labels <= labels, f"{wanted.name} has no {wanted.labels - labels}, for which {expr} asks"
        assert (kind in {"counter", "histogram"}) == wanted.rises, f"{wanted.name} is a {kind}: {expr}"


@pytest.mark.timeout(240)
async def test_a_healthy_set_exposes_all_that_is_asked_for_and_each_fault_fires_its_alerts(
    embedded_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    async with embedded_fleet(["east", "west"], QUICK) as fleet:
        east, west, ns = fleet["east"], fleet["west"], fleet.namespace
        who = {"set": fleet.set, "member": "west"}
        await east.serve(ns, "shop", ["10.1.0.7"])
        await east.export(ns, "shop")
        async with watched(fleet, tmp_path) as (prometheus, server):
            await west.wait_import(ns, "shop", within=30.0)
            await query(server)

            async def is_well() -> bool:
                await prometheus.scrape()
                return f'isthmus_members{{health="Healthy",set="{fleet.set}"}} 2.0' in prometheus.text["hub"]

            await eventually(is_well, within=30.0, what="both members are well")
            await query(server)
            await prometheus.wait_firing(what="nothing fires in a healthy set")
            demand_exposed(prometheus.exposed())

            await west.serve(ns, "cart", ["10.2.0.7"])
            for name in ("cart", "nothing"):
                await west.export(ns, name)
            await fleet.hub.client.apply(EXPORT_GRANTS, only_east(fleet), namespace=fleet.set, options=BY_HAND)
            firing = await prometheus.wait_firing("IsthmusExportsNotReady", what="an export is refused")
            assert firing["IsthmusExportsNotReady"] == [who | {"reason": "Failed"}]
            await fleet.hub.client.delete(EXPORT_GRANTS, "only-east", namespace=fleet.set)
            await prometheus.wait_firing(what="nothing fires for an export without a Service")

            await fleet.agents["east"].kill()
            await prometheus.wait_firing("IsthmusVerdictsHeld", what="the hub doubts itself")
            firing = await prometheus.wait_firing("IsthmusMemberSilent", what="then it gives its verdict")
            assert firing["IsthmusMemberSilent"] == [{"set": fleet.set, "member": "east"}]

            await fleet.hub.host.stop()
            away = ("IsthmusHubUnreachable", "IsthmusNobodyLeads")
            firing = await prometheus.wait_firing(*away, what="the hub is away")
            assert firing["IsthmusHubUnreachable"] == [who]
            assert firing["IsthmusNobodyLeads"] == [{"set": fleet.set, "lease": f"isthmus-hub-{fleet.set}"}]
            await fleet.hub.host.start()
            await prometheus.wait_firing("IsthmusMemberSilent", what="the hub is back")
            fleet.agents["east"] = await fleet.start_agent("east")
            await prometheus.wait_firing(what="all is well again")

            await west.host.stop()

            async def both_say_so() -> bool:
                await prometheus.scrape()
                found = prometheus.firing().get("IsthmusCannotFollow", [])
                return [labels.get("member") for labels in found] in (["west", None], [None, "west"])

            await eventually(both_say_so, what="agent and DNS server cannot follow their cluster")
            await query(server)
            await west.host.start()


async def test_a_dns_server_that_can_not_read_its_cluster_fires(
    embedded_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    async with embedded_fleet(["east"]) as fleet:
        await fleet["east"].host.stop()
        port, server = free_ports(2)
        listen = (("127.0.0.1", server),)
        options = dns.DNSOptions(fleet["east"].host.kubeconfig, listen, metrics=("127.0.0.1", port))
        async with asyncio.TaskGroup() as tasks:
            process = tasks.create_task(dns.run(options), name="dns")
            prometheus = Prometheus({"dns": port})

            async def answers() -> bool:
                try:
                    await query(server, 1)
                    await prometheus.scrape()
                except (OSError, Unreachable):
                    return False
                return True

            await eventually(answers, what="it answers")
            await query(server, 1)
            await prometheus.scrape()
            assert "IsthmusDNSFailing" in prometheus.firing()
            process.cancel()
        await fleet["east"].host.start()
