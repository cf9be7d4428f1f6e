"""The client: it finds out, gives up in time, and believes only the server that it asked."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import dns.message
import dns.rcode
import pytest

from isthmus.errors import Invalid, Unreachable
from isthmus.kit.dns.client import exchange, resolve
from isthmus.kit.dns.message import Answer, Rcode
from isthmus.kit.dns.records import Type
from tests.kit.dns.serving import LOCAL, serving

QUERY = dns.message.make_query("shop.local", "A", id=99).to_wire()


@contextlib.asynccontextmanager
async def answering(answer: Callable[[bytes], list[bytes]]) -> AsyncIterator[tuple[str, int]]:
    """A server of odd habits: what it sends back for a packet is the test's choice."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOCAL, 0))
        sock.setblocking(False)

        def answer_one() -> None:
            packet, peer = sock.recvfrom(2000)
            for reply in answer(packet):
                sock.sendto(reply, peer)

        loop.add_reader(sock, answer_one)
        yield sock.getsockname()
        loop.remove_reader(sock)


def true_answer(packet: bytes) -> bytes:
    return dns.message.make_response(dns.message.from_wire(packet)).to_wire()


async def test_a_reply_has_the_id_of_the_question() -> None:
    async with answering(lambda packet: [true_answer(packet)]) as address:
        assert dns.message.from_wire(await exchange(QUERY, address, seconds=5)).id == 99


async def test_ids_on_the_wire_cannot_be_guessed() -> None:
    seen: list[bytes] = []

    def note(packet: bytes) -> list[bytes]:
        seen.append(packet[:2])
        return [true_answer(packet)]

    async with answering(note) as address:
        for _ in range(20):
            await exchange(QUERY, address, seconds=5)
    assert len(set(seen)) > 10


async def test_replies_to_other_questions_are_not_believed() -> None:
    def lies_then_truth(packet: bytes) -> list[bytes]:
        other = dns.message.make_query("bank.local", "A", id=int.from_bytes(packet[:2])).to_wire()
        denied = dns.message.make_response(dns.message.from_wire(packet))
        denied.set_rcode(dns.rcode.NXDOMAIN)
        wrong_id = bytes([packet[0] ^ 1]) + denied.to_wire()[1:]
        return [b"", b"short", packet, wrong_id, true_answer(other), true_answer(packet)]

    async with answering(lies_then_truth) as address:
        reply = await exchange(QUERY, address, seconds=5)
    message = dns.message.from_wire(reply)
    assert message.question[0].name.to_text() == "shop.local."
    assert message.rcode() == dns.rcode.NOERROR


async def test_a_reply_in_another_case_is_believed() -> None:
    async with answering(lambda packet: [true_answer(packet).replace(b"shop", b"SHOP")]) as address:
        assert (await resolve("shop.local", Type.A, address)).rcode == Rcode.NOERROR


async def test_silence_ends_with_the_servers_name() -> None:
    async with answering(lambda _: []) as address:
        with pytest.raises(Unreachable, match=rf"{LOCAL}:{address[1]} did not answer within 0.1 s"):
            await exchange(QUERY, address, seconds=0.1)


@pytest.mark.parametrize("host", [LOCAL, "::1"])
@pytest.mark.parametrize("tcp", [False, True])
async def test_nobody_there_is_known_at_once(host: str, *, tcp: bool) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        with pytest.raises(Unreachable, match="does not answer"):
            await exchange(QUERY, sock.getsockname()[:2], seconds=30, tcp=tcp)


async def test_a_lost_datagram_is_sent_again() -> None:
    seen: list[bytes] = []

    def second_time_lucky(packet: bytes) -> list[bytes]:
        seen.append(packet)
        return [true_answer(packet)] if len(seen) > 1 else []

    async with answering(second_time_lucky) as address:
        assert (await resolve("shop.local", Type.A, address, seconds=0.2)).rcode == Rcode.NOERROR


async def test_an_answer_tells_what_became_of_the_question() -> None:
    async with serving(lambda _: Answer(Rcode.NXDOMAIN)) as running:
        reply = await resolve("nobody.local", Type.SRV, running.address)
    assert (reply.rcode, reply.answers, reply.authoritative, reply.truncated) == (Rcode.NXDOMAIN, (), True, False)


async def test_what_is_no_name_is_not_asked() -> None:
    with pytest.raises(Invalid, match="label"):
        await resolve("a..b", Type.A, (LOCAL, 1))


async def test_nonsense_in_a_reply_is_refused() -> None:
    async with answering(lambda packet: [true_answer(packet)[:7] + b"\5" + true_answer(packet)[8:]]) as address:
        with pytest.raises(Invalid):
            await resolve("shop.local", Type.A, address)
