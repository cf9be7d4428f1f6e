"""How commands reach the supervisor of a set: packets on a Unix socket, descriptors along with them.

A request is one JSON object. Answers are progress lines, then one result or one error; each is a packet
of its own (SOCK_SEQPACKET), so nothing has to be framed.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from isthmus.errors import Invalid, IsthmusError, Unreachable

LARGEST_MESSAGE = 64 * 1024
MOST_DESCRIPTORS = 250


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a person asked for; `clusters` in the order of the listening sockets that come along."""

    do: str
    clusters: tuple[str, ...] = ()
    dns_upstream: str = ""
    heartbeat: float = 0.0
    # New clusters of an `up` become no members.
    alone: bool = False


class UnitStatus(msgspec.Struct, frozen=True):
    """One process of the set."""

    name: str
    cluster: str
    state: str
    pid: int = 0
    restarts: int = 0


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One packet back: a line of progress, or the end."""

    progress: str = ""
    error: str = ""
    done: bool = False
    units: tuple[UnitStatus, ...] = ()


def ask(
    path: Path,
    command: Command,
    *,
    listeners: Sequence[socket.socket] = (),
    progress: Callable[[str], None] = lambda _line: None,
    limit: float = 120.0,
) -> Answer:
    """Send one command and return its result.

    `limit` bounds the wait for each packet, in seconds. Raises Unreachable if no supervisor listens
    or it dies, Invalid with its own words if it refuses.
    """
    try:
        answer = _exchange(path, command, listeners, progress, limit)
    except OSError as error:
        raise Unreachable(f"no supervisor answers at {path}: {error}") from error
    if answer.error:
        raise Invalid(answer.error)
    return answer


def _exchange(
    path: Path,
    command: Command,
    listeners: Sequence[socket.socket],
    progress: Callable[[str], None],
    limit: float,
) -> Answer:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(limit)
        peer.connect(str(path))
        socket.send_fds(peer, [msgspec.json.encode(command)], [listener.fileno() for listener in listeners])
        while packet := peer.recv(LARGEST_MESSAGE):
            answer = msgspec.json.decode(packet, type=Answer)
            if answer.done:
                return answer
            progress(answer.progress)
    raise Unreachable(f"the supervisor at {path} ended before it answered; see supervisor.log beside it")


class Peer:
    """One command's way back to the person who asked."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def say(self, line: str) -> None:
        """Report progress; a person who has gone away misses it."""
        self._send(Answer(progress=line))

    def end(self, answer: Answer) -> None:
        """Send the result."""
        self._send(msgspec.structs.replace(answer, done=True))

    def _send(self, answer: Answer) -> None:
        try:
            self._connection.send(msgspec.json.encode(answer))
        except OSError:
            return


async def receive(connection: socket.socket) -> tuple[Command, list[socket.socket]]:
    """Read one command and the listening sockets that came with it. Raises Invalid if it is not one."""
    loop = asyncio.get_running_loop()
    connection.settimeout(5)
    packet, descriptors, _flags, _address = await loop.run_in_executor(
        None, socket.recv_fds, connection, LARGEST_MESSAGE, MOST_DESCRIPTORS
    )
    listeners = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    try:
        return msgspec.json.decode(packet, type=Command), listeners
    except msgspec.MsgspecError as error:
        for listener in listeners:
            listener.close()
        raise Invalid(f"the supervisor does not understand this command: {error}") from error


def failure(error: IsthmusError) -> Answer:
    """The answer that carries an error's sentence."""
    return Answer(error=str(error))
