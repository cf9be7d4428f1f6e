"""`isthmus token`, `approve`, `deny`, `remove`: what an admin of the hub does about who is in its sets."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

import click

from isthmus.api.isthmus import DENIED, PENDING, JoinRequest
from isthmus.cli.hubs import Hub, hub_options
from isthmus.cli.output import Column, output_option, progress, show_list
from isthmus.errors import Invalid
from isthmus.install import joining
from isthmus.install.credential import demand_reachable
from isthmus.inventory.rules.joining import JoinToken, written
from isthmus.kit.text import printable
from isthmus.kube.client import Client

T = TypeVar("T")

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COLUMNS: Final = (
    Column("ID", lambda item: item["id"]),
    Column("SET", lambda item: item["set"]),
    Column("CLUSTER", lambda item: item["cluster"] or "any"),
    Column("PHASE", lambda item: item["phase"]),
    Column("EXPIRES", lambda item: item["expires"] or "ended"),
    Column("REASON", lambda item: item["reason"] if item["phase"] in {PENDING, DENIED} else ""),
    Column("UID", lambda item: item["uid"], wide=True),
)


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None:
        raise Invalid(f"{text!r} is no time: write a number and a unit, as in 30m, 1h or 2d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


@click.group("token", epilog="Example:  isthmus token create --cluster west --context hub")
def token_command() -> None:
    """Join tokens: each lets one cluster ask to join a set of this hub."""


@token_command.command(
    "create",
    epilog="Example:  isthmus token create --cluster west --ttl 1h --context hub",
)
@click.option("--cluster", default="", metavar="NAME", help="The one cluster it lets in; without, an admin approves.")
@click.option("--ttl", default="1h", show_default=True, metavar="TIME", help="How long it is good: 30m, 1h, 2d.")
@click.option("--server", default="", metavar="URL", help="The hub's address for the cluster; that of the context.")
@click.option("--pod-range", "pod_ranges", multiple=True, metavar="CIDR", help="Approve its pods' addresses.")
@hub_options
def create_command(hub: Hub, cluster: str, ttl: str, server: str, pod_ranges: tuple[str, ...]) -> None:
    """Print one string: the hub's address, whom to trust there, and a short-lived credential. Keep it secret."""
    config = hub.config()
    lasts = _duration(ttl)

    async def work(client: Client, cluster_set: str) -> JoinToken:
        wanted = joining.Wanted(cluster_set, lasts, cluster, server, pod_ranges)
        return await joining.make_token(client, config, wanted)

    made = hub.run(work)
    try:
        demand_reachable(made.server)
    except Invalid:
        progress(f"The address {made.server} is this machine itself: for clusters elsewhere, give --server https://...")
    whom = f"cluster {made.cluster}" if made.cluster else "a cluster that an admin approves"
    progress(f"Lets {whom} join set {made.set} until {made.expires:%Y-%m-%d %H:%M} UTC. To end it: ")
    progress(f"  isthmus token revoke {made.id}")
    click.echo(written(made))


@token_command.command("list", epilog="Example:  isthmus token list --context hub -o wide")
@output_option
@hub_options
def list_command(hub: Hub, output: str) -> None:
    """Show the tokens that have not ended, and the last day's requests to join."""
    found = hub.run(joining.tokens)
    show_list(found, _COLUMNS, output, empty="No tokens and no requests. Type: isthmus token create")


@token_command.command("revoke", epilog="Example:  isthmus token revoke 0f3a9c1d22 --context hub")
@click.argument("token_id", metavar="ID")
@hub_options
def revoke_command(hub: Hub, token_id: str) -> None:
    """End a token at once. A cluster that has joined with it stays: see `isthmus remove`."""
    _run(hub, lambda client: joining.revoke(client, token_id))
    click.echo(f"Token {token_id} is worthless now.")


@click.command("approve", epilog="Example:  isthmus approve west --context hub")
@click.argument("name")
@hub_options
def approve_command(hub: Hub, name: str) -> None:
    """Let a cluster in that asks to join; NAME is the cluster's, or the request's (join-...)."""
    request = _run(hub, lambda client: joining.approve(client, name))
    click.echo(f"{_named(request)} may join.")


@click.command("deny", epilog='Example:  isthmus deny west --reason "not ours" --context hub')
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="What its admin gets to read.")
@hub_options
def deny_command(hub: Hub, name: str, reason: str) -> None:
    """Refuse a cluster that asks to join; NAME is the cluster's, or the request's (join-...)."""
    request = _run(hub, lambda client: joining.deny(client, name, reason))
    click.echo(f"{_named(request)} may not join.")


@click.command("remove", epilog="Example:  isthmus remove west --context hub")
@click.argument("name")
@click.option("--force", is_flag=True, help="At once, though the cluster is dead and cannot clean up on its side.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@hub_options
def remove_command(hub: Hub, name: str, *, force: bool, yes: bool) -> None:
    """Take a cluster out of its set: it takes back what it imported; then all of it goes from the hub."""
    if not yes:
        click.confirm(f"Remove {name} from its set on {hub.config().server}?", abort=True)
    _run(hub, lambda client: joining.remove(client, name, force=force, say=progress))
    click.echo(f"{name} is removed.")


def _run(hub: Hub, work: Callable[[Client], Awaitable[T]]) -> T:
    """What concerns the whole hub needs no set to be named."""

    async def connected() -> T:
        async with Client(hub.config(), user_agent="isthmus-cli") as client:
            return await work(client)

    return asyncio.run(connected())


def _named(request: JoinRequest) -> str:
    spec = request.spec
    return printable(f"{spec.cluster} (kube-system UID {spec.uid})") if spec is not None else request.metadata.name
