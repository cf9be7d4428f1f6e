"""Connections that break, servers that fail or hang, certificates and tokens that change: over real sockets."""

import asyncio
import gzip
import socket
import ssl
import zlib
from contextlib import aclosing
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.kit.clock import FakeClock
from isthmus.kube import transport as transports
from isthmus.kube.config import Config
from isthmus.kube.request import Request, reading
from isthmus.kube.tls import Material, Trust
from isthmus.kube.transport import NotSent, Transport
from tests.kube.authority import Authority, written
from tests.kube.scripted import Answer, Reply, Scripted, Seen, drops, hangs, says, soon, status
from tests.real.ports import free_port

GET = reading("/x")
POST = Request("POST", "/x", body=b"{}")
APPLY = Request("PATCH", "/x", body=b"{}", repeatable=True)
PUT = Request("PUT", "/x", body=b"{}")
DELETE = Request("DELETE", "/x", body=b"{}")
OK = says({"ok": True})


@pytest.mark.parametrize("request_", [GET, APPLY], ids=["a read", "an apply"])
@pytest.mark.parametrize("fault", [drops, status(500, "InternalError"), status(503)], ids=["a drop", "a 500", "a 503"])
async def test_what_may_be_sent_twice_survives_a_fault(request_: Request, fault: Answer) -> None:
    async with Scripted().then(fault, fault, OK) as server, Transport(Config(server.url)) as transport:
        assert await transport.send(request_) == b'{"ok": true}'
    assert len(server.seen) == 3


@pytest.mark.parametrize("request_", [POST, PUT, DELETE], ids=["a create", "an update", "a delete"])
async def test_a_write_that_may_have_arrived_is_not_sent_again(request_: Request) -> None:
    # The first request makes the connection a kept one, where the HTTP library would try PUT and DELETE again.
    async with Scripted().then(OK, drops, OK) as server, Transport(Config(server.url)) as transport:
        await transport.send(GET)
        with pytest.raises(errors.Unreachable):
            await transport.send(request_)
    assert [seen.method for seen in server.seen] == ["GET", request_.method]


async def test_a_write_that_cannot_have_arrived_is_sent_again() -> None:
    server = Scripted(port=free_port()).then(OK)
    async with Transport(Config(server.url)) as transport, asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(transport.send(POST))
        async with server:
            assert await sending == b'{"ok": true}'
    assert len(server.seen) == 1


async def test_nobody_there_is_unreachable() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with Transport(Config(url)) as transport:
        with pytest.raises(NotSent, match=url):
            await transport.send(GET)


async def test_a_server_that_stays_down_gets_few_tries() -> None:
    async with Scripted().then(status(500)) as server, Transport(Config(server.url)) as transport:
        with pytest.raises(errors.ServerFault):
            await transport.send(GET)
    assert len(server.seen) == transports.TRIES


@pytest.mark.parametrize("answer", [status(429), status(503)], ids=["429", "503"])
async def test_a_server_that_asks_for_time_gets_it_also_for_writes(answer: Answer) -> None:
    async def later(seen: Seen, reply: Reply) -> None:
        code = 429 if answer is BUSY else 503
        await reply.json({}, code, Retry_After="7")

    clock = FakeClock()
    async with (
        Scripted().then(later, OK) as server,
        Transport(Config(server.url), clock=clock) as transport,
        asyncio.TaskGroup() as tasks,
    ):
        sending = tasks.create_task(transport.send(POST))
        await soon(lambda: len(server.seen) == 1)
        await advance_until(clock, lambda: len(server.seen) == 2, step=1.0)
        assert await sending == b'{"ok": true}'
        assert clock.monotonic() >= 7


BUSY = status(429)


async def advance_until(clock: FakeClock, condition: object, step: float) -> None:
    assert callable(condition)
    async with asyncio.timeout(20):
        while not condition():
            await clock.advance(step)
            await asyncio.sleep(0.01)


async def test_a_server_that_asks_for_too_much_time_is_not_waited_for() -> None:
    async with (
        Scripted().then(says({}, 429, Retry_After="3600")) as server,
        Transport(Config(server.url)) as transport,
    ):
        with pytest.raises(errors.Throttled) as problem:
            await transport.send(GET)
    assert problem.value.retry_after == 3600
    assert len(server.seen) == 1


