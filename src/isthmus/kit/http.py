"""The one door to aiohttp's server: requests in on given sockets, answers and streams out.

Also passes a request on, whole, to another server that listens on a Unix socket, and bytes through a WebSocket.
"""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from socket import socket
from typing import TypeAlias

import aiohttp
from aiohttp import web

from isthmus.errors import Refused, Unreachable

Request: TypeAlias = web.BaseRequest
Response: TypeAlias = web.Response
Stream: TypeAlias = web.StreamResponse
ServerWebSocket: TypeAlias = web.WebSocketResponse
WebSocket: TypeAlias = aiohttp.ClientWebSocketResponse | web.WebSocketResponse
Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# Label selectors over many names travel in the URL.
MAX_LINE = 256 * 1024
MAX_FIELD = 64 * 1024
MAX_MESSAGE = 4 * 1024 * 1024
# What `carry` sends at once, at most.
PIECE = 64 * 1024
# Seconds for a WebSocket to come about.
DIAL = 10.0
# Headers that belong to one connection, not to the message.
HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "upgrade", "date"})


@contextlib.asynccontextmanager
async def serve(
    handler: Handler,
    listeners: Sequence[socket],
    tls: ssl.SSLContext | None = None,
    *,
    grace: float = 2.0,
    guard: "Guard | None" = None,
) -> AsyncIterator[None]:
    """Answer requests on `listeners`, which it takes over, until the block ends.

    On the way out, running handlers get `grace` seconds before they are cancelled. A handler whose
    client has gone is cancelled at once.
    """
    server = web.Server(
        guard.heard(handler) if guard else handler,
        handler_cancellation=True,
        access_log=None,
        max_line_size=MAX_LINE,
        max_field_size=MAX_FIELD,
    )
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.shutdown, grace)
        stack.callback(server.pre_shutdown)
        for listener in listeners:
            opened = await loop.create_server(
                guard.admitting(server) if guard else server,
                sock=listener,
                ssl=tls,
                backlog=1024,
                ssl_handshake_timeout=guard.patience if guard and tls else None,
            )
            stack.callback(opened.close)
        yield


class Guard:
    """For listeners that face strangers: at most so many connections, each with `patience` seconds for its request."""

    def __init__(self, connections: int, patience: float) -> None:
        self.patience = patience
        self._connections = connections
        self._silent: set[object] = set()

    def heard(self, handler: Handler) -> Handler:
        """The handler, which tells who has asked something."""

        async def handle(request: Request) -> Stream:
            self._silent.discard(request.protocol)
            return await handler(request)

        return handle

    def admitting(self, server: web.Server) -> Callable[[], asyncio.Protocol]:
        """What makes a connection's protocol."""

        def admit() -> asyncio.Protocol:
            if len(server.connections) >= self._connections:
                return _Full()
            made = server()
            self._silent.add(made)
            asyncio.get_running_loop().call_later(self.patience, cut_off, made)
            return made

        def cut_off(made: web.RequestHandler) -> None:
            if made in self._silent:
                self._silent.discard(made)
                made.force_close()

        return admit


