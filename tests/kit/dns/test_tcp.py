"""TCP: several questions on one connection, and what becomes of those who misuse it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address

import dns.message
import pytest

from isthmus.kit.dns.message import Answer, Forward, Question
from isthmus.kit.dns.records import Address, Record
from isthmus.kit.dns.tcp import Limits
from tests.kit.dns.serving import LOCAL, Running, serving

BIG = tuple(Record("big", Address(ip_address(n)), 5) for n in range(4000))


def answers(question: Question) -> Answer:
    return Answer(answers=BIG if question.name == "big" else ())


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2) + packet


def query(name: str, ident: int) -> bytes:
    return framed(dns.message.make_query(name, "A", id=ident).to_wire())


@contextlib.asynccontextmanager
async def connected(running: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*running.address)
    try:
        yield reader, writer
    finally:
        writer.close()


async def next_answer(reader: asyncio.StreamReader) -> dns.message.Message:
    async with asyncio.timeout(10):
        size = int.from_bytes(await reader.readexactly(2))
        return dns.message.from_wire(await reader.readexactly(size))


async def hung_up(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(10):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


async def test_questions_that_come_together_are_all_answered() -> None:
    async with serving(answers) as running, connected(running) as (reader, writer):
        writer.write(b"".join(query("shop", ident) for ident in range(100)))
        assert {(await next_answer(reader)).id for _ in range(100)} == set(range(100))


async def test_a_quick_answer_does_not_wait_for_a_slow_one() -> None:
    with socket.socket() as silent:
        silent.bind((LOCAL, 0))
        silent.listen()
        slow = Forward((silent.getsockname(),), seconds=60)
        handler: dict[str, Answer | Forward] = {"slow": slow, "quick": Answer()}
        async with (
            serving(lambda question: handler[question.name]) as running,
            connected(running) as (reader, writer),
        ):
            writer.write(query("slow", 1) + query("quick", 2))
            assert (await next_answer(reader)).id == 2


async def test_a_question_may_come_in_pieces() -> None:
    async with serving(answers) as running, connected(running) as (reader, writer):
        for octet in query("shop", 7):
            writer.write(bytes([octet]))
            await writer.drain()
        assert (await next_answer(reader)).id == 7


async def test_who_has_nothing_more_to_ask_still_gets_the_answers() -> None:
    async with serving(answers) as running, connected(running) as (reader, writer):
        writer.write(query("big", 1) * 3)
        writer.write_eof()
        for _ in range(3):
            assert len((await next_answer(reader)).answer[0]) == 4000
        assert await hung_up(reader)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0", id="half a length"),
        pytest.param(b"\0\x30half", id="half a question"),
    ],
)
async def test_who_falls_silent_is_left(sent: bytes) -> None:
    async with serving(answers, limits=Limits(idle=0.1)) as running, connected(running) as (reader, writer):
        writer.write(sent)
        assert await hung_up(reader)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(framed(b""), id="a question without octets"),
        pytest.param(framed(b"\0" * 11), id="less than a header"),
        pytest.param(framed(b"\0\1\x80" + b"\0" * 20), id="an answer"),
    ],
)
async def test_who_sends_what_is_no_question_is_left(sent: bytes) -> None:
    async with serving(answers) as running, connected(running) as (reader, writer):
        writer.write(sent)
        assert await hung_up(reader)


async def test_who_takes_no_answers_is_left() -> None:
    limits = Limits(patience=0.2, idle=60)
    async with serving(answers, limits=limits) as running:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, running.address)
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(ask_without_end(sock), 30)


async def ask_without_end(sock: socket.socket) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(sock, query("big", 1) * 100)


async def test_when_there_are_too_many_the_one_silent_longest_makes_room() -> None:
    limits = Limits(connections=2, idle=60)
    async with (
        serving(answers, limits=limits) as running,
        connected(running) as (first, writer),
        connected(running) as (second, _),
    ):
        writer.write(query("shop", 1))
        await next_answer(first)
        async with connected(running) as (third, late):
            late.write(query("shop", 3))
            assert (await next_answer(third)).id == 3
            assert await hung_up(second)
            writer.write(query("shop", 2))
            assert (await next_answer(first)).id == 2


async def test_who_goes_away_in_the_middle_troubles_nobody() -> None:
    async with serving(answers) as running:
        for _ in range(50):
            async with connected(running) as (_, writer):
                writer.write(query("big", 1))
                writer.transport.abort()
        async with connected(running) as (reader, writer):
            writer.write(query("shop", 5))
            assert (await next_answer(reader)).id == 5
