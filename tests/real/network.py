"""The network between nodes: a bridge in a namespace of its own, with a cable to every node and to this machine.

The namespaces live as long as a process in them, and a cable as long as the namespace at either end: whatever
happens to the tests, nothing of this stays behind.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

LIMIT = 10.0
FOREVER = ("sleep", "infinity")
NO_IPTABLES_ON_THE_BRIDGE = "for f in /proc/sys/net/bridge/bridge-nf-call-*; do ! [ -e $f ] || echo 0 >$f; done"


def dies_with_us(command: Sequence[str]) -> list[str]:
    """The command, killed by the kernel when the thread that starts it ends."""
    return ["setpriv", "--pdeathsig", "KILL", *command]


def enter(process: int, command: Sequence[str], *, only_network: bool = False) -> list[str]:
    """The command, to be run in the namespaces of a process."""
    program = shutil.which(command[0]) or command[0]
    namespaces = ("-n",) if only_network else ("-m", "-u", "-i", "-n", "-p")
    return ["nsenter", "-t", str(process), *namespaces, "--", program, *command[1:]]


def ip(process: int, lines: Iterable[str]) -> None:
    """Commands of ip(8) in the network namespace of a process."""
    command = enter(process, ["ip", "-batch", "-"], only_network=True)
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip: {done.stderr.strip()}")


def _configured(interface: str, addresses: Iterable[str]) -> Iterator[str]:
    for address in addresses:
        # Without a second's wait for another owner of the address.
        yield f"address add {address} dev {interface}{' nodad' if ':' in address else ''}"
    yield f"link set {interface} up"


def wait_for_namespace(process: int) -> None:
    """Until a process has left this machine's network namespace."""
    limit = time.monotonic() + LIMIT
    ours = Path("/proc/self/ns/net").readlink()
    while time.monotonic() < limit:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process}/ns/net").readlink() != ours:
                return
        time.sleep(0.01)
    raise RuntimeError(f"process {process} made no namespace within {LIMIT:.0f} s")


class Bridge:
    """The bridge of one set of clusters; this machine has `addresses` on it."""

    def __init__(self, interface: str, addresses: Sequence[str]) -> None:
        self._holder = subprocess.Popen(dies_with_us(["unshare", "--net", *FOREVER]), stdin=subprocess.DEVNULL)
        self.process = self._holder.pid
        wait_for_namespace(self.process)
        subprocess.run(enter(self.process, ["sh", "-c", NO_IPTABLES_ON_THE_BRIDGE], only_network=True), check=True)
        ip(self.process, ["link set lo up", "link add bridge type bridge", "link set bridge up"])
        ip(os.getpid(), [f"link add {interface} type veth peer name machine netns {self.process}"])
        ip(self.process, ["link set machine master bridge up"])
        ip(os.getpid(), _configured(interface, addresses))

    def stop(self) -> None:
        """Take away the bridge and all cables."""
        self._holder.kill()
        self._holder.wait()


def connect(bridge: int, name: str, process: int, addresses: Sequence[str]) -> None:
    """A cable from the bridge, where it is called `name`, to the node whose first process that is."""
    ip(bridge, [f"link add {name} type veth peer name eth0 netns {process}", f"link set {name} master bridge up"])
    ip(process, _configured("eth0", addresses))


def disconnect(bridge: int, name: str) -> None:
    """Take a node's cable away, if it is still there: the kernel takes its time to."""
    command = enter(bridge, ["ip", "link", "delete", name], only_network=True)
    subprocess.run(command, capture_output=True, check=False)


def cut_cable(bridge: int, name: str, *, cut: bool) -> None:
    """Pull a node's cable out of the bridge, or put it back."""
    ip(bridge, [f"link set {name} {'down' if cut else 'up'}"])
