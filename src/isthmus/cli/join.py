"""`isthmus join` and `isthmus leave`: a cluster becomes a member of a set, and is none any more."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import click
import yaml

from isthmus.agent.needs import BESIDE
from isthmus.api.about import CLUSTER_ID
from isthmus.cli.handover import asked, give_back, hand_over, is_handed_over, place_of, to_give_back, to_hand_over
from isthmus.cli.install import Plain
from isthmus.cli.output import progress
from isthmus.cli.real import Real, real_cluster
from isthmus.errors import Invalid, IsthmusError
from isthmus.install.held import Held
from isthmus.install.homes import Agents, Home, InMember
from isthmus.install.join import JoinOptions, join, manifests_for, nominal
from isthmus.install.joinable import identity, name_for, read_properties
from isthmus.install.leave import demand_leaving, leave
from isthmus.install.move import move, outlook
from isthmus.install.push import BesideHub
from isthmus.install.workloads import IMAGE
from isthmus.install.works import read_works
from isthmus.inventory.rules.joining import JoinToken, read_token
from isthmus.kube.client import Client
from isthmus.local.membership import Supervised, embedded

PULL, PUSH = "pull", "push"
_STDIN = "-"
_AGENT = "isthmus-join"

mode_option = click.option(
    "--mode",
    type=click.Choice([PULL, PUSH]),
    default=PULL,
    show_default=True,
    help="The agent runs in the cluster, or beside the hub with a key to the cluster.",
)
hub_option = click.option("--hub-context", metavar="NAME", help="With --mode push: the hub, as its admin.")
corefile_option = click.option(
    "--config-map", default="kube-system/coredns", show_default=True, metavar="NAMESPACE/NAME", help="CoreDNS' own."
)


@dataclass(frozen=True)
class Where:
    """Which cluster, and where its agent lives."""

    real: Real
    mode: str
    hub_context: str | None
    address: str = ""

    def __post_init__(self) -> None:
        if (self.mode == PUSH) != bool(self.hub_context):
            raise Invalid("--mode push and --hub-context NAME go together: the agent is put beside that hub")

    @property
    def is_embedded(self) -> bool:
        """Whether it is a cluster of `isthmus up`."""
        config = self.real.config()
        return embedded(config.server, config.context) is not None

    @asynccontextmanager
    async def entered(self, agents: Agents) -> AsyncIterator[tuple[Client, Home]]:
        """The cluster, and the agent's home."""
        config = self.real.config()
        async with AsyncExitStack() as stack:
            member = await stack.enter_async_context(Client(config, user_agent=_AGENT))
            if local := embedded(config.server, config.context):
                # Push or pull: it is a process beside the hub's.
                yield member, Supervised(*local, agents)
            elif self.hub_context:
                hub_config = Real(self.real.kubeconfig, self.hub_context).config()
                hub = await stack.enter_async_context(Client(hub_config, user_agent=_AGENT))
                yield member, BesideHub((hub, hub_config), (member, config), agents, address=self.address)
            else:
                yield member, InMember(member, agents)


@click.command("join", epilog="Example:  isthmus join TOKEN --context west --property region=eu-west")
@click.argument("token")
@click.option("--name", default="", metavar="NAME", help="Its name in the set; the token's, its id, or the context's.")
@click.option("--property", "properties", multiple=True, metavar="NAME=VALUE", help="What it says of itself.")
@click.option("--works", multiple=True, metavar="none|NAMESPACE|clusterrole/NAME", help="Where Works may act; none.")
@mode_option
@hub_option
@click.option("--server", "address", default="", metavar="URL", help="Its API server's address for others.")
@click.option("--proxy", default="", metavar="URL", help="By which the hub is reached.")
@click.option("--tunnel", default="", metavar="URL", help="Where the hub's tunnel is: others come through it alone.")
@click.option("--image", default=IMAGE, show_default=True, help="The image of Isthmus.")
@click.option(BESIDE, is_flag=True, help="Though another implementation of multicluster services is at work.")
@click.option("--approved-within", default=600.0, show_default=True, metavar="SECONDS", help="How long to wait.")
@click.option("--dns/--no-dns", default=None, help="Have its own DNS ask Isthmus, too; else you are asked.")
@corefile_option
@click.option("--move", "moves", is_flag=True, help="Out of the set that it is in; safe to repeat, too.")
@click.option("--dry-run", is_flag=True, help="Print what the cluster would get, or what moving comes to; no more.")
@click.option("-o", "--output", type=click.Choice(["yaml"]), default="yaml", help="How --dry-run prints it.")
@real_cluster
def join_command(  # noqa: PLR0913 - one parameter for each option
    real: Real,
    token: str,
    name: str,
    properties: tuple[str, ...],
    works: tuple[str, ...],
    mode: str,
    hub_context: str | None,
    address: str,
    proxy: str,
    tunnel: str,
    image: str,
    approved_within: float,
    config_map: str,
    output: str,  # noqa: ARG001 - there is one way
    *,
    beside_another: bool,
    dns: bool | None,
    moves: bool,
    dry_run: bool,
) -> None:
    """Make a cluster a member of a set, by a token from its hub (- reads it from stdin); safe to repeat."""
    ticket = read_token(sys.stdin.read(1 << 17) if token == _STDIN else token)
    config = real.config()
    options = JoinOptions(
        config,
        name,
        config.context,
        read_properties(properties),
        read_works(works),
        address,
        proxy,
        beside_another,
        approved_within,
        bool(tunnel),
        to_hand_over(place_of(config_map)) if dns else (),
    )
    where = Where(real, mode, hub_context, address)
    agents = Agents(image, beside_another, tunnel)
    if tunnel and (mode == PUSH or where.is_embedded):
        raise Invalid("--tunnel is for agents in their cluster: leave it out")
    if moves and mode == PUSH:
        raise Invalid("--move is for agents in their cluster; with --mode push: isthmus leave, then isthmus join")
    if dry_run:
        asyncio.run((_foretell if moves else _show)(where, ticket, options, agents))
        return
    joined = asyncio.run(_join(where, ticket, options, agents, move if moves else join))
    click.echo(f"This cluster is member {joined} of set {ticket.set}.")
    if not where.is_embedded:
        _offer_dns(real, config_map, dns)


