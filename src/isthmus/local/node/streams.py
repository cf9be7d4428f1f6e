"""A command in a container, spoken to over a WebSocket: one channel each for its streams, its end and its window.

Protocols `v4.channel.k8s.io` and `v5.channel.k8s.io` (KEP-4006): the first byte of a message is the channel.
"""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from isthmus.api.meta import Status
from isthmus.errors import IsthmusError
from isthmus.kit.http import Request, ServerWebSocket, Stream, accept_websocket
from isthmus.local.node.container import Life
from isthmus.local.node.launcher import Process, Program, Streams
from isthmus.local.node.probes import Unwell

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
# Seconds that output may still come after the command ended: its descendants can hold the pipes for ever.
_LINGER = 1.0
_MOST_WAITING = 16


@dataclass(frozen=True)
class Session:
    """What is to be run, and where."""

    argv: Sequence[str]
    container: Life
    stdin: bool = False
    tty: bool = False


class _Window(msgspec.Struct):
    width: int = msgspec.field(name="Width")
    height: int = msgspec.field(name="Height")


class Outlet(asyncio.Protocol):
    """Pieces of output, read no faster than they are taken."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._transport: asyncio.ReadTransport | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to slow down."""
        if isinstance(transport, asyncio.ReadTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep a piece until it is taken."""
        self._pieces.put_nowait(data)
        if self._transport and not self._paused and self._pieces.qsize() > _MOST_WAITING:
            self._paused = True
            self._transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - a terminal ends with EIO
        """Nothing more will come."""
        self._transport = None
        self._pieces.put_nowait(b"")

    async def take(self) -> bytes:
        """The next piece; empty at the end."""
        piece = await self._pieces.get()
        if self._transport and self._paused and self._pieces.qsize() < _MOST_WAITING:
            self._paused = False
            self._transport.resume_reading()
        return piece


@dataclass
class _Ends:
    """Our ends of a command's streams: (channel, descriptor) of its outputs, and where input goes in."""

    given: list[int]
    outputs: list[tuple[int, int]]
    entry: int | None = None


async def run_session(request: Request, session: Session) -> Stream:
    """Run the command, and return once it has ended or the client has gone, which ends it."""
    channel = await accept_websocket(request, PROTOCOLS)
    try:
        end = await _run(channel, session)
        await channel.send_bytes(bytes([ERROR]) + msgspec.json.encode(end))
        await channel.close()
    except ConnectionError:
        # The client has gone.
        return channel
    return channel


async def _run(channel: ServerWebSocket, session: Session) -> Status:
    ends = _terminal() if session.tty else _pipes(stdin=session.stdin)
    try:
        process = await _start(session, ends.given)
    except IsthmusError as error:
        for descriptor in {*(end for _, end in ends.outputs), *([ends.entry] if ends.entry is not None else [])}:
            os.close(descriptor)
        message = f"Internal error occurred: error executing command in container: {error}"
        return Status(status="Failure", reason="InternalError", message=message, code=500)
    finally:
        for descriptor in ends.given:
            os.close(descriptor)
    try:
        return _verdict(await _converse(channel, process, ends, tty=session.tty))
    finally:
        await process.signal(signal.SIGKILL)


async def _start(session: Session, given: Sequence[int]) -> Process:
    life = session.container
    if life.process is None or life.program is None:
        raise Unwell("the container does not run")
    env = dict(life.program.env) | ({"TERM": life.program.env.get("TERM", "xterm")} if session.tty else {})
    program = Program(session.argv, env, life.program.directory, tty=session.tty)
    return await life.launcher.execute(program, life.process, Streams(*given))


async def _converse(channel: ServerWebSocket, process: Process, ends: _Ends, *, tty: bool) -> int:
    """Carry input and output until the command has ended; returns its exit code."""
    entry = await _entry(ends.entry)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(_listen(channel, process, entry, tty=tty), name="exec input")
        speaking = [tasks.create_task(_speak(channel, *output), name="exec output") for output in ends.outputs]
        code = await process.wait()
        await asyncio.wait(speaking, timeout=_LINGER)
        for task in (listening, *speaking):
            task.cancel()
    if entry:
        entry.close()
    return code


async def _speak(channel: ServerWebSocket, number: int, descriptor: int) -> None:
    outlet = Outlet()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: outlet, os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        while piece := await outlet.take():
            await channel.send_bytes(bytes([number]) + piece)
    finally:
        transport.close()


async def _listen(channel: ServerWebSocket, process: Process, entry: asyncio.StreamWriter | None, *, tty: bool) -> None:
    async for message in channel:
        data = message.data if isinstance(message.data, bytes) else b""
        if not data:
            continue
        number, content = data[0], data[1:]
        if number == STDIN and entry:
            with contextlib.suppress(ConnectionError):
                entry.write(content)
                await entry.drain()
        elif number == RESIZE and tty and entry:
            _resize(entry, content)
        elif number == CLOSE and content == bytes([STDIN]) and entry and not tty:
            entry.close()
    # The client has gone: nobody reads what the command still has to say.
    await process.signal(signal.SIGKILL)


async def _entry(descriptor: int | None) -> asyncio.StreamWriter | None:
    if descriptor is None:
        return None
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(descriptor, "wb", buffering=0)
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


def _pipes(*, stdin: bool) -> _Ends:
    if stdin:
        inward, entry = os.pipe()
    else:
        inward, entry = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), None
    (out, child_out), (err, child_err) = os.pipe(), os.pipe()
    return _Ends([inward, child_out, child_err], [(STDOUT, out), (STDERR, err)], entry)


def _terminal() -> _Ends:
    leader, follower = pty.openpty()
    return _Ends([follower, os.dup(follower), os.dup(follower)], [(STDOUT, leader)], os.dup(leader))


def _resize(entry: asyncio.StreamWriter, content: bytes) -> None:
    try:
        window = msgspec.json.decode(content, type=_Window)
        size = struct.pack("HHHH", window.height, window.width, 0, 0)
    except (msgspec.MsgspecError, struct.error):
        return
    fcntl.ioctl(entry.get_extra_info("pipe"), termios.TIOCSWINSZ, size)


def _verdict(code: int) -> Status:
    if code == 0:
        return Status(status="Success")
    return Status(
        status="Failure",
        reason="NonZeroExitCode",
        message=f"command terminated with non-zero exit code: exit status {code}",
        details={"causes": [{"reason": "ExitCode", "message": str(code)}]},
    )
