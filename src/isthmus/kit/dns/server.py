"""A DNS server: sockets below, a handler above, in between the answers that need no second asking."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from isthmus.errors import Invalid, Unreachable
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kit.dns.client import exchange
from isthmus.kit.dns.kept import Kept, body
from isthmus.kit.dns.message import (
    MOST,
    PAYLOAD,
    Answer,
    Forward,
    Query,
    Question,
    Rcode,
    read_query,
    write_answer,
)
from isthmus.kit.dns.records import Address, Type
from isthmus.kit.dns.tcp import Connections, Limits
from isthmus.kit.dns.udp import Peer, reader
from isthmus.kit.metrics import COUNTER, GAUGE, HISTOGRAM, Durations, Metric, Sample, metered

Handler: TypeAlias = Callable[[Question], Answer | Forward]

_BACKLOG = 512
_RECEIVE_BUFFER = 4 << 20
_DRAWS = 10

# Whoever asks chooses the type: those that nobody means are one.
_NAMES: Final = {each.value: each.name for each in Type}
ANSWERS: Final = Metric("isthmus_dns_answers_total", COUNTER, "DNS answers given.", ("type", "rcode"))
KEPT: Final = Metric("isthmus_dns_kept_answers", GAUGE, "DNS answers that are kept ready.")
ROUNDS: Final = Metric(
    "isthmus_dns_round_seconds", HISTOGRAM, "How long the UDP queries that came together took, all of them."
)


class Server:
    """Answers questions with what `handler` says; the handler never waits and never raises."""

    def __init__(self, handler: Handler, *, limits: Limits | None = None, clock: Clock = SYSTEM) -> None:
        self._handler = handler
        self._limits = limits or Limits()
        self._kept = Kept()
        self._forwards = 0
        self._turn = 0
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._clock = clock
        self._rounds = Durations()
        metered(self)

    def samples(self) -> Iterator[Sample]:
        """What was answered, in numbers; what was forwarded is not among it."""
        for labels, count in self._counts.items():
            yield Sample(ANSWERS, count[0], labels)
        yield Sample(KEPT, len(self._kept.bodies))
        yield Sample(ROUNDS, self._rounds)

    def forget(self, names: Iterable[str]) -> None:
        """Ask the handler again about these names."""
        self._kept.forget(names)

    def forget_all(self) -> None:
        """Ask the handler again about every name."""
        self._kept.clear()

    async def run(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on bound UDP and listening TCP sockets until cancelled; closes them then."""
        loop = asyncio.get_running_loop()
        connections = Connections(self._answer_tcp, self._limits)
        streams = [sock for sock in sockets if sock.type == socket.SOCK_STREAM]
        datagrams = [sock for sock in sockets if sock.type == socket.SOCK_DGRAM]
        with contextlib.ExitStack() as stack:
            for sock in sockets:
                stack.enter_context(sock)
                sock.setblocking(False)
            async with asyncio.TaskGroup() as tasks:
                for sock in streams:
                    tasks.create_task(connections.accept(sock), name="dns over tcp")
                for sock in datagrams:
                    read = reader(sock, self._kept, self._respond_udp, self._defer_to(tasks))
                    loop.add_reader(sock, self._read_timed, read)
                    stack.callback(loop.remove_reader, sock)
                await asyncio.Event().wait()

    def _read_timed(self, read: Callable[[], None]) -> None:
        began = self._clock.monotonic()
        read()
        self._rounds.observe(self._clock.monotonic() - began)

    def _respond_udp(self, packet: bytes) -> bytes | Forward | None:
        query = read_query(packet)
        if query is None:
            return None
        answer = self._answer(query)
        if isinstance(answer, Forward):
            return answer
        response = write_answer(query, answer, min(query.payload, PAYLOAD))
        count = self._counted(query, answer)
        if answer.keep and not query.fault:
            self._kept.put(query.question.name, packet, body(response, count))
        return response

    def _counted(self, query: Query, answer: Answer) -> list[int]:
        """One more answer of this kind: its count."""
        type_ = _NAMES.get(query.question.type, "other")
        count = self._counts.setdefault((type_, Rcode(answer.rcode).name), [0])
        count[0] += 1
        return count

    def _answer(self, query: Query) -> Answer | Forward:
        if query.fault:
            return Answer(query.fault, authoritative=False, keep=False)
        answer = self._handler(query.question)
        return self._turned(answer) if isinstance(answer, Answer) else answer

    def _turned(self, answer: Answer) -> Answer:
        """Several addresses, each time with another one first: many clients take the first, so this spreads them.

        As stock cluster DNS does (RFC 1794). Those that sort for themselves (RFC 6724) lose nothing.
        """
        count = len(answer.answers)
        if count < 2 or not all(isinstance(record.data, Address) for record in answer.answers):
            return answer
        self._turn += 1
        start = self._turn % count
        return replace(answer, answers=(*answer.answers[start:], *answer.answers[:start]), keep=False)

    def _defer_to(self, tasks: asyncio.TaskGroup) -> Callable[[bytes, Forward, socket.socket, Peer], None]:
        def defer(packet: bytes, forward: Forward, sock: socket.socket, peer: Peer) -> None:
            tasks.create_task(self._forward_udp(packet, forward, sock, peer), name="dns forward")

        return defer

    async def _forward_udp(self, packet: bytes, forward: Forward, sock: socket.socket, peer: Peer) -> None:
        reply = await self._forward(packet, forward, tcp=False)
        with contextlib.suppress(OSError):
            sock.sendto(reply, peer)

    async def _answer_tcp(self, packet: bytes) -> bytes | None:
        query = read_query(packet)
        if query is None:
            return None
        answer = self._answer(query)
        if isinstance(answer, Forward):
            return await self._forward(packet, answer, tcp=True)
        self._counted(query, answer)
        return write_answer(query, answer, MOST)

    async def _forward(self, packet: bytes, forward: Forward, *, tcp: bool) -> bytes:
        if self._forwards < self._limits.forwards:
            self._forwards += 1
            try:
                return await _first_reply(packet, forward, tcp=tcp)
            except Unreachable:
                pass
            finally:
                self._forwards -= 1
        query = read_query(packet) or Query(0, 0)
        return write_answer(query, Answer(Rcode.SERVFAIL, authoritative=False), PAYLOAD)


