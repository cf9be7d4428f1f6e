"""Starting a set's supervisor from outside: its namespaces, the ports it hands to API servers, its lock."""

import errno
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from isthmus.errors import Invalid, Unreachable
from isthmus.local.control import Answer, Command, ask
from isthmus.local.state import HUB, SetFiles, SetRecord, checked_name

START_LIMIT = 20.0
Say = Callable[[str], None]


def without_nodes() -> str:
    """Why this machine can run no pods for us, with the setting to change; empty if it can."""
    for program in ("unshare", "nsenter", "setpriv"):
        if not shutil.which(program):
            return f"{program} is missing. Debian and Ubuntu: apt-get install util-linux"
    probe = [*_unshare(), "true"]
    said = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=10)
    if said.returncode == 0:
        return ""
    return f"no namespaces here ({said.stderr.strip()}). {_forbidden_by()}"


def _forbidden_by() -> str:
    settings = {
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "kernel.unprivileged_userns_clone=1"),
        "/proc/sys/user/max_user_namespaces": ("0", "user.max_user_namespaces=10000"),
    }
    for path, (forbids, remedy) in settings.items():
        if Path(path).exists() and Path(path).read_text().strip() == forbids:
            return f"An admin can allow them: sysctl -w {remedy}. Or run as root"
    return "A container's seccomp profile may forbid unshare: run it with CAP_SYS_ADMIN, or outside"


def _unshare() -> list[str]:
    mapped = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *mapped, "--net", "--mount", "--propagation", "private"]


@contextmanager
def _one_at_a_time(files: SetFiles) -> Iterator[None]:
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (files.folder / "launch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def listeners_for(record: SetRecord, names: Sequence[str]) -> list[socket.socket]:
    """One listening socket on 127.0.0.1 per cluster: on the port it had, or on a free one.

    Raises Invalid if another program has taken a port.
    """
    listening: list[socket.socket] = []
    for name in names:
        known = record.clusters.get(name)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.append(listener)
        try:
            listener.bind(("127.0.0.1", known.port if known else 0))
        except OSError as error:
            for each in listening:
                each.close()
            if error.errno != errno.EADDRINUSE or known is None:
                raise
            raise Invalid(
                f"127.0.0.1:{known.port}, the API server of {name}, is taken by another program; "
                f"end it (ss -ltnp sport = :{known.port}), or make the set anew with `isthmus down`"
            ) from error
        listener.listen(512)
    return listening


def up(
    files: SetFiles,
    members: Sequence[str],
    *,
    say: Say,
    dns_upstream: str = "",
    heartbeat: float = 10.0,
    alone: bool = False,
) -> Answer:
    """Bring the named members and the hub up, and those of the set that run already stay as they are.

    `heartbeat` is the seconds between two signs of life of a member; three missed ones make it silent. New clusters
    that are to be `alone` do not join the set.
    Without names: all the set's clusters that were not stopped, or east, west and north for a new set.
    Raises Invalid or Unreachable with the next step.
    """
    for name in members:
        checked_name(name, "cluster")
    with _one_at_a_time(files):
        record = files.read()
        running = _running(files)
        if running is None:
            _launch(files, say)
            running = _running(files) or Answer()
        up_now = {unit.cluster for unit in running.units if unit.state != "stopped"}
        known = [name for name, one in record.clusters.items() if not one.stopped and name != HUB]
        wanted = [HUB, *dict.fromkeys(members or known or ["east", "west", "north"])]
        missing = [name for name in wanted if name not in up_now]
        for name in missing:
            files.kubelet_socket(name)
        listeners = listeners_for(record, missing)
        command = Command(do="up", clusters=tuple(missing), dns_upstream=dns_upstream, heartbeat=heartbeat, alone=alone)
        try:
            return ask(files.socket, command, listeners=listeners, progress=say)
        finally:
            for listener in listeners:
                listener.close()


def start(files: SetFiles, name: str, *, say: Say) -> Answer:
    """Start one cluster that was stopped. Raises Invalid if the set has none of that name."""
    record = files.read()
    if name not in record.clusters:
        raise Invalid(f"there is no cluster {name!r} in set {files.name!r}; there are: {', '.join(record.clusters)}")
    listeners = listeners_for(record, [name]) if _stopped(files, name) else []
    command = Command(do="up", clusters=(name,) if listeners else ())
    try:
        return ask(files.socket, command, listeners=listeners, progress=say)
    finally:
        for listener in listeners:
            listener.close()


def _stopped(files: SetFiles, name: str) -> bool:
    running = _running(files)
    return running is None or name not in {unit.cluster for unit in running.units if unit.state != "stopped"}


def _running(files: SetFiles) -> Answer | None:
    try:
        return ask(files.socket, Command(do="status"), limit=10)
    except Unreachable:
        return None


def _launch(files: SetFiles, say: Say) -> None:
    reason = without_nodes()
    if reason:
        say(f"clusters will have no nodes: {reason}")
    say(f"starting set {files.name}; its files: {files.folder}")
    prefix = [] if reason else _unshare()
    nodes = "bare" if reason else "nodes"
    command = [*prefix, sys.executable, "-m", "isthmus.local.supervisor", str(files.folder.parent), files.name, nodes]
    process = _begin(command, files.log)
    end = time.monotonic() + START_LIMIT
    while _running(files) is None:
        # One that was killed in the middle may have left a supervisor which starts, or which ends.
        if process.poll() == os.EX_TEMPFAIL and time.monotonic() < end:
            process = _begin(command, files.log)
        if process.poll() is not None or time.monotonic() > end:
            tail = files.log.read_text(errors="replace")[-800:]
            raise Unreachable(f"the supervisor of set {files.name} did not start; the end of {files.log}:\n{tail}")
        time.sleep(0.02)


def _begin(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
        )


def down(files: SetFiles, *, say: Say, keep: bool = False) -> None:
    """End all processes of the set and delete its files, unless they are to be kept; nothing to do is no error."""
    with _one_at_a_time(files):
        # One that starts has its lock before it answers.
        _wait(lambda: _running(files) is not None or not _is_locked(files))
        try:
            ask(files.socket, Command(do="down"), progress=say)
        except Unreachable:
            say(f"no supervisor of set {files.name} runs")
        # The lock goes with its last breath.
        if not _wait(lambda: not _is_locked(files)):
            number = files.folder / "lock"
            raise Unreachable(f"the supervisor of set {files.name} does not end; its process number is in {number}")
        if not keep:
            files.remove()


def _is_locked(files: SetFiles) -> bool:
    with (files.folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _wait(check: Callable[[], bool]) -> bool:
    """Whether it becomes true before the limit."""
    end = time.monotonic() + START_LIMIT
    while not (true := check()) and time.monotonic() < end:
        time.sleep(0.02)
    return true


def enter_network(files: SetFiles, cluster: str) -> list[str]:
    """The words before a command that make it run in a cluster's own network.

    Raises Unreachable if that cluster's node does not run.
    """
    units = ask(files.socket, Command(do="status"), limit=10).units
    node = next((unit for unit in units if unit.name == f"{cluster}/node" and unit.pid), None)
    if node is None:
        raise Unreachable(f"{cluster} runs no node. Type: isthmus status --set {files.name}")
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", f"--target={node.pid}", *user, "--net", "--"]
