"""The parent of a node's containers: process 1 of their PID namespace, so that none outlives it.

Standard library only, one thread: it forks, and a small process forks fast (a container starts in a few
milliseconds). Orders come as packets on a Unix socket, each with its JSON in a memory file whose
descriptor it carries, and the descriptors of stdin, stdout and stderr after that; `launcher.py` sends them.
"""

import fcntl
import gc
import json
import os
import selectors
import signal
import socket
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from isthmus.local.addresses import POD_PREFIXES, ClusterAddresses
from isthmus.local.children import Children, take
from isthmus.local.namespaces import (
    NEW_HOST_NAME,
    NEW_MOUNTS,
    NEW_NETWORK,
    children_in,
    enter,
    inside,
    keep_capabilities,
    new_network,
    unshare,
)
from isthmus.local.netlink import Netlink, Peer
from isthmus.local.node.rootfs import Mount, build

BRIDGE = "pods"
# Of its own: a bridge without takes a port's and changes it as pods go, and those that stay talk to nobody for seconds.
BRIDGE_MAC = b"\x02\x69\x01\x00\x00\x01"
LARGEST_PACKET = 4096
DESCRIPTORS = 4
CREATE, RUN = "create", "run"

_LOOPBACK = 1
_PREFIX = "pod"
_REPORT = 3
_FAILED = 128
# What this process or its Python set otherwise.
_RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
# What Docker leaves a container (capabilities(7)): chown, dac_override, fowner, fsetid, kill, setgid, setuid,
# setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31})


@dataclass
class Start:
    """A program that was forked and has not yet said whether it runs."""

    request: int
    report: bytes = b""


class Spawner:
    """Keeps the pods' namespaces, and starts, signals and reaps the processes in them."""

    def __init__(self, door: socket.socket, addresses: ClusterAddresses) -> None:
        self._door = door
        self._addresses = addresses
        self._networks: dict[str, int] = {}
        self._processes: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._containers: dict[str, str] = {}
        self._starting: dict[int, Start] = {}
        self._events = selectors.DefaultSelector()
        self._netlink = Netlink()
        self._bridge = self._make_bridge()

    def run(self) -> None:
        """Obey until the node's process goes away."""
        children = Children()
        self._events.register(self._door, selectors.EVENT_READ)
        self._events.register(children, selectors.EVENT_READ)
        gc.collect()
        gc.freeze()
        while True:
            for key, _ in self._events.select():
                if key.fileobj is children:
                    self._bury(children)
                elif key.fileobj is not self._door:
                    self._hear(key.fd)
                elif not self._obey():
                    return

    def _make_bridge(self) -> int:
        for _, name in socket.if_nameindex():
            # Left by a process that was killed: the kernel takes its time to clean up after it.
            if name.startswith(_PREFIX) and name != BRIDGE:
                self._netlink.remove_link(name)
        self._netlink.add_bridge(BRIDGE, mac=BRIDGE_MAC)
        index = socket.if_nametoindex(BRIDGE)
        for address, prefix in zip(self._addresses.pod_gateway, POD_PREFIXES, strict=True):
            self._netlink.add_address(index, f"{address}/{prefix}")
        return index

    def _obey(self) -> bool:
        packet, descriptors, _flags, _address = socket.recv_fds(self._door, LARGEST_PACKET, DESCRIPTORS)
        if not packet:
            return False
        request = int(packet)
        try:
            with os.fdopen(descriptors[0], "rb") as file:
                file.seek(0)
                order = json.load(file)
            self._do(request, order, descriptors[1:])
        except LookupError as error:
            self._answer(request, CREATE, f"{error} is not there, or has ended")
        except OSError as error:
            self._answer(request, CREATE, str(error))
        finally:
            for descriptor in descriptors[1:]:
                os.close(descriptor)
        return True

    def _do(self, request: int, order: dict[str, object], streams: list[int]) -> None:
        name = str(order["name"])
        match order["do"]:
            case "pod":
                self._add_pod(name, int(str(order["index"])))
                self._answer(request)
            case "remove":
                self._remove_pod(name)
                self._answer(request)
            case "signal":
                if name in self._processes:
                    os.kill(self._processes[name], int(str(order["signal"])))
                self._answer(request)
            case "start":
                self._start(request, name, order, streams)
            case "exec":
                self._execute(request, name, order, streams)

    def _add_pod(self, name: str, index: int) -> None:
        network = new_network()
        link = f"{_PREFIX}{index}"
        try:
            # An address always has the same MAC, so that neighbours' tables stay true when it is used again.
            peer = Peer("eth0", network, b"\x02\x69" + self._addresses.number.to_bytes(2) + index.to_bytes(2))
            self._netlink.remove_link(link)
            self._netlink.add_veth(link, self._bridge, peer)
            with inside(network):
                self._configure(index)
        except OSError:
            os.close(network)
            raise
        self._networks[name] = network

    def _configure(self, index: int) -> None:
        netlink = Netlink()
        outward = socket.if_nametoindex("eth0")
        netlink.set_up(_LOOPBACK)
        netlink.set_up(outward)
        for address, prefix in zip(self._addresses.pod(index), POD_PREFIXES, strict=True):
            netlink.add_address(outward, f"{address}/{prefix}")
        for gateway, anywhere in zip(self._addresses.pod_gateway, ("0.0.0.0/0", "::/0"), strict=True):
            netlink.add_route(anywhere, gateway)
        netlink.close()

    def _remove_pod(self, name: str) -> None:
        network = self._networks.pop(name, None)
        for process in [process for process, pod in self._containers.items() if pod == name]:
            # Whoever starts a container may be cancelled before it hears of it; nothing outlives its pod.
            os.kill(self._processes[process], signal.SIGKILL)
        if network is not None:
            # The link goes with the namespace, in the kernel's own time: removing it here would take 30 ms.
            os.close(network)

    def _start(self, request: int, name: str, order: dict[str, object], streams: list[int]) -> None:
        network = self._networks[str(order["pod"])]
        report, own = os.pipe2(os.O_CLOEXEC)
        with children_in():
            pid = os.fork()
            if pid == 0:
                _become_container(order, network, streams, own)
        self._containers[name] = str(order["pod"])
        self._started(request, name, pid, report)
        os.close(own)

    def _execute(self, request: int, name: str, order: dict[str, object], streams: list[int]) -> None:
        container = os.pidfd_open(self._processes[str(order["container"])])
        report, own = os.pipe2(os.O_CLOEXEC)
        try:
            with children_in(container):
                pid = os.fork()
                if pid == 0:
                    _join_container(order, container, streams, own)
        finally:
            os.close(container)
        self._started(request, name, pid, report)
        os.close(own)

    def _started(self, request: int, name: str, pid: int, report: int) -> None:
        self._processes[name] = pid
        self._names[pid] = name
        self._starting[report] = Start(request)
        self._events.register(report, selectors.EVENT_READ)

    def _hear(self, descriptor: int) -> None:
        start = self._starting[descriptor]
        said = os.read(descriptor, LARGEST_PACKET)
        if said:
            start.report += said
            return
        self._events.unregister(descriptor)
        os.close(descriptor)
        del self._starting[descriptor]
        stage, _, message = start.report.decode(errors="replace").partition("\n")
        self._answer(start.request, stage, message)

    def _bury(self, children: Children) -> None:
        for pid, status in children.ended():
            name = self._names.pop(pid, None)
            if name is not None:
                del self._processes[name]
                self._containers.pop(name, None)
                self._send({"ended": name, "code": _exit_code(status)})

    def _answer(self, request: int, stage: str = "", message: str = "") -> None:
        self._send({"request": request, "stage": stage, "message": message})

    def _send(self, event: dict[str, object]) -> None:
        self._door.send(json.dumps(event).encode())


