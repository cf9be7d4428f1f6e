"""A road between two processes that can be closed: refused at once, or swallowed without a word."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

PIECE = 1 << 16
# Seconds for what a thread is asked to do.
LIMIT = 10.0


class Relay:
    """127.0.0.1:`port` leads to 127.0.0.1:`target`, as long as it is neither refused nor swallowed."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._connections: set[asyncio.StreamWriter] = set()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    async def listen(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def refuse(self) -> None:
        """Break all connections off and take none."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._connections:
            writer.transport.abort()

    async def swallow(self) -> None:
        """Carry nothing on, in either direction, without a word."""
        self._open.clear()

    async def heal(self) -> None:
        """Carry everything again."""
        self._open.set()
        if self._server is None:
            await self.listen()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            await self._open.wait()
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", self._target)
                self._connections.add(back)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._pipe(reader, back))
                    tasks.create_task(self._pipe(there, writer))
                self._connections.discard(back)
        finally:
            self._connections.discard(writer)
            writer.transport.abort()

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(PIECE):
                await self._open.wait()
                sink.write(data)
                await sink.drain()
        # One end closed: so is the other. TLS has no half-closed connections.
        sink.transport.abort()


class Relays:
    """Relays in a thread of their own, so that nothing the tests do holds a byte up. To be entered."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT)

    def to(self, target: int) -> Relay:
        """A new relay to a port of 127.0.0.1."""
        relay = Relay(target)
        self.do(relay.listen())
        return relay

    def do(self, work: Coroutine[object, object, T]) -> T:
        """Have the thread do some work, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)
