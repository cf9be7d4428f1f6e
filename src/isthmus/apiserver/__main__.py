"""One API server as a process of its own: `python -m isthmus.apiserver --config FILE`.

FILE is JSON with the fields of `ServerOptions`; `listeners` are inherited descriptors by number.
"""

import argparse
import asyncio
import logging
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvloop

from isthmus.apiserver.app import APIServer, ServerOptions
from isthmus.errors import Invalid, IsthmusError
from isthmus.kit.logs import configure

log = logging.getLogger(__name__)


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The config file."""

    name: str
    pki: str
    state: str | None = None
    service_ranges: tuple[str, ...] = ("10.96.0.0/16", "fd00:96::/112")
    pod_ranges: tuple[str, ...] = ()
    kubelet_socket: str | None = None
    listeners: tuple[int, ...] = ()
    advertised: tuple[tuple[str, int], ...] = ()
    window: int = 5000


def read(path: Path) -> ServerOptions:
    """The options in a config file. Raises Invalid naming the file and what is wrong in it."""
    try:
        config = msgspec.json.decode(path.read_bytes(), type=Config)
        listeners = tuple(socket.socket(fileno=number) for number in config.listeners)
    except (OSError, msgspec.MsgspecError) as error:
        raise Invalid(f"{path}: {error}") from error
    return ServerOptions(
        name=config.name,
        pki=Path(config.pki),
        state=Path(config.state) if config.state else None,
        service_ranges=config.service_ranges,
        pod_ranges=config.pod_ranges,
        kubelet_socket=Path(config.kubelet_socket) if config.kubelet_socket else None,
        listeners=listeners,
        advertised=config.advertised,
        window=config.window,
    )


async def _serve(options: ServerOptions) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with APIServer(options) as server:
        log.info("API server ready", extra={"cluster": options.name, "url": server.url})
        await ended.wait()


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="isthmus.apiserver", description="One embedded Kubernetes API server.")
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    configure(json=False)
    try:
        options = read(arguments.config)
    except Invalid as error:
        parser.error(str(error))
    try:
        uvloop.run(_serve(options))
    except IsthmusError as error:
        log.error("API server cannot run", extra={"cluster": options.name, "error": str(error)})  # noqa: TRY400  # the sentence says it all
        sys.exit(1)


if __name__ == "__main__":
    main()