def _become_container(order: dict[str, object], network: int, streams: list[int], report: int) -> NoReturn:
    # Process 1 of the container: it starts the program, hands it every signal, buries orphans, ends with it.
    try:
        enter(network, NEW_NETWORK)
        _take_streams(streams, report)
        unshare(NEW_MOUNTS | NEW_HOST_NAME)
        socket.sethostname(str(order["hostname"]))
        mounts = order["mounts"]
        build(Path(str(order["root"])), [Mount(*each) for each in mounts] if isinstance(mounts, list) else [])
    except OSError as error:
        _give_up(CREATE, _reason(error))
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        _become_program(order)
    os.closerange(0, _REPORT + 1)
    while True:
        caught = signal.sigwait(signal.valid_signals())
        if caught == signal.SIGCHLD:
            _bury(pid)
        else:
            os.kill(pid, caught)


def _bury(program: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == program:
            os._exit(_exit_code(status))
        if pid == 0:
            return


def _join_container(order: dict[str, object], container: int, streams: list[int], report: int) -> NoReturn:
    try:
        enter(container, NEW_MOUNTS | NEW_HOST_NAME | NEW_NETWORK)
        _take_streams(streams, report)
    except OSError as error:
        _give_up(CREATE, _reason(error))
    _become_program(order)


def _take_streams(streams: list[int], report: int) -> None:
    signal.set_wakeup_fd(-1)
    take({**dict(enumerate(streams)), _REPORT: report})


def _become_program(order: dict[str, object]) -> NoReturn:
    argv, env = order["argv"], order["env"]
    if not isinstance(argv, list) or not isinstance(env, dict):
        _give_up(RUN, "argv and env are missing")
    try:
        os.setsid()
        if order.get("tty"):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.chdir(str(order["directory"]))
        keep_capabilities(_CAPABILITIES)
    except OSError as error:
        _give_up(RUN, _reason(error))
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 - that is what containers are for
    except (FileNotFoundError, NotADirectoryError):
        _give_up(RUN, f'exec: "{argv[0]}": executable file not found in $PATH')
    except (OSError, ValueError) as error:
        _give_up(RUN, f'exec: "{argv[0]}": {error}')


def _give_up(stage: str, reason: str) -> NoReturn:
    os.write(_REPORT, f"{stage}\n{reason}".encode(errors="replace")[:LARGEST_PACKET])
    os._exit(_FAILED)


def _reason(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)


def _exit_code(status: int) -> int:
    """The exit code as shells and Kubernetes count: 128 and the signal, for those killed by one."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def main() -> None:
    """Serve the socket whose number is the first argument, as the node of the cluster in the second."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    door = socket.socket(fileno=int(sys.argv[1]))
    Spawner(door, ClusterAddresses(int(sys.argv[2]))).run()


if __name__ == "__main__":
    main()
