"""`isthmus dns configure`: how a cluster's CoreDNS comes to ask us, and no longer."""

import asyncio
import difflib
import re
from pathlib import Path

import click

from isthmus.api.mcs import ZONE
from isthmus.cli.output import progress
from isthmus.cli.real import Real, real_cluster
from isthmus.errors import Invalid, IsthmusError, Unreachable
from isthmus.install.handover import Change, configure, plan, restart, wait_answering
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.records import Type
from isthmus.kube.client import Client


@click.command("configure", epilog="Example:  isthmus dns configure --context east --dry-run")
@click.option("--config-map", default="kube-system/coredns", show_default=True, metavar="NAMESPACE/NAME")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--undo", is_flag=True, help="Take our block out again.")
@click.option("--replace", is_flag=True, help="Set a block of somebody else's for the zone aside, until --undo.")
@real_cluster
def configure_command(real: Real, config_map: str, dry_run: bool, undo: bool, replace: bool) -> None:
    """Have a cluster's CoreDNS ask Isthmus about clusterset.local."""
    where = place_of(config_map)
    if dry_run:
        change = real.run(lambda client: plan(client, where, undo=undo, replace_others=replace))
        click.echo(_difference(change), nl=False)
        return
    click.echo(real.run(lambda client: hand_over(client, where, undo=undo, replace=replace)))


def place_of(config_map: str) -> tuple[str, str]:
    """Namespace and name out of `NAMESPACE/NAME`. Raises click.BadParameter."""
    namespace, slash, name = config_map.partition("/")
    if not (namespace and slash and name):
        raise click.BadParameter("write NAMESPACE/NAME", param_hint="--config-map")
    return namespace, name


async def give_back(client: Client, config_map: str) -> None:
    """Take our block out of CoreDNS' configuration, where there is one, and wait until nobody is asked any more.

    Names that are asked of a server that is gone would not be unknown: the answer would not come.
    """
    where = place_of(config_map)
    try:
        change = await configure(client, where, undo=True)
    except Invalid as problem:
        progress(f"nothing taken out of the cluster's DNS: {problem}")
        return
    if not change.is_needed:
        return
    await _have_it_read(client, where, change)
    try:
        await wait_answering(client, answers=False, say=progress)
    except Unreachable as problem:
        progress(f"{problem}. Going on")


async def is_handed_over(client: Client, where: tuple[str, str]) -> bool:
    """Whether a block of ours stands in CoreDNS' configuration."""
    try:
        return (await plan(client, where, undo=True)).is_needed
    except IsthmusError:
        return False


async def hand_over(client: Client, where: tuple[str, str], *, undo: bool, replace: bool) -> str:
    """Have CoreDNS ask us, or no longer, and wait until pods notice; what to say of it."""
    change = await configure(client, where, undo=undo, replace_others=replace)
    if change.is_needed:
        await _have_it_read(client, where, change)
    verified = await wait_answering(client, answers=not undo, say=progress)
    done = f"{ZONE} is {'no longer ' if undo else ''}answered by Isthmus"
    return done if verified else f"CoreDNS is told: {done}"


async def _have_it_read(client: Client, where: tuple[str, str], change: Change) -> None:
    if change.reloads:
        progress("waiting for CoreDNS to read its configuration again, which takes up to two minutes")
    else:
        progress(f"restarting {await restart(client, where[0])}: it has no `reload` plugin")


@click.command("check", hidden=True, epilog="Example:  isthmus dns check")
def check_command() -> None:
    """Ask this machine's own name server for the zone's version; fails unless it knows it."""
    servers = re.findall(r"(?m)^nameserver\s+(\S+)", Path("/etc/resolv.conf").read_text())
    if not servers:
        raise Invalid("/etc/resolv.conf names no server")
    try:
        reply = asyncio.run(resolve(f"dns-version.{ZONE}", Type.TXT, (servers[0], 53)))
    except IsthmusError as problem:
        raise click.ClickException(str(problem)) from problem
    if not reply.answers:
        raise click.ClickException(f"{servers[0]} does not know {ZONE}")
    click.echo(f"{servers[0]} answers for {ZONE}")


def _difference(change: Change) -> str:
    place = change.place
    name = f"{place.namespace}/{place.name}/{place.key}"
    lines = difflib.unified_diff(
        place.text.splitlines(keepends=True), change.wanted.splitlines(keepends=True), name, f"{name} (wanted)"
    )
    return "".join(lines) or f"{name} is as it should be\n"
