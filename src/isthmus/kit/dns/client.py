"""Asking another server: one packet and its reply, or a name and its records."""

import asyncio
import contextlib
import secrets
import socket
import struct

from isthmus.errors import Unreachable
from isthmus.kit.dns.message import MOST, Question, Reply, read_reply, write_query

_SIZE = struct.Struct("!H")


async def exchange(packet: bytes, server: tuple[str, int], *, seconds: float, tcp: bool = False) -> bytes:
    """The server's reply to the packet, with the packet's own id; raises Unreachable after `seconds`.

    The id and port on the wire are random, and a reply to another question is not taken (RFC 5452).
    """
    ident = secrets.token_bytes(2)
    ask = _over_tcp if tcp else _over_udp
    try:
        async with asyncio.timeout(seconds):
            reply = await ask(ident + packet[2:], server)
    except TimeoutError as error:
        raise Unreachable(f"the DNS server {_shown(server)} did not answer within {seconds:g} s") from error
    except (OSError, EOFError) as error:
        raise Unreachable(f"the DNS server {_shown(server)} does not answer: {error}") from error
    return packet[:2] + reply[2:]


async def _over_udp(packet: bytes, server: tuple[str, int]) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        # Connected, so that only this server's datagrams arrive, and its refusals do.
        sock.connect(server)
        await loop.sock_sendall(sock, packet)
        while True:
            reply = await loop.sock_recv(sock, MOST)
            if _answers(packet, reply):
                return reply


async def _over_tcp(packet: bytes, server: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(_SIZE.pack(len(packet)) + packet)
        while True:
            reply = await reader.readexactly(*_SIZE.unpack(await reader.readexactly(_SIZE.size)))
            if _answers(packet, reply):
                return reply
    finally:
        with contextlib.suppress(OSError):
            writer.close()


def _answers(packet: bytes, reply: bytes) -> bool:
    if len(reply) < 12 or reply[:2] != packet[:2] or not reply[2] & 0x80:
        return False
    # An error may come without the question; else the question is repeated, whatever its case.
    asked = _question_size(packet)
    return reply[4:6] == b"\0\0" or reply[12 : 12 + asked].lower() == packet[12 : 12 + asked].lower()


def _question_size(packet: bytes) -> int:
    offset = 12
    while offset < len(packet) and packet[offset]:
        offset += 1 + packet[offset]
    return offset + 5 - 12


async def resolve(name: str, kind: int, server: tuple[str, int], *, seconds: float = 2.0) -> Reply:
    """What the server says of a name, asked again by TCP when the answer is cut; raises Unreachable, Invalid.

    Each attempt may take `seconds`; a lost datagram is sent once more.
    """
    packet = write_query(0, Question(name, kind))
    try:
        reply = await exchange(packet, server, seconds=seconds)
    except Unreachable:
        reply = await exchange(packet, server, seconds=seconds)
    read = read_reply(reply)
    if read.truncated:
        read = read_reply(await exchange(packet, server, seconds=seconds, tcp=True))
    return read


def _shown(server: tuple[str, int]) -> str:
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
