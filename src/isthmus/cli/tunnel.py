"""`isthmus tunnel`: the proxy server for members that accept no connections from outside."""

from pathlib import Path

import click

from isthmus.cli.processes import FILE, Address, common, run_forever
from isthmus.errors import Invalid
from isthmus.tunnel.app import TunnelOptions, run


@click.command("tunnel", epilog="Example:  isthmus tunnel --tls-cert-file tls.crt --tls-private-key-file tls.key")
@click.option(
    "--consumers", type=Address(8132), default=":8132", show_default=True, help="Where consumers ask by CONNECT."
)
@click.option("--agents", type=Address(8133), default=":8133", show_default=True, help="Where members' agents dial in.")
@click.option("--tls-cert-file", type=FILE, help="For agents; without it, something else has to end their TLS.")
@click.option("--tls-private-key-file", type=FILE, help="Its key.")
@common
def tunnel_command(
    consumers: tuple[str, int],
    agents: tuple[str, int],
    tls_cert_file: Path | None,
    tls_private_key_file: Path | None,
    kubeconfig: Path | None,
    metrics: tuple[str, int] | None,
    **logging: object,
) -> None:
    """Run the tunnel's proxy server, beside the hub: consumers reach members through connections that agents dial."""
    certificate = None
    if tls_cert_file is not None and tls_private_key_file is not None:
        certificate = (tls_cert_file, tls_private_key_file)
    elif tls_cert_file is not None or tls_private_key_file is not None:
        raise Invalid("--tls-cert-file and --tls-private-key-file go together")
    run_forever(run(TunnelOptions(kubeconfig, consumers, agents, certificate, metrics)), **logging)
