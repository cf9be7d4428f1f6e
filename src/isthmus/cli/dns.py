"""`isthmus dns`: the process that answers for clusterset.local, and how a cluster's CoreDNS comes to ask it."""

import importlib
from pathlib import Path

import click

from isthmus.cli.processes import Address, common, run_forever
from isthmus.dns.app import DNSOptions, run


class Handover(click.Group):
    """Subcommands that are loaded when they are called: the process needs nothing of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Their names."""
        return ["configure", "check"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(importlib.import_module("isthmus.cli.handover"), f"{cmd_name}_command")
        return command


@click.command(
    "dns",
    cls=Handover,
    invoke_without_command=True,
    epilog="Example:  isthmus dns --listen 127.0.0.1:5353 --kubeconfig east.yaml",
)
@click.option(
    "--listen",
    multiple=True,
    type=Address(53),
    default=[":53"],
    show_default=True,
    metavar="ADDRESS:PORT",
    help="An address, or every one where it is left out; as often as needed.",
)
@click.option("--zone", default="clusterset.local", show_default=True)
@click.option("--ttl", default=5, show_default=True, type=click.IntRange(0, 3600), help="Seconds.")
@common
@click.pass_context
def dns_command(
    ctx: click.Context,
    /,
    listen: tuple[tuple[str, int], ...],
    zone: str,
    ttl: int,
    kubeconfig: Path | None,
    metrics: tuple[str, int] | None,
    **logging: object,
) -> None:
    """Run the name server of clusterset.local, from this cluster's own objects; or have a cluster ask it."""
    if ctx.invoked_subcommand is None:
        run_forever(
            run(DNSOptions(kubeconfig=kubeconfig, listen=listen, zone=zone, ttl=ttl, metrics=metrics)), **logging
        )