async def test_an_answer_that_never_comes_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "ANSWER", 0.2)
    async with Scripted().then(hangs) as server, Transport(Config(server.url)) as transport:
        with pytest.raises(errors.Unreachable, match="time limit"):
            await transport.send(POST)


async def test_an_answer_that_is_cut_short_is_not_taken_for_whole() -> None:
    async def short(seen: Seen, reply: Reply) -> None:
        await reply.body(b'{"ok": true}', content_length="100")
        reply.drop()

    async with Scripted().then(short) as server, Transport(Config(server.url)) as transport:
        with pytest.raises(errors.Unreachable):
            await transport.send(POST)


async def test_an_answer_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "MAX_BODY", 1 << 20)
    bomb = gzip.compress(bytes(50 << 20))

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.body(bomb, Content_Encoding="gzip")

    async with Scripted().then(answer) as server, Transport(Config(server.url)) as transport:
        with pytest.raises(errors.Invalid, match="larger than 1 MiB"):
            await transport.send(GET)


async def test_compressed_answers_are_read() -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        packer = zlib.compressobj(wbits=31)
        await reply.body(packer.compress(b"x" * 100_000) + packer.flush(), Content_Encoding="gzip")

    async with Scripted().then(answer) as server, Transport(Config(server.url)) as transport:
        assert await transport.send(GET) == b"x" * 100_000
    assert server.seen[0].header("accept-encoding") == "gzip"


async def test_connections_are_kept() -> None:
    async with Scripted().then(OK) as server, Transport(Config(server.url)) as transport:
        for _ in range(5):
            await transport.send(GET)
        await transport.send(POST)
    assert {seen.connection for seen in server.seen} == {1}


async def test_who_fails_together_waits_together_and_once() -> None:
    clock = FakeClock()
    async with (
        Scripted().then(status(500)) as server,
        Transport(Config(server.url), clock=clock) as transport,
        asyncio.TaskGroup() as tasks,
    ):

        async def failing() -> None:
            with pytest.raises(errors.ServerFault):
                await transport.send(POST)

        for _ in range(20):
            tasks.create_task(failing())
        await soon(lambda: len(server.seen) == 20)
        await asyncio.sleep(0)
        # One failure's back-off, not twenty's.
        assert transport._pause._until <= clock.monotonic() + 0.05


async def test_a_pause_holds_everybody_back_until_it_is_over() -> None:
    clock = FakeClock()
    pause = transports.Pause(clock)
    pause._backoff._jitter = lambda: 1.0
    for _ in range(10):
        pause.failed(clock.monotonic())
        await clock.advance(60)
    pause.failed(clock.monotonic())
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(pause.over()) for _ in range(3)]
        await clock.advance(4.9)
        assert not any(task.done() for task in waiting)
        await clock.advance(0.2)
        assert all(task.done() for task in waiting)
    pause.succeeded()
    await pause.over()


async def test_a_stream_that_falls_silent_is_unreachable() -> None:
    async def silent(seen: Seen, reply: Reply) -> None:
        await reply.begin()
        await reply.chunk(b"one\n")
        await reply.hang()

    async with (
        Scripted().then(silent) as server,
        Transport(Config(server.url), stall=0.2) as transport,
        aclosing(transport.stream(GET)) as chunks,
    ):
        assert await anext(chunks) == b"one\n"
        with pytest.raises(errors.Unreachable):
            await anext(chunks)


async def test_a_stream_that_may_pause_is_waited_for() -> None:
    async def slow(seen: Seen, reply: Reply) -> None:
        await reply.begin()
        await asyncio.sleep(0.5)
        await reply.chunk(b"one\n")
        await reply.hang()

    async with (
        Scripted().then(slow) as server,
        Transport(Config(server.url), stall=0.1) as transport,
        aclosing(transport.stream(GET, may_pause=True)) as chunks,
    ):
        assert await anext(chunks) == b"one\n"


@pytest.mark.parametrize("polite", [True, False], ids=["ended", "broken off"])
async def test_the_end_of_a_stream_is_told_from_a_break(*, polite: bool) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.begin()
        await reply.chunk(b"one\n")
        if polite:
            await reply.end()
        else:
            reply.drop()

    async def read() -> list[bytes]:
        async with aclosing(transport.stream(GET)) as chunks:
            return [chunk async for chunk in chunks]

    async with Scripted().then(answer) as server, Transport(Config(server.url)) as transport:
        if polite:
            assert b"".join(await read()) == b"one\n"
        else:
            with pytest.raises(errors.Unreachable):
                await read()


