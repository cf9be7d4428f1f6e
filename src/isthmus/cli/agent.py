"""`isthmus agent`: the process that joins one cluster to its set."""

from pathlib import Path

import click

from isthmus.agent.app import AgentOptions, run
from isthmus.agent.needs import BESIDE
from isthmus.cli.processes import FILE, HEARTBEAT, common, run_forever


@click.command("agent", epilog="Example:  isthmus agent --hub-kubeconfig hub.yaml --cluster east --set prod")
@click.option("--hub-kubeconfig", type=FILE, required=True, help="The hub, as this member may use it.")
@click.option("--cluster", required=True, metavar="ID", help="The id under which the hub knows this member.")
@click.option("--set", "set_name", required=True, metavar="NAME", help="The cluster set.")
@click.option("--heartbeat", default=10.0, show_default=True, help=HEARTBEAT)
@click.option(BESIDE, is_flag=True, help="Though another implementation of multicluster services is at work.")
@click.option("--tunnel", default="", metavar="URL", help="Dial in there, so that consumers reach this cluster.")
@common
def agent_command(  # noqa: PLR0913 - one parameter for each option
    hub_kubeconfig: Path,
    cluster: str,
    set_name: str,
    heartbeat: float,
    beside_another: bool,
    tunnel: str,
    kubeconfig: Path | None,
    metrics: tuple[str, int] | None,
    **logging: object,
) -> None:
    """Run a member's agent: exports up, imports down, heartbeat."""
    options = AgentOptions(
        hub_kubeconfig=hub_kubeconfig,
        kubeconfig=kubeconfig,
        cluster=cluster,
        set=set_name,
        heartbeat=heartbeat,
        metrics=metrics,
        beside_another=beside_another,
        tunnel=tunnel,
    )
    run_forever(run(options), **logging)
