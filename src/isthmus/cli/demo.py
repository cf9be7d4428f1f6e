"""`isthmus demo`: a shop exported from two clusters answers in a third, and goes on answering while parts are lost."""

import asyncio
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import click

from isthmus.api.core import NAMESPACES
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.cli.output import heading, progress
from isthmus.cli.target import running_client
from isthmus.errors import APIError, Invalid, IsthmusError, Unreachable
from isthmus.kube.client import Client
from isthmus.kube.exec import Execution, execute
from isthmus.local import launch
from isthmus.local.control import Command, ask
from isthmus.local.state import HUB, SetFiles

URL = "http://shop.prod.svc.clusterset.local"
STEP_LIMIT = 90.0
# Shorter than for real clusters (10 s and 30 s), so that nobody waits long for the loss of one to be noticed.
HEARTBEAT = 2.0

DEPLOYMENTS: Resource[Manifest] = Resource("apps", "v1", "deployments", "Deployment", dict)
PODS: Resource[Manifest] = Resource("", "v1", "pods", "Pod", dict)
SERVICES: Resource[Manifest] = Resource("", "v1", "services", "Service", dict)
PROGRAM = """
import http.server, os
class Shop(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"hello from {os.environ['CLUSTER']}\\n".encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Shop).serve_forever()
"""


def shop(cluster: str) -> list[tuple[Resource[Manifest], Manifest]]:
    """What each exporting cluster runs: a Deployment, its Service and the ServiceExport."""
    labels = {"app": "shop"}
    container = {
        "name": "shop",
        "image": "host",
        "command": [sys.executable, "-c", PROGRAM],
        "env": [{"name": "CLUSTER", "value": cluster}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
    }
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    service = {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return [
        (DEPLOYMENTS, {"metadata": {"name": "shop"}, "spec": spec}),
        (SERVICES, {"metadata": {"name": "shop"}, "spec": service}),
        (SERVICE_EXPORTS_AS_WRITTEN, {"metadata": {"name": "shop"}}),
    ]


SERVICE_EXPORTS_AS_WRITTEN: Resource[Manifest] = Resource(
    SERVICE_EXPORTS.group, SERVICE_EXPORTS.version, SERVICE_EXPORTS.plural, SERVICE_EXPORTS.kind, dict
)
CUSTOMER: Manifest = {
    "metadata": {"name": "customer"},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "customer", "image": "host", "command": ["sleep", "infinity"]}],
    },
}


async def put(client: Client, resource: Resource[Manifest], manifest: Manifest) -> None:
    """Apply one object in namespace prod."""
    typed = {"apiVersion": resource.api_version, "kind": resource.kind, **manifest}
    await client.apply(resource, typed, namespace="prod")


async def prepare(client: Client, objects: list[tuple[Resource[Manifest], Manifest]]) -> None:
    """Make namespace prod with these objects."""
    await client.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}})
    for resource, manifest in objects:
        await put(client, resource, manifest)


@dataclass
class Customer:
    """A pod in the third cluster, and what the shop answers it."""

    client: Client

    async def buys(self) -> str:
        """One answer of the shop, got by plain curl; empty if there was none."""
        out: list[bytes] = []
        curl = Execution("customer", ["curl", "-s", "--max-time", "2", URL], namespace="prod")
        try:
            code = await execute(self.client, curl, output=lambda _channel, data: out.append(data))
        except (APIError, Unreachable):
            return ""
        return b"".join(out).decode().strip() if code == 0 else ""

    async def until(self, said: Callable[[list[str]], bool], what: str) -> None:
        """Buy until the last answers are as wanted. Raises Invalid after STEP_LIMIT seconds."""
        answers: list[str] = []
        end = time.monotonic() + STEP_LIMIT
        while time.monotonic() < end:
            answers.append(await self.buys())
            if said(answers):
                return
            await asyncio.sleep(0.05)
        raise Invalid(f"the shop did not answer as it should ({what}); its last answers: {answers[-5:]}")

    async def shows(self, count: int) -> None:
        """Buy `count` times and print who answered how often. Raises Invalid if one request failed."""
        answers = Counter([await self.buys() for _ in range(count)])
        for answer, times in sorted(answers.items()):
            click.echo(f"  {times:3} x {answer or 'no answer'}")
        if "" in answers:
            raise Invalid(f"{answers['']} of {count} requests failed")


