"""`isthmus install`: hub and members on real clusters."""

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import click
import yaml

from isthmus.agent.needs import BESIDE
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.names import is_label_value, is_qualified_name
from isthmus.api.scheme import Manifest
from isthmus.cli.handover import give_back
from isthmus.cli.output import progress
from isthmus.cli.processes import FILE, HEARTBEAT, SILENT_AFTER, log_level_option
from isthmus.cli.real import Real, real_cluster
from isthmus.errors import Invalid
from isthmus.install.apply import install
from isthmus.install.chart import write_chart
from isthmus.install.credential import contained, member_credential
from isthmus.install.hub import TUNNEL_URL, HubOptions, hub_definitions, hub_manifests
from isthmus.install.joining import sets_of
from isthmus.install.member import MemberOptions, member_definitions, member_manifests
from isthmus.install.monitoring.alerts import rules
from isthmus.install.monitoring.dashboard import dashboard
from isthmus.install.monitoring.objects import monitoring_manifests
from isthmus.install.uninstall import uninstall, uninstall_set
from isthmus.install.workloads import HUB, IMAGE, MEMBER, Tuning
from isthmus.kube.client import Client

# Expressions and sentences stay on their lines.
WIDE = 1000
set_option = click.option("--set", "set_name", required=True, metavar="NAME", help="The cluster set.")
cluster_option = click.option("--cluster", required=True, metavar="ID", help="The id under which the hub knows it.")


@click.group("install", epilog="Example:  isthmus install hub --set prod --members east,west --context hub")
def install_command() -> None:
    """Put a hub or a member onto a real cluster; safe to repeat."""


class Plain(yaml.SafeDumper):
    """For people: everything stands where it is."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - of all alike
        """Never."""
        return True


class Label(click.ParamType[tuple[str, str]]):
    """`NAME=VALUE`."""

    name = "NAME=VALUE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Both. Raises click.BadParameter."""
        name, equals, text = str(value).partition("=")
        if not (equals and is_qualified_name(name) and is_label_value(text)):
            self.fail(f"{value!r}: write NAME=VALUE, as kubectl label takes it", param, ctx)
        return name, text


@dataclass(frozen=True)
class Put:
    """What becomes of manifests: printed, or applied to a cluster; and how what they start is to run."""

    real: Real
    prints: bool
    wait: bool
    tuning: Tuning

    def __call__(self, manifests: Iterable[Manifest], *, beside: bool = False) -> None:
        """Do it."""
        if self.prints:
            click.echo(yaml.dump_all(manifests, Dumper=Plain, sort_keys=False), nl=False)
        else:
            self.real.run(lambda client: install(client, manifests, say=progress, wait=self.wait, beside=beside))


def how(command: Callable[..., None]) -> Callable[..., None]:
    """The options of what applies manifests; the command gets them as `put`."""

    @functools.wraps(command)
    def putting(*, real: Real, output: str | None, wait: bool, replicas: int, log_level: str, **rest: object) -> None:
        command(put=Put(real, output is not None, wait, Tuning(replicas, log_level)), **rest)

    made: Callable[..., None] = putting
    for option in (
        real_cluster,
        click.option("-o", "--output", type=click.Choice(["yaml"]), help="Print manifests, and touch nothing."),
        click.option("--wait/--no-wait", default=True, show_default=True, help="Until everything runs."),
        log_level_option,
        click.option(
            "--replicas", default=Tuning.replicas, show_default=True, type=click.IntRange(1), help="Pods each."
        ),
        click.option("--image", default=IMAGE, show_default=True, help="The image of Isthmus."),
        set_option,
    ):
        made = option(made)
    return made


@install_command.command("hub", epilog="Example:  isthmus install hub --set prod --members east,west --context hub")
@click.option("--members", "--member", default="", metavar="A,B", help="Clusters that are to be in the set.")
@click.option("--silent-after", default=HubOptions.silent_after, show_default=True, help=SILENT_AFTER)
@click.option(
    "--tunnel",
    default="",
    is_flag=False,
    flag_value=TUNNEL_URL,
    metavar="[URL]",
    help=f"With a tunnel to members that accept no connections; where consumers find it ({TUNNEL_URL}).",
)
@how
def hub_command(members: str, silent_after: float, tunnel: str, set_name: str, image: str, put: Put) -> None:
    """Make a cluster the hub of a set: definitions, roles, policies, its controller, and its members' access."""
    names = tuple(name for name in (part.strip() for part in members.split(",")) if name)
    put(hub_manifests(HubOptions(set_name, names, image, silent_after, put.tuning, tunnel)))
    if not put.prints:
        click.echo(f"This cluster is the hub of set {set_name}.")
        for name in names:
            click.echo(f"  {name}:  isthmus install credential --set {set_name} --cluster {name} > {name}.kubeconfig")


