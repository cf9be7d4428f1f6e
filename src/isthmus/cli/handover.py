"""`isthmus dns configure`: how a cluster's own DNS comes to ask us, and no longer."""

import asyncio
import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import click

from isthmus.api.core import CONFIG_MAPS
from isthmus.api.mcs import ZONE
from isthmus.cli.output import progress
from isthmus.cli.real import Real, real_cluster
from isthmus.errors import Invalid, IsthmusError, Unreachable
from isthmus.install.handover import Change, configure, plan, restart, wait_answering
from isthmus.install.nameservers import USUAL_COREDNS
from isthmus.install.rights import Right
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.records import Type
from isthmus.kube.client import Client


@click.command("configure", epilog="Example:  isthmus dns configure --context east --dry-run")
@click.option(
    "--config-map", default="/".join(USUAL_COREDNS), show_default=True, metavar="NAMESPACE/NAME", help="CoreDNS' own."
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--undo", is_flag=True, help="Take what is ours out again.")
@click.option("--replace", is_flag=True, help="Set what answers for the zone already aside, until --undo.")
@real_cluster
def configure_command(real: Real, config_map: str, dry_run: bool, undo: bool, replace: bool) -> None:
    """Have a cluster's own DNS ask Isthmus about clusterset.local.

    CoreDNS, kube-dns, and NodeLocal DNSCache before either: each is found by its ConfigMap.
    """
    where = place_of(config_map)
    if dry_run:
        changes = real.run(lambda client: plan(client, where, undo=undo, replace_others=replace))
        for change in changes:
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
    """Take what is ours out of the cluster's DNS, where there is any, and wait until nobody is asked any more.

    Names that are asked of a server that is gone would not be unknown: the answer would not come.
    """
    try:
        changes = await configure(client, place_of(config_map), undo=True)
    except Invalid as problem:
        progress(f"nothing taken out of the cluster's DNS: {problem}")
        return
    if not any(change.is_needed for change in changes):
        return
    await _have_it_read(client, changes, undo=True)
    try:
        await wait_answering(client, answers=False, say=progress)
    except Unreachable as problem:
        progress(f"{problem}. Going on")


def to_hand_over(where: tuple[str, str]) -> tuple[Right, ...]:
    """What it takes to have the cluster's DNS ask us, whichever it is."""
    return tuple((verb, "", CONFIG_MAPS.plural, where[0]) for verb in ("get", "patch"))


async def to_give_back(client: Client, where: tuple[str, str]) -> tuple[Right, ...]:
    """What it takes to take out what is ours; nothing where nothing is."""
    return to_hand_over(where) if await is_handed_over(client, where) else ()


async def is_handed_over(client: Client, where: tuple[str, str]) -> bool:
    """Whether something of ours stands in the configuration of the cluster's DNS."""
    try:
        return any(change.is_needed for change in await plan(client, where, undo=True))
    except IsthmusError:
        return False


async def hand_over(client: Client, where: tuple[str, str], *, undo: bool, replace: bool) -> str:
    """Have the cluster's DNS ask us, or no longer, and wait until pods notice; what to say of it."""
    changes = await configure(client, where, undo=undo, replace_others=replace)
    await _have_it_read(client, changes, undo=undo)
    if changes and all(change.left for change in changes):
        return f"{ZONE} is not answered by Isthmus: nothing was changed"
    verified = await wait_answering(client, answers=not undo, say=progress)
    done = f"{ZONE} is {'no longer ' if undo else ''}answered by Isthmus"
    return done if verified else f"The cluster's DNS is told: {done}"


async def asked(client: Client, where: tuple[str, str]) -> str:
    """Which servers `hand_over` would tell to ask us, in words; nothing if all that can be told are. Raises Invalid."""
    changes = await plan(client, where, undo=False)
    return " and ".join(dict.fromkeys(change.place.who for change in changes if change.is_needed))


async def _have_it_read(client: Client, changes: Sequence[Change], *, undo: bool) -> None:
    for change in changes:
        progress(_told(change, undo=undo))
    needed = [change for change in changes if change.is_needed]
    for change in needed:
        if not change.reloads:
            progress(f"restarting {await restart(client, change.place)}: it has no `reload` plugin")
    if needed:
        progress("waiting for it to be read, which takes up to two minutes")


def _told(change: Change, *, undo: bool) -> str:
    place = change.place
    if change.left:
        return f"{place}: {change.left}"
    if not change.is_needed:
        return f"{place}: as it should be"
    if undo:
        return f"{place}: as it was before Isthmus"
    reset = "; its add-on manager will write it anew (label addonmanager.kubernetes.io/mode: Reconcile)"
    if not change.asks:
        return f"{place}: nothing else answers for {ZONE} here, so that the stub domain can"
    return f"{place}: asks Isthmus about {ZONE}{reset if place.is_reset else ''}"


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
    seen, wanted = (text.splitlines(keepends=True) for text in (place.text or "", change.wanted or ""))
    # A text without an end of line, as stub domains often are, still has lines of its own here.
    lines = [line.rstrip("\n") + "\n" for line in difflib.unified_diff(seen, wanted, name, f"{name} (wanted)")]
    return "".join(lines) or f"{place}: {change.left or 'as it should be'}\n"