class _Full(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take nothing."""
        transport.close()


def server_tls(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS for a server; client certificates signed by `client_ca` are asked for, but not demanded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_subject(request: Request) -> dict[str, list[str]]:
    """The subject of the client's verified certificate, by attribute (`commonName`); empty without one."""
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    subject: dict[str, list[str]] = {}
    for names in (certificate or {}).get("subject", ()):
        for attribute, value in names:
            subject.setdefault(attribute, []).append(value)
    return subject


def client_digest(request: Request) -> str:
    """The SHA-256 of the client's verified certificate, in hexadecimal; empty without one."""
    connection = request.transport.get_extra_info("ssl_object") if request.transport else None
    certificate = connection.getpeercert(binary_form=True) if connection else None
    return hashlib.sha256(certificate).hexdigest() if certificate else ""


async def read_body(request: Request, limit: int) -> bytes | None:
    """The whole body, or None once it is longer than `limit` bytes."""
    if (request.content_length or 0) > limit:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def answer(code: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """A whole answer."""
    return web.Response(status=code, body=body, headers={"Content-Type": content_type, **(headers or {})})


async def open_stream(request: Request, content_type: str) -> Stream:
    """An answer of unknown length, whose headers are sent at once; `write` chunks to it."""
    stream = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-cache, private"})
    stream.enable_chunked_encoding()
    await stream.prepare(request)
    return stream


async def accept_websocket(
    request: Request, protocols: Sequence[str], *, heartbeat: float | None = 30.0, most: int = MAX_MESSAGE
) -> ServerWebSocket:
    """Upgrade `request` to a WebSocket that speaks the first of `protocols` the client offers too.

    The client is pinged every `heartbeat` seconds; one that does not answer is gone. `most` bytes are a message.
    """
    socket_ = web.WebSocketResponse(
        protocols=protocols, max_msg_size=most, compress=False, heartbeat=heartbeat, timeout=heartbeat or DIAL
    )
    await socket_.prepare(request)
    return socket_


@contextlib.asynccontextmanager
async def dial_websocket(
    url: str,
    headers: Mapping[str, str],
    *,
    tls: ssl.SSLContext | bool = True,
    proxy: str = "",
    heartbeat: float | None = None,
    most: int = MAX_MESSAGE,
) -> AsyncIterator[WebSocket]:
    """A WebSocket to `url` for as long as the block lasts.

    Raises Unreachable when it does not come about, Refused when the other end does not switch.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        try:
            async with asyncio.timeout(DIAL):
                opened = await session.ws_connect(
                    url, headers=headers, ssl=tls, proxy=proxy or None, heartbeat=heartbeat, max_msg_size=most
                )
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(code=error.status, reason="", message=f"no WebSocket: {error.status}") from error
        except (aiohttp.ClientError, OSError) as error:
            # aiohttp's own text names objects in memory.
            problem = str(getattr(error, "os_error", error)) or "no answer within the time limit"
            raise Unreachable(f"no WebSocket: {problem}") from error
        async with opened:
            yield opened


async def carry(
    websocket: WebSocket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, idle: float
) -> None:
    """Bytes both ways between a WebSocket and a connection, until both sides have said all that they have to say.

    An empty message says that one side has. Where one breaks off, or nothing is said for `idle` seconds, the connection
    is aborted.
    """
    is_whole = False
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(idle) as limit, asyncio.TaskGroup() as tasks:

            async def out() -> None:
                while piece := await reader.read(PIECE):
                    await websocket.send_bytes(piece)
                    limit.reschedule(loop.time() + idle)
                await websocket.send_bytes(b"")

            tasks.create_task(out(), name="to the WebSocket")
            while piece := await _piece(websocket):
                writer.write(piece)
                await writer.drain()
                limit.reschedule(loop.time() + idle)
            writer.write_eof()
        is_whole = True
    except* OSError:
        pass
    finally:
        if not is_whole:
            writer.transport.abort()


async def _piece(websocket: WebSocket) -> bytes:
    message = await websocket.receive()
    if message.type is not aiohttp.WSMsgType.BINARY:
        raise ConnectionResetError("the WebSocket broke off")
    return bytes(message.data)


async def forward(request: Request, unix: Path, target: str) -> Stream:
    """Pass `request` on to `target` (path and query) at the socket `unix`, and its answer back, streaming.

    WebSockets are joined message by message. Raises Unreachable, or Refused when the upgrade was refused.
    """
    connector = aiohttp.UnixConnector(path=str(unix))
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        try:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await _join_websockets(request, session, "http://node" + target)
            return await _pass_on(request, session, "http://node" + target)
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(code=error.status, reason="", message=error.message) from error
        except aiohttp.ClientConnectionError as error:
            raise Unreachable(f"no answer at {unix}: {error}") from error


async def _pass_on(request: Request, session: aiohttp.ClientSession, url: str) -> Stream:
    async with session.request(request.method, url) as answered:
        headers = {k: v for k, v in answered.headers.items() if k.lower() not in HOP_BY_HOP}
        stream = web.StreamResponse(status=answered.status, headers=headers)
        stream.enable_chunked_encoding()
        await stream.prepare(request)
        async for chunk in answered.content.iter_any():
            await stream.write(chunk)
        await stream.write_eof()
        return stream


async def _join_websockets(request: Request, session: aiohttp.ClientSession, url: str) -> Stream:
    offered = [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
    async with session.ws_connect(url, protocols=offered, max_msg_size=MAX_MESSAGE, autoping=True) as inner:
        outer = await accept_websocket(request, [inner.protocol] if inner.protocol else [])
        async with asyncio.TaskGroup() as tasks:
            inward = tasks.create_task(_pump(outer, inner), name="websocket inward")
            await _pump(inner, outer)
            inward.cancel()
        return outer


async def _pump(source: WebSocket, sink: WebSocket) -> None:
    async for message in source:
        if sink.closed:
            break
        if message.type is aiohttp.WSMsgType.BINARY:
            await sink.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await sink.send_str(message.data)
    await sink.close(code=source.close_code or aiohttp.WSCloseCode.OK)