class _Work(Protocol):
    """How a cluster becomes a member."""

    async def __call__(
        self, token: JoinToken, member: Client, options: JoinOptions, home: Home, *, say: Callable[[str], None]
    ) -> Held: ...


async def _join(where: Where, token: JoinToken, options: JoinOptions, agents: Agents, work: _Work) -> str:
    async with where.entered(agents) as (member, home):
        return (await work(token, member, options, home, say=progress)).cluster


async def _foretell(where: Where, token: JoinToken, options: JoinOptions, agents: Agents) -> None:
    async with where.entered(agents) as (member, home):
        seen = await outlook(token, member, options, home)
    held = seen.held
    if held is None or (held.set, held.server) == (token.set, token.server):
        now = "in no set" if held is None else f"in set {held.set} already"
        click.echo(f"This cluster is {now}, so there is nothing to leave: --move would join or repair it.")
        return
    keeps = f", and {', '.join(seen.keeps)}" if seen.keeps else ""
    click.echo(
        f"""Nothing was written. Without --dry-run:
1. {token.server} is asked whether this cluster may come into set {token.set} as {seen.name}; if not, nothing changes.
2. {held.server} is told that {held.cluster} leaves set {held.set}: its {seen.exports} exports end there.
3. {seen.imports} imports go: names of set {held.set} below clusterset.local answer no more. ServiceExports stay{keeps}.
4. The cluster joins set {token.set}: its exports and that set's imports begin. In between, it is in no set.
If it dies on the way, the same command goes on from there."""
    )


async def _show(where: Where, token: JoinToken, options: JoinOptions, agents: Agents) -> None:
    async with where.entered(agents) as (member, home):
        own = ""
        # Of a cluster that does not answer, too, there is something to see.
        with suppress(IsthmusError):
            own = (await identity(member)).properties.get(CLUSTER_ID, "")
        held = nominal(token, name_for(token, options.name, own, options.context), options.proxy)
        manifests = manifests_for(home, held, options)
        beside = home.beside(held)
    click.echo(yaml.dump_all(manifests, Dumper=Plain, sort_keys=False), nl=False)
    if beside:
        click.echo(
            f"---\n# What follows is put beside the hub, by context {where.hub_context}, with a key in its Secret."
        )
        click.echo(yaml.dump_all(beside, Dumper=Plain, sort_keys=False), nl=False)


def _offer_dns(real: Real, config_map: str, dns: bool | None) -> None:
    command = f"isthmus dns configure{f' --context {real.context}' if real.context else ''}"
    where = place_of(config_map)
    if dns is None and real.run(lambda client: is_handed_over(client, where)):
        # By a former joining: the address to ask may be another now.
        dns = True
    if dns is None and sys.stdin.isatty():
        try:
            servers = real.run(lambda client: asked(client, where))
        except IsthmusError as problem:
            # It has joined all the same.
            click.echo(f"Its pods do not find names of the set: {problem}")
            return
        if not servers:
            click.echo(f"Its DNS is told already. See how:  {command} --dry-run")
            return
        dns = click.confirm(f"Have its pods find names of the set, by {servers} ({command})?", default=True)
    if not dns:
        click.echo(f"Have its pods find names of the set:  {command}")
        return
    click.echo(real.run(lambda client: hand_over(client, where, undo=False, replace=False)))


@click.command("leave", epilog="Example:  isthmus leave --context west")
@mode_option
@hub_option
@click.option("--crds", is_flag=True, help="Definitions too, and with them everybody's ServiceExports.")
@corefile_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@real_cluster
def leave_command(real: Real, mode: str, hub_context: str | None, config_map: str, *, crds: bool, yes: bool) -> None:
    """Take a cluster out of its set, and all of Isthmus off it; safe to repeat."""
    where = Where(real, mode, hub_context)
    count = asyncio.run(_leave(where, config_map, crds=crds, yes=yes))
    click.echo(f"{count} objects are gone: this cluster is in no set.")


async def _leave(where: Where, config_map: str, *, crds: bool, yes: bool) -> int:
    async with where.entered(Agents(IMAGE)) as (member, home):
        dns = () if where.is_embedded else await to_give_back(member, place_of(config_map))
        held = await demand_leaving(member, home, crds=crds, also=dns)
        if not yes:
            who = f"{held.cluster} ({member.server}) out of set {held.set}" if held else f"the rest off {member.server}"
            click.confirm(f"Take {who}?", abort=True, err=True)
        if not where.is_embedded:
            await give_back(member, config_map)
        return await leave(member, home, crds=crds, say=progress)