async def _first_reply(packet: bytes, forward: Forward, *, tcp: bool) -> bytes:
    for server in forward.servers[:-1]:
        with contextlib.suppress(Unreachable):
            return await exchange(packet, server, seconds=forward.seconds, tcp=tcp)
    if not forward.servers:
        raise Unreachable("there is no server to forward to")
    return await exchange(packet, forward.servers[-1], seconds=forward.seconds, tcp=tcp)


def bind(addresses: Iterable[tuple[str, int]]) -> list[socket.socket]:
    """A UDP and a listening TCP socket for each (IP address, port); port 0 is one free port for both.

    An IPv6 socket takes IPv6 only; an empty address is all of both families that this machine has. Raises
    Invalid where an address cannot be had.
    """
    with contextlib.ExitStack() as opened:
        sockets = [sock for host, port in addresses for each in _hosts(host) for sock in _bind_pair(each, port, opened)]
        opened.pop_all()
    return sockets


def _hosts(host: str) -> list[str]:
    if host:
        return [host]
    return ["0.0.0.0", *(["::"] if socket.has_dualstack_ipv6() else [])]  # noqa: S104  # all were asked for


def _bind_pair(host: str, port: int, opened: contextlib.ExitStack) -> list[socket.socket]:
    # A port that is free for TCP may be taken for UDP: then another one is drawn.
    for _ in range(_DRAWS - 1 if port == 0 else 0):
        with contextlib.suppress(OSError):
            return _open_pair(host, port, opened)
    try:
        return _open_pair(host, port, opened)
    except OSError as error:
        raise Invalid(
            f"cannot listen for DNS on {host} port {port}: {error.strerror}; "
            "give an address of this machine and a free port (below 1024 only with the right to bind them)"
        ) from error


def _open_pair(host: str, port: int, opened: contextlib.ExitStack) -> list[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as opening:
        stream = opening.enter_context(socket.socket(family, socket.SOCK_STREAM))
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        datagram = opening.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        datagram.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        for sock in (stream, datagram):
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, port))
            port = sock.getsockname()[1]
        stream.listen(_BACKLOG)
        opened.push(opening.pop_all())
    return [datagram, stream]
