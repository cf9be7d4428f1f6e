"""Questions over TCP: many on one connection, answered as each is ready (RFC 7766).

Bounded: connections, time without a question, questions under way on one connection, time to take answers.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_SIZE = struct.Struct("!H")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server puts up with. `idle` and `patience` in seconds.

    Resolvers keep connections for ten seconds: one that we closed at that moment would lose the next question.
    """

    connections: int = 256
    idle: float = 30.0
    patience: float = 5.0
    under_way: int = 16
    forwards: int = 1024


class Connections:
    """All TCP connections of a server; beyond the limit, the one that was silent longest makes room."""

    def __init__(self, answer: Callable[[bytes], Awaitable[bytes | None]], limits: Limits) -> None:
        self._answer = answer
        self._limits = limits
        # In order of their last question.
        self._open: dict[asyncio.StreamWriter, None] = {}

    async def accept(self, listener: socket.socket) -> None:
        """Serve everybody who connects, until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    sock, _ = await loop.sock_accept(listener)
                    reader, writer = await asyncio.open_connection(sock=sock)
                except OSError:
                    # The peer is gone already, or there are no descriptors: the others queue meanwhile.
                    await asyncio.sleep(0.01)
                    continue
                if len(self._open) >= self._limits.connections:
                    self._close_stalest()
                self._open[writer] = None
                tasks.create_task(self._serve(reader, writer), name="dns connection")

    def _close_stalest(self) -> None:
        stalest = next(iter(self._open))
        del self._open[stalest]
        stalest.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
            writer.close()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(self._limits.patience):
                    await writer.wait_closed()
        except TimeoutError:
            pass
        finally:
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        places, turn = asyncio.Semaphore(self._limits.under_way), asyncio.Lock()
        async with asyncio.TaskGroup() as tasks:
            while packet := await self._next(reader):
                if writer in self._open:
                    self._open[writer] = self._open.pop(writer)
                await places.acquire()
                task = tasks.create_task(self._reply(packet, writer, turn), name="dns answer")
                task.add_done_callback(lambda _: places.release())

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        """The next question; nothing when the peer hung up, fell silent, or stopped half way."""
        try:
            async with asyncio.timeout(self._limits.idle):
                head = await reader.readexactly(_SIZE.size)
                return await reader.readexactly(*_SIZE.unpack(head))
        except (OSError, EOFError, TimeoutError):
            return b""

    async def _reply(self, packet: bytes, writer: asyncio.StreamWriter, turn: asyncio.Lock) -> None:
        answer = await self._answer(packet)
        if answer is None:
            writer.transport.abort()
            return
        # One at a time, so that a peer that takes nothing cannot pile up answers here.
        async with turn:
            try:
                async with asyncio.timeout(self._limits.patience):
                    writer.write(_SIZE.pack(len(answer)) + answer)
                    await writer.drain()
            except (OSError, TimeoutError):
                writer.transport.abort()
