"""Processes that are measured: started, counted with their children, and surely ended."""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Seconds.
END_LIMIT = 10.0


@contextmanager
def process(command: list[str], log: Path, descriptors: tuple[int, ...] = ()) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends with the block, or with this program, whatever happens to it."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def pss(pid: int | str) -> float:
    """MiB of memory that a process has, shared pages counted in proportion; 0 where it has ended."""
    with suppress(OSError):
        found = re.search(r"^Pss: +([0-9]+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


def cpu_seconds(pids: Iterable[int]) -> float:
    """What those of these processes that still run have used of processors so far."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def with_children(root: int) -> dict[int, str]:
    """The command lines of a process and of all below it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found: dict[int, str] = {}
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        with suppress(OSError):
            found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return found
