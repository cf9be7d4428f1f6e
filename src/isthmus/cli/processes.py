"""`isthmus agent`, `hub`, `dns`: the processes of a cluster set, as a supervisor or manifests start them."""

import ipaddress
from collections.abc import Callable, Coroutine
from pathlib import Path

import click
import uvloop

from isthmus.agent.app import AgentOptions
from isthmus.agent.app import run as run_agent
from isthmus.dns.app import DNSOptions
from isthmus.dns.app import run as run_dns
from isthmus.hub.app import HubOptions
from isthmus.hub.app import run as run_hub
from isthmus.kit.logs import configure

LARGEST_PORT = 65535
FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


def run_forever(work: Coroutine[object, object, None], *, log_json: object, log_level: object) -> None:
    """Run one process until SIGTERM or SIGINT."""
    configure(json=bool(log_json), level=str(log_level))
    uvloop.run(work)


def address(value: str) -> tuple[str, int]:
    """`HOST:PORT`, `[IPv6]:PORT` or an address alone, which means port 53. Raises click.BadParameter."""
    host, colon, port = value.rpartition(":")
    if value.count(":") > 1 and not value.startswith("["):
        host, colon, port = value, "", ""
    if not colon:
        host, port = host or value, "53"
    try:
        found = str(ipaddress.ip_address(host.strip("[]"))), int(port)
    except ValueError:
        found = "", -1
    if not 0 <= found[1] <= LARGEST_PORT:
        raise click.BadParameter(f"{value!r}: write ADDRESS, ADDRESS:PORT or [IPv6]:PORT")
    return found


def common(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all processes share."""
    for option in (
        click.option("--kubeconfig", type=FILE, help="Its cluster; without it, the account of the pod it runs in."),
        click.option("--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING"])),
        click.option("--log-json", is_flag=True, help="Log one JSON object per line."),
    ):
        command = option(command)
    return command


@click.command("agent", epilog="Example:  isthmus agent --hub-kubeconfig hub.yaml --cluster east --set prod")
@click.option("--hub-kubeconfig", type=FILE, required=True, help="The hub, as this member may use it.")
@click.option("--cluster", required=True, metavar="ID", help="The id under which the hub knows this member.")
@click.option("--set", "set_name", required=True, metavar="NAME", help="The cluster set.")
@click.option("--heartbeat", default=10.0, show_default=True, help="Seconds between signs of life.")
@common
def agent_command(
    hub_kubeconfig: Path,
    cluster: str,
    set_name: str,
    heartbeat: float,
    kubeconfig: Path | None,
    **logging: object,
) -> None:
    """Run a member's agent: exports up, imports down, heartbeat."""
    options = AgentOptions(
        hub_kubeconfig=hub_kubeconfig, kubeconfig=kubeconfig, cluster=cluster, set=set_name, heartbeat=heartbeat
    )
    run_forever(run_agent(options), **logging)


@click.command("hub", epilog="Example:  isthmus hub --kubeconfig hub.yaml --set prod")
@click.option("--set", "set_name", required=True, metavar="NAME", help="The cluster set.")
@click.option("--silent-after", default=30.0, show_default=True, help="Seconds without a sign of life.")
@click.option("--brake", default=300.0, show_default=True, help="Seconds to hold back when many fall silent at once.")
@common
def hub_command(set_name: str, silent_after: float, brake: float, kubeconfig: Path | None, **logging: object) -> None:
    """Run the hub's controller: verdicts on the health of members."""
    options = HubOptions(kubeconfig=kubeconfig, set=set_name, silent_after=silent_after, brake=brake)
    run_forever(run_hub(options), **logging)


@click.command("dns", epilog="Example:  isthmus dns --listen 127.0.0.1:5353 --kubeconfig east.yaml")
@click.option("--listen", multiple=True, default=["0.0.0.0:53", "[::]:53"], show_default=True, metavar="ADDRESS:PORT")
@click.option("--zone", default="clusterset.local", show_default=True)
@click.option("--ttl", default=5, show_default=True, type=click.IntRange(0, 3600), help="Seconds.")
@common
def dns_command(listen: tuple[str, ...], zone: str, ttl: int, kubeconfig: Path | None, **logging: object) -> None:
    """Run the name server of clusterset.local, from this cluster's own objects."""
    addresses = tuple(address(value) for value in listen)
    run_forever(run_dns(DNSOptions(kubeconfig=kubeconfig, listen=addresses, zone=zone, ttl=ttl)), **logging)