@install_command.command(
    "member",
    epilog="Example:  isthmus install member --set prod --cluster east --hub-kubeconfig east.kubeconfig --context east",
)
@cluster_option
@click.option("--hub-kubeconfig", type=FILE, required=True, help="How it reaches the hub: isthmus install credential.")
@click.option(BESIDE, is_flag=True, help="Though another implementation of multicluster services is at work.")
@click.option("--heartbeat", default=MemberOptions.heartbeat, show_default=True, help=HEARTBEAT)
@click.option("--tunnel", default="", metavar="URL", help="Where the hub's tunnel is; its agent dials in there.")
@how
def member_command(  # noqa: PLR0913 - one parameter for each option
    cluster: str,
    hub_kubeconfig: Path,
    heartbeat: float,
    tunnel: str,
    set_name: str,
    image: str,
    put: Put,
    *,
    beside_another: bool,
) -> None:
    """Make a cluster a member of a set: definitions, roles, policies, its agent and DNS server."""
    options = MemberOptions(
        set_name,
        cluster,
        contained(hub_kubeconfig),
        image,
        beside_another=beside_another,
        heartbeat=heartbeat,
        tuning=put.tuning,
        tunnel=tunnel,
    )
    put(member_manifests(options), beside=beside_another)
    if not put.prints:
        click.echo(
            f"This cluster is member {cluster} of set {set_name}.\nHave its pods find names:  isthmus dns configure"
        )


@install_command.command(
    "credential",
    epilog="Example:  isthmus install credential --set prod --cluster east --context hub > east.kubeconfig",
)
@set_option
@cluster_option
@click.option("--server", default="", metavar="URL", help="The hub's address for members; that of the context.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 3650), help="How long it is good.")
@real_cluster
def credential_command(set_name: str, cluster: str, server: str, days: int, real: Real) -> None:
    """Print the kubeconfig by which one member's agent reaches its hub."""
    config = real.config()
    made = real.run(
        lambda client: member_credential(
            client, config, cluster_set=set_name, member=cluster, server=server, seconds=days * 86400
        )
    )
    end = f"kubectl -n {made.namespace} delete secret {made.secret}"
    progress(f"Good until {made.expires:%Y-%m-%d %H:%M} UTC. To end it now: {end}")
    click.echo(made.kubeconfig, nl=False)


@install_command.command(
    "monitoring",
    epilog="Example:  isthmus install monitoring --label release=prometheus | kubectl apply -f -",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["yaml", "rules", "dashboard"]),
    default="yaml",
    show_default=True,
    help="Objects for Prometheus' operator and Grafana's sidecar; a file of rules; the dashboard to import.",
)
@click.option("--namespace", default=SYSTEM_NAMESPACE, show_default=True, help="Where the objects are to be.")
@click.option(
    "--label", "labels", multiple=True, type=Label(), metavar="NAME=VALUE", help="On all objects, as operators want."
)
def monitoring_command(output: str, namespace: str, labels: tuple[tuple[str, str], ...]) -> None:
    """Print alerts for Prometheus and a dashboard for Grafana; touches nothing."""
    if output == "dashboard":
        click.echo(json.dumps(dashboard(), indent=2))
    elif output == "rules":
        click.echo(yaml.dump(rules(), Dumper=Plain, sort_keys=False, width=WIDE), nl=False)
    else:
        manifests = monitoring_manifests(namespace, dict(labels))
        click.echo(yaml.dump_all(manifests, Dumper=Plain, sort_keys=False, width=WIDE), nl=False)


@install_command.command("definitions", epilog="Example:  isthmus install definitions member --context east")
@click.argument("part", type=click.Choice([HUB, MEMBER]))
@click.option("--in-cluster", is_flag=True, help="As the account of the pod in which this runs.")
@real_cluster
def definitions_command(part: str, real: Real, *, in_cluster: bool) -> None:
    """Make or renew the definitions alone, never to older ones: what Helm leaves to others."""
    definitions = hub_definitions() if part == HUB else member_definitions()
    real = replace(real, in_cluster=in_cluster)
    # Whether the cluster may be a member is asked by what makes it one.
    real.run(lambda client: install(client, definitions, say=progress, wait=False, beside=True))


@install_command.command("chart", epilog="Example:  isthmus install chart hub --output charts")
@click.argument("parts", type=click.Choice([HUB, MEMBER]), nargs=-1)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=".", help="The folder to put it in."
)
def chart_command(parts: tuple[str, ...], output: Path) -> None:
    """Write the Helm charts of hub and member: what the other commands apply, for `helm install`."""
    for part in dict.fromkeys(parts or (HUB, MEMBER)):
        click.echo(write_chart(output, part))


@install_command.command("uninstall", epilog="Example:  isthmus install uninstall member --context east")
@click.argument("part", type=click.Choice([HUB, MEMBER]))
@click.option("--crds", is_flag=True, help="Definitions too, and with them everybody's ServiceExports.")
@click.option("--config-map", default="kube-system/coredns", show_default=True, metavar="NAMESPACE/NAME")
@click.option("--set", "set_name", default="", metavar="NAME", help="At a hub of several sets: this one alone.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@real_cluster
def uninstall_command(real: Real, part: str, config_map: str, set_name: str, *, crds: bool, yes: bool) -> None:
    """Take Isthmus off a cluster: what bears its mark, Services last."""
    if set_name and part == MEMBER:
        raise Invalid("--set is for hubs: a member is in one set")
    sets = real.run(sets_of) if part == HUB else []
    alone = set_name if set(sets) != {set_name} else ""
    if not yes:
        of_set = f" of {' and '.join([alone] if alone else sets)}" if sets else ""
        click.confirm(f"Uninstall the {part}{of_set} from {real.config().server}?", abort=True)

    async def work(client: Client) -> int:
        if part == MEMBER:
            await give_back(client, config_map)
        if alone:
            return await uninstall_set(client, alone, say=progress)
        return await uninstall(client, part, crds=crds, say=progress)

    click.echo(f"{real.run(work)} objects are gone.")
