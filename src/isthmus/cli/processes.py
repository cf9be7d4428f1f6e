"""What the processes of a cluster set have in common on the command line: their cluster, their logs, their end."""

import asyncio
import contextlib
import ipaddress
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path

import click
import uvloop

from isthmus.kit.logs import configure

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
LARGEST_PORT = 65535


class Address(click.ParamType[tuple[str, int]]):
    """`ADDRESS:PORT`, `[IPv6]:PORT`, `:PORT` for every address, or an address alone, which means the usual port."""

    name = "ADDRESS:PORT"

    def __init__(self, usual: int) -> None:
        self._usual = usual

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """The address, empty for every one, and the port. Raises click.BadParameter."""
        if isinstance(value, tuple):
            return value
        text = str(value)
        host, colon, port = text.rpartition(":")
        if text.count(":") > 1 and not text.startswith("["):
            host, colon, port = text, "", ""
        if not colon:
            host, port = host or text, str(self._usual)
        try:
            found = str(ipaddress.ip_address(host.strip("[]"))) if host or not colon else "", int(port)
        except ValueError:
            found = "", -1
        if not 0 <= found[1] <= LARGEST_PORT:
            self.fail(f"{text!r}: write ADDRESS, ADDRESS:PORT, [IPv6]:PORT or :PORT", param, ctx)
        return found


metrics_option = click.option(
    "--metrics",
    type=Address(8080),
    metavar="ADDRESS:PORT",
    help="Serve /metrics, /livez and /readyz there; off without.",
)


# What processes are told, and installations tell them.
HEARTBEAT = "Seconds between signs of life."
SILENT_AFTER = "Seconds without a sign of life."
log_level_option = click.option(
    "--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING"])
)


def run_forever(work: Coroutine[object, object, None], *, log_format: object, log_level: object) -> None:
    """Run one process until SIGTERM or SIGINT; both leave it time to give back what it holds."""
    configure(json=log_format == "json", level=str(log_level))
    uvloop.run(_until_asked(work))


async def _until_asked(work: Coroutine[object, object, None]) -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def common(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all processes share."""
    for option in (
        click.option("--kubeconfig", type=FILE, help="Its cluster; without it, the account of the pod it runs in."),
        metrics_option,
        log_level_option,
        click.option(
            "--log-format",
            default="text",
            show_default=True,
            type=click.Choice(["text", "json"]),
            help="One event and its facts a line: for people, or as a JSON object.",
        ),
    ):
        command = option(command)
    return command