def last_only(answers: list[str], wanted: set[str], count: int = 12) -> bool:
    """Whether the last `count` answers are these and no others, each at least once."""
    return len(answers) >= count and set(answers[-count:]) == wanted


EAST, WEST = "hello from east", "hello from west"


async def play(files: SetFiles, started: float) -> None:
    """The demo itself, on a set that is up. Raises IsthmusError where it does not go as told."""
    async with all_clients(files, ["east", "west", "north"]) as clients:
        heading("A shop in east and in west, exported; a customer in north.")
        await asyncio.gather(
            prepare(clients["east"], shop("east")),
            prepare(clients["west"], shop("west")),
            prepare(clients["north"], [(PODS, CUSTOMER)]),
        )
        customer = Customer(clients["north"])
        await customer.until(lambda answers: bool(answers[-1]), "a first answer")
        click.echo(f"  $ curl {URL}      # in a pod of north, {time.monotonic() - started:.1f} s after the start")
        await customer.until(lambda answers: last_only(answers, {EAST, WEST}), "answers from both")
        await customer.shows(20)
        imported = await clients["north"].get(SERVICE_IMPORTS, "shop", namespace="prod")
        click.echo(f"  ServiceImport prod/shop in north: {', '.join(imported.spec.ips if imported.spec else ())}")

        heading("East is lost.")
        await order(files, "stop", "east")
        await customer.until(lambda answers: last_only(answers, {WEST}), "answers from west alone")
        await customer.shows(20)

        heading("East is back.")
        await order(files, "start", "east")
        await customer.until(lambda answers: last_only(answers, {EAST, WEST}), "answers from both again")
        await customer.shows(20)

        heading("The hub is lost: nobody notices.")
        await order(files, "stop", HUB)
        await customer.shows(20)


@asynccontextmanager
async def all_clients(files: SetFiles, names: list[str]) -> AsyncIterator[dict[str, Client]]:
    """A client for each named cluster."""
    clients = {name: running_client(files, name) for name in names}
    for client in clients.values():
        await client.__aenter__()
    try:
        yield clients
    finally:
        for client in clients.values():
            await client.__aexit__(None, None, None)


async def order(files: SetFiles, do: str, cluster: str) -> None:
    """What `isthmus stop` and `isthmus start` do."""
    if do == "start":
        await asyncio.to_thread(launch.start, files, cluster, say=progress)
    else:
        await asyncio.to_thread(ask, files.socket, Command(do="stop", clusters=(cluster,)), progress=progress)


@click.command("demo", epilog="Example:  isthmus demo")
def demo_command() -> None:
    """Show it all on this machine, in about a minute, and leave nothing behind."""
    reason = launch.without_nodes()
    if not shutil.which("curl"):
        reason = "curl is missing. Debian and Ubuntu: apt-get install curl"
    if reason:
        raise Invalid(f"the demo needs pods: {reason}")
    files = SetFiles("demo")
    started = time.monotonic()
    try:
        heading("Three clusters and a hub.")
        launch.up(files, ["east", "west", "north"], heartbeat=HEARTBEAT, say=progress)
        click.echo(f"  up after {time.monotonic() - started:.1f} s")
        asyncio.run(play(files, started))
    except IsthmusError:
        progress(f"the processes' logs are kept: {files.folder}")
        launch.down(files, say=progress, keep=True)
        raise
    launch.down(files, say=progress)
    click.echo("All of it is gone again. Keep a set of your own:  isthmus up")