# Identity


def tls_server(authority: Authority, folder: Path, names: tuple[str, ...] = (), **facts: bool) -> Scripted:
    certificate, key = authority.issue("server", addresses=() if names else ("127.0.0.1",), names=names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.pem.decode())
    context.load_cert_chain(written(folder, "server.pem", certificate + key))
    if facts.get("mutual"):
        context.verify_mode = ssl.CERT_REQUIRED
    return Scripted(tls=context)


async def test_a_server_is_known_by_its_authority(tmp_path: Path) -> None:
    authority = Authority()
    trust = Trust(Material("ca", authority.pem))
    async with (
        tls_server(authority, tmp_path).then(OK) as server,
        Transport(Config(server.url, trust=trust)) as transport,
    ):
        assert await transport.send(GET)


async def test_a_server_of_another_authority_is_not_trusted(tmp_path: Path) -> None:
    trust = Trust(Material("ca", Authority().pem))
    async with tls_server(Authority(), tmp_path).then(OK) as server:
        async with Transport(Config(server.url, trust=trust)) as transport:
            with pytest.raises(errors.Unreachable, match="not trusted"):
                await transport.send(GET)
        async with Transport(Config(server.url, trust=Trust(insecure=True))) as transport:
            assert await transport.send(GET)
    assert len(server.seen) == 1


async def test_a_server_may_have_another_name_than_its_address(tmp_path: Path) -> None:
    authority = Authority()
    trust = Trust(Material("ca", authority.pem))
    async with tls_server(authority, tmp_path, names=("kubernetes.default",)).then(OK) as server:
        async with Transport(Config(server.url, trust=trust)) as transport:
            with pytest.raises(errors.Unreachable, match="tls-server-name"):
                await transport.send(GET)
        named = Config(server.url, trust=trust, server_name="kubernetes.default")
        async with Transport(named) as transport:
            assert await transport.send(GET)


async def test_a_client_certificate_is_shown_and_read_again_when_it_changes(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("us")
    mine, secret = written(tmp_path, "tls.crt", certificate), written(tmp_path, "tls.key", key)
    trust = Trust(Material("ca", authority.pem), Material("crt", file=mine), Material("key", file=secret))
    async with (
        tls_server(authority, tmp_path, mutual=True).then(OK) as server,
        Transport(Config(server.url, trust=trust)) as transport,
    ):
        await transport.send(GET)
        certificate, key = authority.issue("us, renewed")
        mine.write_bytes(certificate)
        # Between the two writes they do not belong together: the old pair serves on.
        await transport.send(GET)
        secret.write_bytes(key)
        await transport.send(GET)
        assert transport._tls is not None
    # A new pair is a new connection.
    assert [seen.connection for seen in server.seen] == [1, 1, 2]


async def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = written(tmp_path, "token", b"first\n")
    token = Material("tokenFile", file=file)
    async with Scripted().then(OK) as server, Transport(Config(server.url, token=token)) as transport:
        await transport.send(GET)
        # As the kubelet does it: a new file in the old one's place.
        written(tmp_path, "next", b"second\n").replace(file)
        await transport.send(GET)
    assert [seen.header("authorization") for seen in server.seen] == ["Bearer first", "Bearer second"]


async def test_a_refused_token_is_read_again_once(tmp_path: Path) -> None:
    token = Material("tokenFile", file=written(tmp_path, "token", b"t"))
    async with (
        Scripted().then(status(401), OK, status(401)) as server,
        Transport(Config(server.url, token=token)) as transport,
    ):
        assert await transport.send(POST) == b'{"ok": true}'
        with pytest.raises(errors.Refused):
            await transport.send(POST)
    assert len(server.seen) == 4


async def test_a_fixed_token_that_is_refused_is_not_tried_again() -> None:
    async with (
        Scripted().then(status(401, "Unauthorized", "no")) as server,
        Transport(Config(server.url, token=Material("token", b"t"))) as transport,
    ):
        with pytest.raises(errors.Refused, match="no"):
            await transport.send(GET)
    assert len(server.seen) == 1


async def test_a_vanished_peer_is_noticed_by_keepalive() -> None:
    async with Scripted().then(OK) as server, Transport(Config(server.url)) as transport:
        made = transports._socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("", 0)))
        with made:
            assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == transports.KEEPALIVE_IDLE
        await transport.send(GET)
