"""Starts the pods' processes, by way of the spawner: one request, one answer, and word when a process ends."""

import asyncio
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

import isthmus
from isthmus.errors import IsthmusError
from isthmus.local.addresses import ClusterAddresses
from isthmus.local.node.rootfs import Mount
from isthmus.local.node.spawner import CREATE, LARGEST_PACKET

# Far below what the socket holds, so that neither side ever waits for the other to read.
_MOST_REQUESTS = 32
# A message of LARGEST_PACKET bytes, were all of it escaped.
_LARGEST_EVENT = 8 * LARGEST_PACKET


class LaunchFailed(IsthmusError):
    """A process could not be started; `created` tells whether its container was made, and only the program failed."""

    def __init__(self, message: str, *, created: bool) -> None:
        super().__init__(message)
        self.created = created


class SpawnerLost(IsthmusError):
    """The spawner ended, and with it every container of this node."""


@dataclass(frozen=True)
class Streams:
    """The descriptors that become a process's stdin, stdout and stderr; the caller closes its own."""

    stdin: int
    stdout: int
    stderr: int


@dataclass(frozen=True)
class Program:
    """What to run: `argv[0]` is looked up in the PATH of `env`; `tty` makes stdin the controlling terminal."""

    argv: Sequence[str]
    env: Mapping[str, str]
    directory: str = "/"
    tty: bool = False


@dataclass(frozen=True)
class Room:
    """Where a container runs: its pod's network, its host name, its files, built upon the empty folder `root`."""

    pod: str
    hostname: str
    root: Path
    mounts: Sequence[Mount] = ()


class Process:
    """A container's program, or one that was started beside it."""

    def __init__(self, name: str, launcher: "Launcher") -> None:
        self.name = name
        self._launcher = launcher
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        """The exit code, once it has ended; 128 and the number for a signal."""
        return await asyncio.shield(self.ended)

    async def signal(self, number: int) -> None:
        """Send it a signal; one that has ended is no error."""
        if not self.ended.done():
            await self._launcher.signal(self.name, number)


class _Event(msgspec.Struct):
    request: int = 0
    stage: str = ""
    message: str = ""
    ended: str = ""
    code: int = 0


class Launcher:
    """The node's end of the spawner; an async context manager, whose end kills every container."""

    def __init__(self, addresses: ClusterAddresses) -> None:
        self._addresses = addresses
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[_Event]] = {}
        self._processes: dict[str, Process] = {}
        self._limit = asyncio.Semaphore(_MOST_REQUESTS)
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self._door, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Whichever of these three dies, those to its right are killed with it.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child"]
        # -S: the spawner needs no site packages, and would start at half the speed.
        command += [sys.executable, "-S", "-m", "isthmus.local.node.spawner"]
        environment = {"PYTHONPATH": str(Path(isthmus.__file__).parents[1])}
        with far:
            self._spawner = subprocess.Popen(  # noqa: ASYNC220 - our own program; it answers at once
                [*command, str(far.fileno()), str(self._addresses.number)],
                stdin=subprocess.DEVNULL,
                pass_fds=[far.fileno()],
                env={"PATH": os.environ.get("PATH", "")} | environment,
            )
        asyncio.get_running_loop().add_reader(self._door.fileno(), self._hear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spawner.kill()
        await asyncio.to_thread(self._spawner.wait)
        self._forget_all()
        self._door.close()

    async def wait_lost(self) -> None:
        """Raise SpawnerLost once the spawner has ended; returns when this launcher is closed."""
        await asyncio.shield(self._lost)
        raise SpawnerLost("the node's spawner ended, and all containers with it")

    async def add_pod(self, pod: str, index: int) -> None:
        """Make the network of a pod, with the addresses of that index. Raises LaunchFailed."""
        await self._ask({"do": "pod", "name": pod, "index": index})

    async def remove_pod(self, pod: str) -> None:
        """Take a pod's network away; one that is not there is no error."""
        await self._ask({"do": "remove", "name": pod})

    async def start(self, program: Program, room: Room, streams: Streams) -> Process:
        """Start a container. Raises LaunchFailed."""
        mounts: list[tuple[str, str, bool]] = [(each.source, each.target, each.read_only) for each in room.mounts]
        order = {"do": "start", "pod": room.pod, "hostname": room.hostname, "root": str(room.root)}
        return await self._launch({**order, "mounts": mounts}, program, streams)

    async def execute(self, program: Program, container: Process, streams: Streams) -> Process:
        """Start a process in a container that runs. Raises LaunchFailed."""
        return await self._launch({"do": "exec", "container": container.name}, program, streams)

    async def signal(self, name: str, number: int) -> None:
        """Send a signal to a process by name."""
        await self._ask({"do": "signal", "name": name, "signal": number})

    async def _launch(self, order: Mapping[str, object], program: Program, streams: Streams) -> Process:
        process = Process(f"p{next(self._numbers)}", self)
        self._processes[process.name] = process
        said = {
            "name": process.name,
            "argv": list(program.argv),
            "env": dict(program.env),
            "directory": program.directory,
            "tty": program.tty,
        }
        try:
            await self._ask({**order, **said}, [streams.stdin, streams.stdout, streams.stderr])
        except LaunchFailed:
            self._processes.pop(process.name, None)
            raise
        return process

    async def _ask(self, order: dict[str, object], descriptors: Sequence[int] = ()) -> None:
        async with self._limit:
            if self._lost.done():
                raise SpawnerLost("the node's spawner has ended")
            number = next(self._numbers)
            answer: asyncio.Future[_Event] = asyncio.get_running_loop().create_future()
            self._answers[number] = answer
            self._send(number, order, descriptors)
            event = await answer
        if event.message:
            raise LaunchFailed(event.message, created=event.stage != CREATE)

    def _send(self, number: int, order: dict[str, object], descriptors: Sequence[int]) -> None:
        file = os.memfd_create("order", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(file), "wb") as writer:
                writer.write(msgspec.json.encode(order))
            socket.send_fds(self._door, [str(number).encode()], [file, *descriptors])
        except (BrokenPipeError, ConnectionResetError):
            self._forget_all()
        finally:
            os.close(file)

    def _hear(self) -> None:
        try:
            packet = self._door.recv(_LARGEST_EVENT, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet = b""
        if not packet:
            self._forget_all()
            return
        event = msgspec.json.decode(packet, type=_Event)
        if event.ended:
            process = self._processes.pop(event.ended, None)
            if process and not process.ended.done():
                process.ended.set_result(event.code)
        elif (answer := self._answers.pop(event.request, None)) and not answer.done():
            answer.set_result(event)

    def _forget_all(self) -> None:
        if self._lost.done():
            return
        self._lost.set_result(None)
        asyncio.get_running_loop().remove_reader(self._door.fileno())
        for process in self._processes.values():
            if not process.ended.done():
                process.ended.set_result(137)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(SpawnerLost("the node's spawner ended"))
        self._processes.clear()
        self._answers.clear()
