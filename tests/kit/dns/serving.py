"""A DNS server on free ports of this machine, for as long as a test takes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from isthmus.kit.dns.server import Handler, Server, bind
from isthmus.kit.dns.tcp import Limits

LOCAL = "127.0.0.1"


@dataclass
class Running:
    server: Server
    addresses: list[tuple[str, int]]

    @property
    def address(self) -> tuple[str, int]:
        return self.addresses[0]

    @property
    def port(self) -> int:
        return self.address[1]


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, *, hosts: Sequence[str] = (LOCAL,), limits: Limits | None = None
) -> AsyncIterator[Running]:
    server = Server(handler, limits=limits)
    sockets = bind((host, 0) for host in hosts)
    addresses = [sock.getsockname()[:2] for sock in sockets[::2]]
    # A task that is cancelled before its first step closes nothing.
    with contextlib.ExitStack() as stack:
        for sock in sockets:
            stack.enter_context(sock)
        async with _running(server, sockets):
            yield Running(server, addresses)


@contextlib.asynccontextmanager
async def _running(server: Server, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(server.run(sockets))
        yield
        task.cancel()
