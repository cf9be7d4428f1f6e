"""`isthmus dns`: the process that answers for clusterset.local."""

import ipaddress
from pathlib import Path

import click

from isthmus.cli.processes import common, run_forever
from isthmus.dns.app import DNSOptions, run

LARGEST_PORT = 65535


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


@click.command("dns", epilog="Example:  isthmus dns --listen 127.0.0.1:5353 --kubeconfig east.yaml")
@click.option("--listen", multiple=True, default=["0.0.0.0:53", "[::]:53"], show_default=True, metavar="ADDRESS:PORT")
@click.option("--zone", default="clusterset.local", show_default=True)
@click.option("--ttl", default=5, show_default=True, type=click.IntRange(0, 3600), help="Seconds.")
@common
def dns_command(listen: tuple[str, ...], zone: str, ttl: int, kubeconfig: Path | None, **logging: object) -> None:
    """Run the name server of clusterset.local, from this cluster's own objects."""
    addresses = tuple(address(value) for value in listen)
    run_forever(run(DNSOptions(kubeconfig=kubeconfig, listen=addresses, zone=zone, ttl=ttl)), **logging)
