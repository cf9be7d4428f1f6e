"""A server over real sockets that answers as a test scripts it: for faults no real server can be made to show."""

import asyncio
import contextlib
import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name.lower()), "")


class Reply:
    """One answer, sent piece by piece."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def json(self, content: object, status: int = 200, **headers: str) -> None:
        await self.body(json.dumps(content).encode(), status, **headers)

    async def body(self, content: bytes, status: int = 200, **headers: str) -> None:
        length = headers.pop("content_length", str(len(content)))
        self._head(status, {"Content-Length": length, **headers})
        self._writer.write(content)
        await self._writer.drain()

    async def begin(self, status: int = 200) -> None:
        """Begin a chunked answer, as a watch has it."""
        self._head(status, {"Transfer-Encoding": "chunked"})
        await self._writer.drain()

    async def chunk(self, content: bytes) -> None:
        self._writer.write(b"%x\r\n%s\r\n" % (len(content), content))
        await self._writer.drain()

    async def event(self, kind: str, item: Mapping[str, object]) -> None:
        await self.chunk(json.dumps({"type": kind, "object": item}).encode() + b"\n")

    async def end(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def drop(self) -> None:
        """Cut the connection, without goodbye."""
        self._writer.transport.abort()

    async def hang(self) -> None:
        """Say nothing more, until the test is over."""
        await asyncio.Event().wait()

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self._writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{fields}\r\n".encode())


Answer = Callable[[Seen, Reply], Awaitable[None]]


@dataclass
class Scripted:
    """Gives the scripted answers in turn; the last one serves whoever comes after."""

    script: deque[Answer] = field(default_factory=deque)
    tls: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    _connections: set[asyncio.Task[None]] = field(default_factory=set)
    _count: int = 0

    def then(self, *answers: Answer) -> Self:
        self.script.extend(answers)
        return self

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._count += 1
        number = self._count
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    request = await _read(reader, number)
                    self.seen.append(request)
                    answer = self.script[0] if len(self.script) == 1 else self.script.popleft()
                    await answer(request, Reply(writer))
        except asyncio.CancelledError:
            pass
        finally:
            self._connections.discard(task)
            writer.close()


async def _read(reader: asyncio.StreamReader, number: int) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = int(dict(headers).get("content-length", "0"))
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Seen(method, parts.path, query, headers, await reader.readexactly(length), number)


def status(code: int, reason: str = "", message: str = "", **details: object) -> Answer:
    """Answers with a Status."""
    content = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json(content, code)

    return answer


def page(*items: object, version: str = "10", continue_: str = "") -> Answer:
    """Answers with one page of a list."""

    async def answer(seen: Seen, reply: Reply) -> None:
        metadata = {"resourceVersion": version, "continue": continue_}
        await reply.json({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": list(items)})

    return answer


def says(content: object, code: int = 200, **headers: str) -> Answer:
    """Answers with JSON."""

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json(content, code, **headers)

    return answer


async def drops(seen: Seen, reply: Reply) -> None:
    """Takes the request, and cuts the connection."""
    reply.drop()


async def hangs(seen: Seen, reply: Reply) -> None:
    """Takes the request, and says nothing."""
    await reply.hang()


async def soon(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a condition, with a bound."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
