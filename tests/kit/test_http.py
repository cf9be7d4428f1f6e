import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest

from isthmus.errors import Refused, Unreachable
from isthmus.kit.http import Guard, Request, Stream, answer, forward, open_stream, read_body, serve


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def url_of(each: socket.socket) -> str:
    return f"http://127.0.0.1:{each.getsockname()[1]}"


async def echo(request: Request) -> Stream:
    """Says what it was told; `/ws` says it back over a WebSocket, `/refused` will not."""
    if request.path == "/ws":
        ws = aiohttp.web.WebSocketResponse(protocols=("v5",))
        await ws.prepare(request)
        async for message in ws:
            if message.type is aiohttp.WSMsgType.BINARY:
                await ws.send_bytes(b"<" + message.data)
            else:
                await ws.send_str("<" + message.data)
                await ws.close(code=4000)
        return ws
    if request.path == "/refused":
        return answer(404, b"no", "text/plain")
    stream = await open_stream(request, "text/plain")
    for part in (request.method, request.path_qs):
        await stream.write(part.encode() + b"\n")
    await stream.write_eof()
    return stream


async def test_all_listeners_are_served_and_closed_afterwards() -> None:
    listeners = [listener(), listener()]
    urls = [url_of(each) for each in listeners]
    async with aiohttp.ClientSession() as session:
        async with serve(echo, listeners):
            told = [await (await session.get(f"{url}/x?y=z")).text() for url in urls]
        assert told == ["GET\n/x?y=z\n"] * 2
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(urls[0])


async def test_a_body_beyond_the_limit_is_not_read() -> None:
    seen: list[bytes | None] = []

    async def handle(request: Request) -> Stream:
        seen.append(await read_body(request, 10))
        return answer(200, b"", "text/plain")

    each = listener()
    async with serve(handle, [each]), aiohttp.ClientSession() as session:
        for body in (b"x" * 10, b"x" * 11):
            async with session.post(url_of(each), data=body):
                pass
    assert seen == [b"x" * 10, None]


async def test_a_handler_ends_when_its_caller_has_gone() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handle(request: Request) -> Stream:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return answer(200, b"", "text/plain")

    each = listener()
    async with serve(handle, [each]), aiohttp.ClientSession() as session:
        asked = asyncio.ensure_future(session.get(url_of(each)))
        await begun.wait()
        asked.cancel()
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_request_is_passed_on_to_a_unix_socket(tmp_path: Path) -> None:
    inner = socket.socket(socket.AF_UNIX)
    inner.bind(str(tmp_path / "s"))

    async def outer(request: Request) -> Stream:
        return await forward(request, tmp_path / "s", "/inner?a=b")

    each = listener()
    async with serve(echo, [inner]), serve(outer, [each]), aiohttp.ClientSession() as session:
        assert await (await session.get(url_of(each))).text() == "GET\n/inner?a=b\n"


async def test_websockets_are_joined_with_their_protocol_and_end(tmp_path: Path) -> None:
    inner = socket.socket(socket.AF_UNIX)
    inner.bind(str(tmp_path / "s"))

    async def outer(request: Request) -> Stream:
        return await forward(request, tmp_path / "s", "/ws")

    each = listener()
    async with serve(echo, [inner]), serve(outer, [each]), aiohttp.ClientSession() as session:
        ws = await session.ws_connect(url_of(each), protocols=("v6", "v5"))
        assert ws.protocol == "v5"
        await ws.send_bytes(b"hello")
        assert await ws.receive_bytes() == b"<hello"
        await ws.send_str("bye")
        assert await ws.receive_str() == "<bye"
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == 4000


async def test_nobody_there_and_a_refusal_are_told_apart(tmp_path: Path) -> None:
    seen: list[Exception] = []

    async def outer(request: Request) -> Stream:
        try:
            return await forward(request, tmp_path / request.path[1:], "/refused")
        except (Unreachable, Refused) as error:
            seen.append(error)
            return answer(500, b"", "text/plain")

    inner, each = socket.socket(socket.AF_UNIX), listener()
    inner.bind(str(tmp_path / "s"))
    async with serve(echo, [inner]), serve(outer, [each]), aiohttp.ClientSession() as session:
        async with session.get(f"{url_of(each)}/none"):
            pass
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{url_of(each)}/s")
    assert isinstance(seen[0], Unreachable)
    assert isinstance(seen[1], Refused)
    assert seen[1].code == 404


async def test_strangers_are_few_and_have_little_time() -> None:
    open_ = listener()
    async with serve(echo, [open_], guard=Guard(2, 0.3)):
        host, port = open_.getsockname()[:2]
        asking, asks = await asyncio.open_connection(host, port)
        silent, says_nothing = await asyncio.open_connection(host, port)
        asks.write(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await asyncio.wait_for(asking.readline(), 10)
        third, _ = await asyncio.open_connection(host, port)
        assert await asyncio.wait_for(third.read(), 10) == b""
        assert await asyncio.wait_for(silent.read(), 10) == b""
        # Who has asked stays.
        asks.write(b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"/second" in await asyncio.wait_for(asking.readuntil(b"/second"), 10)
        asks.close()
        says_nothing.close()
