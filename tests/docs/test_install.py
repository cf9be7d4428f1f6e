"""docs/install.md: its commands are ones that we have, and its table of metrics is what the processes serve."""

import asyncio
import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest
from prometheus_client.parser import text_string_to_metric_families

from isthmus.agent import app as agent
from isthmus.cli.main import cli
from isthmus.dns import app as dns
from isthmus.hub import app as hub
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.records import Type
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually
from tests.fleets import by_token, embedded_fleet
from tests.kit.test_probes import ask
from tests.real.ports import free_ports

__all__ = ["embedded_fleet"]

PAGE = (Path(__file__).parents[2] / "docs" / "install.md").read_text()
COMMANDS = re.findall(r"(?m)^isthmus .*$", PAGE)


def documented(process: str) -> dict[str, tuple[str, ...]]:
    """Labels and help of the metrics that the table has for a process."""
    rows = re.findall(r"(?m)^\| `(isthmus_\w+)` \| ([\w, ]*)\| ([\w, ]+) \| (.*) \|$", PAGE)
    return {
        name: (*sorted(filter(None, re.split(r"[ ,]+", labels))), text)
        for name, labels, of, text in rows
        if process in of or of == "all"
    }


async def served(port: int, *, who: frozenset[str] = frozenset()) -> dict[str, tuple[str, ...]]:
    """The same, of what a process serves; all of it says `who` the process is."""
    _, text = await ask(port, "/metrics")
    found = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("isthmus_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            assert labels >= who
            found[name] = (*sorted(labels - who), family.documentation)
    return found


@asynccontextmanager
async def running(process: Callable[[int], Coroutine[object, object, None]]) -> AsyncIterator[int]:
    """A process of ours, ready, by the port of its probes."""
    (port,) = free_ports(1)

    async def is_ready() -> bool:
        try:
            return (await ask(port, "/readyz"))[0] == 200
        except OSError:
            return False

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(process(port), name="process")
        await eventually(is_ready, what="the process is ready")
        yield port
        task.cancel()


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "east.kubeconfig").touch()
    words = shlex.split(line.partition(" > ")[0])[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    command.make_context(command.name or "", words)


async def test_the_agent_s_probes_and_metrics_are_as_they_are_documented(
    embedded_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    async with embedded_fleet(["east", "west"]) as fleet:
        east, ns = fleet["east"], fleet.namespace
        await fleet.agents["west"].kill()
        await east.serve(ns, "shop", ["10.1.0.7", "10.1.0.8"])
        await east.export(ns, "shop")
        config, hub_config = fleet["west"].host.kubeconfig, tmp_path / "hub.kubeconfig"
        hub_config.write_text(await by_token(fleet.hub.client, fleet.hub.host.kubeconfig, "west"))
        who = f'{{member="west",set="{fleet.set}"}}'

        def process(port: int) -> Coroutine[object, object, None]:
            return agent.run(agent.AgentOptions(hub_config, config, "west", fleet.set, metrics=("127.0.0.1", port)))

        async with running(process) as port:
            await fleet["west"].wait_import(ns, "shop", within=20.0)

            async def is_counted() -> bool:
                _, text = await ask(port, "/metrics")
                return f"isthmus_imports{who} 1.0" in text and f"isthmus_imported_endpoints{who} 2.0" in text

            await eventually(is_counted, what="the import and its endpoints are counted")
            assert await served(port, who=frozenset({"set", "member"})) == documented("agent")
            assert await ask(port, "/readyz") == (200, "ok\nleading\n")
            await fleet.hub.host.stop()

            async def says_so() -> bool:
                code, text = await ask(port, "/readyz")
                return code == 200 and "HubUnreachable for " in text

            await eventually(says_so, what="the agent says that the hub is away, and stays ready")
            assert f"isthmus_hub_reachable{who} 0.0" in (await ask(port, "/metrics"))[1]
            await fleet.hub.host.start()


async def test_the_hub_s_probes_and_metrics_are_as_they_are_documented(embedded_fleet: Callable[..., Fleet]) -> None:
    async with embedded_fleet(["east"]) as fleet:
        kubeconfig = fleet.hub.host.kubeconfig

        def process(port: int) -> Coroutine[object, object, None]:
            return hub.run(hub.HubOptions(kubeconfig, fleet.set, metrics=("127.0.0.1", port)))

        async with running(process) as port:
            assert await ask(port, "/readyz") == (200, "ok\nanother process leads\n")
            await fleet.controller.kill()

            async def leads() -> bool:
                return await ask(port, "/readyz") == (200, "ok\nleading\n")

            await eventually(leads, within=30.0, what="it leads after the other")
            assert await served(port, who=frozenset({"set"})) == documented("hub")
            assert f'isthmus_members{{health="Healthy",set="{fleet.set}"}} 1.0' in (await ask(port, "/metrics"))[1]


async def test_the_dns_server_s_probes_and_metrics_are_as_they_are_documented(
    embedded_fleet: Callable[..., Fleet],
) -> None:
    async with embedded_fleet(["east"]) as fleet:
        kubeconfig = fleet["east"].host.kubeconfig
        (server,) = free_ports(1)

        def process(port: int) -> Coroutine[object, object, None]:
            listen = (("127.0.0.1", server),)
            return dns.run(dns.DNSOptions(kubeconfig, listen, metrics=("127.0.0.1", port)))

        async with running(process) as port:
            await asked(server)
            assert await served(port) == documented("dns")
            _, text = await ask(port, "/metrics")
            for line in (
                'isthmus_dns_answers_total{rcode="NOERROR",type="TXT"} 3.0',
                'isthmus_dns_answers_total{rcode="NXDOMAIN",type="A"} 1.0',
                'isthmus_dns_answers_total{rcode="REFUSED",type="other"} 1.0',
            ):
                assert line in text


async def asked(server: int) -> None:
    """The first answer is made, the second is one that was kept, the third goes over TCP's road."""
    at = ("127.0.0.1", server)
    attempts: list[Awaitable[object]] = [resolve("dns-version.clusterset.local", Type.TXT, at) for _ in range(3)]
    attempts += [resolve("no.such.svc.clusterset.local", Type.A, at), resolve("example.org", 65, at)]
    for attempt in attempts:
        await attempt
