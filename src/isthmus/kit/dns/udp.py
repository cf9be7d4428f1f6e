"""Datagrams in, datagrams out, many with each system call where the system can.

`recvmmsg` and `sendmmsg` move a batch at a time, and a kept answer is sent from where it stands: the only work
in Python is to look up the question's octets. Elsewhere datagrams go one by one.
"""

import ctypes
import errno
import functools
import socket
import sys
from collections.abc import Callable
from typing import Literal, TypeAlias

from isthmus.kit.dns.kept import NO_BODY, Body, Kept, body
from isthmus.kit.dns.message import Forward

# What recvfrom names a peer by: address and port, and with IPv6 flow and scope.
Peer: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
Respond: TypeAlias = Callable[[bytes], bytes | Forward | None]
Defer: TypeAlias = Callable[[bytes, Forward, socket.socket, Peer], None]

_BATCH = 64
# Batches taken before other work of the process has its turn.
_ROUNDS = 4
_LARGEST = 1232
_WORD = ctypes.sizeof(ctypes.c_size_t)


class _Span(ctypes.Structure):
    """`struct iovec`: some octets of memory."""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """`struct mmsghdr`: one datagram, its peer, its spans of memory."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("spans", ctypes.c_void_p),
        ("span_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_int),
        ("size", ctypes.c_uint32),
    )


@functools.cache
def _libc() -> ctypes.CDLL | None:
    # The layout above is that of 64-bit Linux, with glibc and with musl.
    if sys.platform != "linux" or _WORD != 8:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return libc if hasattr(libc, "recvmmsg") and hasattr(libc, "sendmmsg") else None


def reader(sock: socket.socket, kept: Kept, respond: Respond, defer: Defer) -> Callable[[], None]:
    """What to call whenever the (non-blocking) socket has datagrams.

    `respond` is asked about packets without a kept answer; what it wants forwarded goes to `defer`.
    """
    libc = _libc()
    if libc is None:
        return functools.partial(_read_singly, sock, kept, respond, defer)
    return _Batches(libc, sock, kept, respond, defer).read


def _read_singly(sock: socket.socket, kept: Kept, respond: Respond, defer: Defer) -> None:
    for _ in range(_BATCH):
        try:
            packet, peer = sock.recvfrom(_LARGEST)
            found = kept.bodies.get(packet[2:], NO_BODY)
            found.given[0] += 1
            response = packet[:2] + found.octets if found is not NO_BODY else respond(packet)
            if isinstance(response, Forward):
                defer(packet, response, sock, peer)
            elif response is not None:
                sock.sendto(response, peer)
        except BlockingIOError:
            return
        except OSError:
            # The peer cannot be reached, or claims port 0: as if the answer were lost on its way.
            continue


class _Batches:
    """The memory that a batch is received into and sent from."""

    def __init__(self, libc: ctypes.CDLL, sock: socket.socket, kept: Kept, respond: Respond, defer: Defer) -> None:
        self._receive, self._send = libc.recvmmsg, libc.sendmmsg
        self._sock, self._kept, self._respond, self._defer = sock, kept, respond, defer
        self._file = sock.fileno()
        self._peer_size = 16 if sock.family == socket.AF_INET else 28
        self._octets = ctypes.create_string_buffer(_BATCH * _LARGEST)
        self._peers = ctypes.create_string_buffer(_BATCH * self._peer_size)
        self._in_spans = (_Span * _BATCH)()
        self._out_spans = (_Span * (2 * _BATCH))()
        self._in = (_Message * _BATCH)()
        self._out = (_Message * _BATCH)()
        self._out_from = [ctypes.byref(self._out, i * ctypes.sizeof(_Message)) for i in range(_BATCH)]
        self._wire_up()
        self._incoming = memoryview(self._octets).cast("B")
        self._sizes_in = _words(self._in, "I")[_Message.size.offset // 4 :: ctypes.sizeof(_Message) // 4]
        spans = _words(self._out_spans, "Q")
        self._bases_out, self._sizes_out = spans[2::4], spans[3::4]

    def _wire_up(self) -> None:
        octets, peers = ctypes.addressof(self._octets), ctypes.addressof(self._peers)
        span = ctypes.sizeof(_Span)
        for i in range(_BATCH):
            start = i * _LARGEST
            self._in_spans[i] = _Span(octets + start, _LARGEST)
            # An answer is the id, from where it was received, and a body.
            self._out_spans[2 * i] = _Span(octets + start, 2)
            for message, spans, size in (
                (self._in[i], ctypes.addressof(self._in_spans) + i * span, 1),
                (self._out[i], ctypes.addressof(self._out_spans) + 2 * i * span, 2),
            ):
                message.name, message.name_size = peers + i * self._peer_size, self._peer_size
                message.spans, message.span_count = spans, size

    def read(self) -> None:
        """Answer what has come, up to a few batches."""
        for _ in range(_ROUNDS):
            received: int = self._receive(self._file, self._in, _BATCH, socket.MSG_DONTWAIT, None)
            if received > 0:
                self._answer(received)
            if received < _BATCH:
                return

    def _answer(self, received: int) -> None:
        find, octets, sizes = self._kept.bodies.get, self._incoming, self._sizes_in
        bases, lengths = self._bases_out, self._sizes_out
        # `found` keeps the bodies alive until they are sent, whatever is forgotten meanwhile.
        found, unsent = [], 0
        for i in range(received):
            start = i * _LARGEST
            answer = find(octets[start + 2 : start + sizes[i]].tobytes(), NO_BODY)
            if answer is NO_BODY:
                answer = self._missing(i, octets[start : start + sizes[i]].tobytes())
            if answer is NO_BODY:
                self._send_some(unsent, i)
                unsent = i + 1
                continue
            bases[i], lengths[i], _, given = answer
            given[0] += 1
            found.append(answer)
        self._send_some(unsent, received)

    def _missing(self, i: int, packet: bytes) -> Body:
        response = self._respond(packet)
        if isinstance(response, Forward):
            self._defer(packet, response, self._sock, self._peer(i))
        elif response is not None:
            return body(response)
        return NO_BODY

    def _send_some(self, start: int, stop: int) -> None:
        while start < stop:
            sent: int = self._send(self._file, self._out_from[start], stop - start, socket.MSG_DONTWAIT)
            if sent < 0 and ctypes.get_errno() in {errno.EAGAIN, errno.ENOBUFS}:
                return
            # The first that is left cannot be sent (no route, port 0): as if it were lost on its way.
            start += max(sent, 1)

    def _peer(self, i: int) -> Peer:
        raw = self._peers.raw[i * self._peer_size : (i + 1) * self._peer_size]
        port = int.from_bytes(raw[2:4], "big")
        if self._sock.family == socket.AF_INET:
            return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
        flow, scope = int.from_bytes(raw[4:8], "big"), int.from_bytes(raw[24:28], sys.byteorder)
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port, flow, scope


def _words(memory: "ctypes.Array[_Message] | ctypes.Array[_Span]", form: Literal["I", "Q"]) -> "memoryview[int]":
    return memoryview(memory).cast("B").cast(form)
