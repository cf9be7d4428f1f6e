"""`isthmus hub`: the process that judges the members of a set."""

from pathlib import Path

import click

from isthmus.cli.processes import SILENT_AFTER, common, run_forever
from isthmus.hub.app import HubOptions, run
from isthmus.inventory.rules.health import Grace


@click.command("hub", epilog="Example:  isthmus hub --kubeconfig hub.yaml --set prod")
@click.option("--set", "set_name", required=True, metavar="NAME", help="The cluster set.")
@click.option("--silent-after", default=30.0, show_default=True, help=SILENT_AFTER)
@click.option("--brake", default=300.0, show_default=True, help="Seconds to hold back when many fall silent at once.")
@click.option("--flaps", default=3, show_default=True, help="Silences in ten minutes after which one must be steady.")
@click.option("--tunnel", default="", metavar="URL", help="Where consumers find isthmus tunnel, if it runs.")
@common
def hub_command(  # noqa: PLR0913 - one parameter for each option
    set_name: str,
    silent_after: float,
    brake: float,
    flaps: int,
    tunnel: str,
    kubeconfig: Path | None,
    metrics: tuple[str, int] | None,
    **logging: object,
) -> None:
    """Run the hub's controller: verdicts on the health of members."""
    grace = Grace(silent_after=silent_after, hold=brake, flaps=flaps)
    run_forever(run(HubOptions(kubeconfig, set_name, grace, metrics, tunnel)), **logging)
