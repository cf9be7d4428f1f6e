"""`isthmus credential`: the SIG's credential plugins, and what a member's admin hands out to their consumers."""

import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from isthmus.cli.processes import FILE
from isthmus.cli.real import Real, real_cluster
from isthmus.errors import IsthmusError, Unreachable
from isthmus.install.grant import Grant, grant, revoke
from isthmus.inventory.rules.plugins import EXEC_INFO
from isthmus.inventory.secretreader import kubeconfig_secret_reader, secret_reader
from isthmus.kit.text import printable
from isthmus.kube.client import Client

T = TypeVar("T")

_DAY = 86_400
# Seconds; consumers end us after sixty.
_PATIENCE = 50


@click.group("credential", epilog="Example:  isthmus credential grant east -n argocd --context east --hub-context hub")
def credential_command() -> None:
    """Ways into members for other tools: plugins that a provider file names, and grants for them to read."""


def _plugin(name: str, work: Callable[[str | None], Awaitable[str]]) -> None:
    try:
        answer = asyncio.run(_bounded(work))
    except IsthmusError as problem:
        click.echo(printable(f"[{name}] {problem}"), err=True)
        sys.exit(1)
    click.echo(answer)


async def _bounded(work: Callable[[str | None], Awaitable[str]]) -> str:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await work(os.environ.get(EXEC_INFO))
    except TimeoutError as problem:
        raise Unreachable(f"no answer within {_PATIENCE} s") from problem


@credential_command.command("secretreader", epilog="Example:  see docs/inventory.md for the provider file.")
def secretreader_command() -> None:
    """A plugin: the token in Secret `clusterName` of the consumer's namespace."""
    _plugin("secretreader", secret_reader)


@credential_command.command("kubeconfig-secretreader", epilog="Example:  see docs/inventory.md for the provider file.")
def kubeconfig_secretreader_command() -> None:
    """A plugin: the user of a kubeconfig that stands in a Secret."""
    _plugin("kubeconfig-secretreader", kubeconfig_secret_reader)


def _both(command: Callable[..., None]) -> Callable[..., None]:
    """Options that choose the member, the hub, and the consumer's namespace there."""
    for option in (
        real_cluster,
        click.option("--hub-kubeconfig", type=FILE, help="The hub's; else that of the member."),
        click.option("--hub-context", metavar="NAME", required=True, help="The hub's context."),
        click.option("--namespace", "-n", required=True, metavar="NAME", help="The consumer's namespace on the hub."),
        click.argument("member"),
    ):
        command = option(command)
    return command


@credential_command.command(
    "grant",
    epilog="Example:  isthmus credential grant east --namespace argocd --role edit --context east --hub-context hub",
)
@_both
@click.option(
    "--role", default="view", show_default=True, metavar="CLUSTERROLE", help="What the consumer may do there."
)
@click.option("--in", "places", multiple=True, metavar="NAMESPACE", help="Only there; else in the whole member.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 3650), help="How long it is good.")
def grant_command(
    real: Real,
    hub_kubeconfig: Path | None,
    hub_context: str,
    role: str,
    places: tuple[str, ...],
    **named: object,
) -> None:
    """Give one consumer on the hub access to MEMBER; run by the member's admin, again before it ends.

    It makes an account in the member, and writes its token as Secret MEMBER into the consumer's namespace on the hub.
    """
    days = int(str(named["days"]))
    wanted = Grant(str(named["member"]), str(named["namespace"]), role, places, days * _DAY)
    expires = _at_both(real, hub_kubeconfig, hub_context, lambda member, hub: grant(member, hub, wanted))
    there = f"namespaces {', '.join(places)}" if places else "the whole cluster"
    click.echo(
        f"The consumer in {wanted.namespace} is {role} of {there} in {wanted.member} until {expires:%F %H:%M} UTC."
    )
    where = {
        "--kubeconfig": real.kubeconfig,
        "--context": real.context,
        "--hub-kubeconfig": hub_kubeconfig,
        "--hub-context": hub_context,
    }
    words = [word for option, value in where.items() if value for word in (option, str(value))]
    words = ["isthmus", "credential", "revoke", wanted.member, "--namespace", wanted.namespace, *words]
    click.echo(f"To end it:  {shlex.join(words)}")


@credential_command.command(
    "revoke", epilog="Example:  isthmus credential revoke east --namespace argocd --context east --hub-context hub"
)
@_both
def revoke_command(real: Real, hub_kubeconfig: Path | None, hub_context: str, member: str, namespace: str) -> None:
    """Take a consumer's access to MEMBER away: its token is worthless at once."""
    wanted = Grant(member, namespace)
    count = _at_both(real, hub_kubeconfig, hub_context, lambda there, hub: revoke(there, hub, wanted))
    click.echo(f"{count} objects are gone.")


def _at_both(
    real: Real, hub_kubeconfig: Path | None, hub_context: str, work: Callable[[Client, Client], Awaitable[T]]
) -> T:
    async def connected(member: Client) -> T:
        hub = Real(hub_kubeconfig or real.kubeconfig, hub_context)
        async with Client(hub.config(), user_agent="isthmus-credential") as client:
            return await work(member, client)

    return real.run(connected)
