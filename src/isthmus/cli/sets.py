"""`isthmus up`, `down`, `status`, `stop`, `start`: a cluster set on this machine."""

import click

from isthmus.api.scheme import Manifest
from isthmus.cli.output import Column, output_option, progress, set_option, show_list
from isthmus.errors import Unreachable
from isthmus.local import launch
from isthmus.local.control import Answer, Command, ask
from isthmus.local.state import HUB, SetFiles, known_sets


@click.command("up", epilog="Example:  isthmus up --clusters east,west,north")
@click.option("--clusters", default="", metavar="A,B,C", help="Members to run; those of the set, or east,west,north.")
@click.option("--dns-upstream", default="", metavar="ADDRESS", help="Where pods' names of the outside are asked.")
@click.option("--no-join", is_flag=True, help="New clusters do not join: isthmus token create, isthmus join.")
@set_option
def up_command(clusters: str, dns_upstream: str, set_name: str, *, no_join: bool) -> None:
    """Start a cluster set, or what of it does not run. Safe to repeat."""
    files = SetFiles(set_name)
    names = [name for name in (part.strip() for part in clusters.split(",")) if name]
    launch.up(files, names, dns_upstream=dns_upstream, say=progress, alone=no_join)
    members = [name for name in files.read().clusters if name != HUB]
    flag = "" if set_name == "isthmus" else f" --set {set_name}"
    click.echo(
        f"Set {set_name} is up: {', '.join(members)}.\n\n"
        f"  kubectl:  export KUBECONFIG={files.kubeconfig}\n"
        f"            kubectl --context {members[0]} get nodes\n"
        f"  status:   isthmus status{flag}\n"
        f"  the end:  isthmus down{flag}"
    )


@click.command("down", epilog="Example:  isthmus down --set demo")
@set_option
def down_command(set_name: str) -> None:
    """End every process of a set and delete its files."""
    launch.down(SetFiles(set_name), say=progress)
    click.echo(f"Set {set_name} is gone.")


@click.command("stop", epilog="Example:  isthmus stop east")
@click.argument("cluster")
@set_option
def stop_command(cluster: str, set_name: str) -> None:
    """Take one cluster, or the hub, down as a power cut would, until `isthmus start`."""
    ask(SetFiles(set_name).socket, Command(do="stop", clusters=(cluster,)), progress=progress)
    click.echo(f"{cluster} is stopped. Start it again: isthmus start {cluster}")


@click.command("start", epilog="Example:  isthmus start east")
@click.argument("cluster")
@set_option
def start_command(cluster: str, set_name: str) -> None:
    """Start a cluster, or the hub, that was stopped."""
    launch.start(SetFiles(set_name), cluster, say=progress)
    click.echo(f"{cluster} runs.")


COLUMNS = (
    Column("PROCESS", lambda unit: unit["name"]),
    Column("CLUSTER", lambda unit: unit["cluster"]),
    Column("STATE", lambda unit: unit["state"]),
    Column("RESTARTS", lambda unit: unit["restarts"]),
    Column("PID", lambda unit: unit["pid"] or "", wide=True),
)


def as_manifests(answer: Answer) -> list[Manifest]:
    """The processes as plain data."""
    return [
        {"name": u.name, "cluster": u.cluster, "state": u.state, "restarts": u.restarts, "pid": u.pid}
        for u in answer.units
    ]


@click.command("status", epilog="Example:  isthmus status -o json")
@set_option
@output_option
def status_command(set_name: str, output: str) -> None:
    """List the processes of a set. Exit code 3 if the set does not run."""
    try:
        answer = ask(SetFiles(set_name).socket, Command(do="status"))
    except Unreachable as error:
        there = ", ".join(known_sets()) or "none"
        raise Unreachable(f"set {set_name} does not run (sets with files here: {there}). Type: isthmus up") from error
    show_list(as_manifests(answer), COLUMNS, output, empty=f"Set {set_name} runs nothing. Type: isthmus up")
