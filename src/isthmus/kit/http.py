"""The one door to aiohttp's server: requests in on given sockets, answers and streams out.

Also passes a request on, whole, to another server that listens on a Unix socket.
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
# Headers that belong to one connection, not to the message.
HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "upgrade", "date"})


@contextlib.asynccontextmanager
async def serve(
    handler: Handler,
    listeners: Sequence[socket],
    tls: ssl.SSLContext | None = None,
    *,
    grace: float = 2.0,
) -> AsyncIterator[None]:
    """Answer requests on `listeners`, which it takes over, until the block ends.

    On the way out, running handlers get `grace` seconds before they are cancelled. A handler whose
    client has gone is cancelled at once.
    """
    server = web.Server(
        handler, handler_cancellation=True, access_log=None, max_line_size=MAX_LINE, max_field_size=MAX_FIELD
    )
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.shutdown, grace)
        stack.callback(server.pre_shutdown)
        for listener in listeners:
            opened = await loop.create_server(server, sock=listener, ssl=tls, backlog=1024)
            stack.callback(opened.close)
        yield


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


async def accept_websocket(request: Request, protocols: Sequence[str], *, heartbeat: float = 30.0) -> ServerWebSocket:
    """Upgrade `request` to a WebSocket that speaks the first of `protocols` the client offers too.

    The client is pinged every `heartbeat` seconds; one that does not answer is gone.
    """
    socket_ = web.WebSocketResponse(
        protocols=protocols, max_msg_size=MAX_MESSAGE, compress=False, heartbeat=heartbeat, timeout=heartbeat
    )
    await socket_.prepare(request)
    return socket_


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
