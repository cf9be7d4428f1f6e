"""What the processes of a cluster set have in common on the command line: their cluster, their logs, their end."""

from collections.abc import Callable, Coroutine
from pathlib import Path

import click
import uvloop

from isthmus.kit.logs import configure

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


def run_forever(work: Coroutine[object, object, None], *, log_json: object, log_level: object) -> None:
    """Run one process until SIGTERM or SIGINT."""
    configure(json=bool(log_json), level=str(log_level))
    uvloop.run(work)


def common(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all processes share."""
    for option in (
        click.option("--kubeconfig", type=FILE, help="Its cluster; without it, the account of the pod it runs in."),
        click.option("--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING"])),
        click.option("--log-json", is_flag=True, help="Log one JSON object per line."),
    ):
        command = option(command)
    return command
