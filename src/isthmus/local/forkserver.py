"""A fork server: a set's programs start as forks of one process that has loaded what they need.

A fork takes milliseconds where a fresh interpreter imports for a second, and the memory of what is loaded is shared.
The server has one thread and no event loop: what other threads hold locked would stay locked in a fork. Orders come as
packets on a Unix socket, each with the descriptors it speaks of; whoever ordered hears of the program on one of those.
"""

import asyncio
import contextlib
import gc
import importlib
import os
import selectors
import shlex
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import msgspec
from setproctitle import setproctitle

from isthmus.errors import Unreachable
from isthmus.local.children import Children, take
from isthmus.local.namespaces import NEW_NETWORK, die_with, enter

_LARGEST_ORDER = 65536
_MOST_DESCRIPTORS = 64
_ANSWER_LIMIT = 30.0
_STDIN, _STDOUT, _STDERR = range(3)


@dataclass(frozen=True)
class Program:
    """A Python module with a `main` and the words after its name.

    `descriptors` keep their numbers; `network` is the descriptor of the network namespace to run in.
    """

    argv: tuple[str, ...]
    descriptors: tuple[int, ...] = ()
    network: int | None = None


class _Order(msgspec.Struct):
    argv: list[str]
    kept: list[int]
    in_network: bool


class Forked:
    """A program that was started."""

    def __init__(self, pid: int, report: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._report = report
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(report, self._hear)

    async def wait(self) -> int:
        """Its exit code once it has ended, or minus the number of the signal that ended it."""
        await self._ended.wait()
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        """Send it a signal; one that has ended is no error."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _hear(self) -> None:
        said = self._report.recv(_LARGEST_ORDER)
        asyncio.get_running_loop().remove_reader(self._report)
        self._report.close()
        self.returncode = int(said) if said else -signal.SIGKILL
        self._ended.set()


class ForkServer:
    """The server's far end, for the one who gives it orders."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door

    def start(self, program: Program, output: int) -> Forked:
        """Start a program, with `output` as its stdout and stderr; takes milliseconds, and does not await.

        Raises Unreachable with the system's reason if it cannot be started, or if nobody answers for 30 seconds.
        """
        report, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        order = _Order(list(program.argv), list(program.descriptors), program.network is not None)
        network = () if program.network is None else (program.network,)
        with far:
            descriptors = (far.fileno(), output, *network, *program.descriptors)
            socket.send_fds(self._door, [msgspec.json.encode(order)], descriptors)
        report.settimeout(_ANSWER_LIMIT)
        try:
            said = report.recv(_LARGEST_ORDER).decode()
        except TimeoutError:
            said = f"no answer within {_ANSWER_LIMIT:.0f} s"
        if not said.isdecimal():
            report.close()
            raise Unreachable(f"{program.argv[0]} cannot be started: {said or 'the fork server has gone'}")
        report.setblocking(False)
        return Forked(int(said), report)


def serve(modules: Sequence[str], first: Callable[[ForkServer], int | None]) -> NoReturn:
    """Load `modules`, run `first` in a fork, and start what that one orders; ends when it does, with its exit code.

    All that was started is killed then, and `first` is killed if this process is. SIGTERM is handed to `first`.
    """
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    far, door = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        door.close()
        die_with(parent)
        _run(lambda: first(ForkServer(far)))
    far.close()
    _Server(door, pid).run()


class _Server:
    def __init__(self, door: socket.socket, first: int) -> None:
        self._door = door
        self._first = first
        # Where the end of each program is told.
        self._reports: dict[int, int] = {}
        self._events = selectors.DefaultSelector()

    def run(self) -> NoReturn:
        children = Children()
        signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(self._first, signal.SIGTERM))
        self._events.register(self._door, selectors.EVENT_READ, self._obey)
        self._events.register(children, selectors.EVENT_READ, lambda: self._bury(children))
        while True:
            for key, _ in self._events.select():
                key.data()

    def _bury(self, children: Children) -> None:
        for pid, status in children.ended():
            code = os.waitstatus_to_exitcode(status)
            if pid == self._first:
                os._exit(code if code >= 0 else 128 - code)
            report = self._reports.pop(pid)
            with contextlib.suppress(OSError):
                os.write(report, str(code).encode())
            os.close(report)

    def _obey(self) -> None:
        packet, received, _flags, _address = socket.recv_fds(self._door, _LARGEST_ORDER, _MOST_DESCRIPTORS)
        if not packet:
            self._events.unregister(self._door)
            return
        report, *others = received
        order = msgspec.json.decode(packet, type=_Order)
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            said = str(error)
        else:
            if pid == 0:
                _become(order, others, parent)
            self._reports[pid] = os.dup(report)
            said = str(pid)
        # Who ordered it may have given up.
        with contextlib.suppress(OSError):
            os.write(report, said.encode())
        for descriptor in received:
            os.close(descriptor)


def _become(order: _Order, received: list[int], parent: int) -> NoReturn:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    output, *others = received
    if order.in_network:
        enter(others.pop(0), NEW_NETWORK)
    take({_STDIN: _STDIN, _STDOUT: output, _STDERR: output, **dict(zip(order.kept, others, strict=True))})
    die_with(parent)
    module, *_ = sys.argv = order.argv
    setproctitle(shlex.join(("python", "-m", *order.argv)))
    _run(lambda: importlib.import_module(module).main())


def _run(main: Callable[[], int | None]) -> NoReturn:
    """Run `main` as an interpreter runs a program, and end this process with its exit code."""
    code = 1
    try:
        sys.exit(main())
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 - what an interpreter does in the end
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
