"""A set of three clusters on this machine: from `isthmus up` to the first answer across clusters, and its memory.

As in `isthmus demo`: a shop in two clusters, exported, and a customer with plain curl in a pod of the third. Memory
is proportional (PSS), of the supervisor and all below it, the three pods included, some seconds after.
"""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.processes import cpu_seconds, pss, with_children
from bench.result import Result
from isthmus.cli.demo import CUSTOMER, PODS, Customer, all_clients, prepare, shop
from isthmus.errors import Invalid
from isthmus.local import launch
from isthmus.local.state import SetFiles

GOAL = 15.0
ROUNDS = 3
SETTLE = 5.0
EXPORTERS, CONSUMER = ("east", "west"), "north"
# What a process does, by its command line; the first that fits.
ROLES = {
    "supervisor": r"isthmus\.local\.supervisor",
    "API servers": r"isthmus\.apiserver",
    "agents": r"isthmus\.cli\.main agent",
    "hub": r"isthmus\.cli\.main hub",
    "isthmus dns": r"isthmus\.cli\.main dns",
    "nodes": r"isthmus\.local\.",
    "Envoy": r"envoy",
    "pods": r"",
}


def run() -> Iterator[Result]:
    """The figures. Raises Invalid where this machine can run no pods."""
    if reason := launch.without_nodes():
        raise Invalid(f"no pods here: {reason}")
    # A short path: Unix sockets lie below it.
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        files = SetFiles("bench", Path(home) / "isthmus")
        seconds: list[float] = []
        used: list[float] = []
        memory: dict[str, float] = {}
        for _ in range(ROUNDS):
            try:
                seconds.append(_first_answer(files, home))
                supervisor = int((files.folder / "lock").read_text())
                used.append(cpu_seconds(with_children(supervisor)))
                time.sleep(SETTLE)
                memory = _memory(supervisor)
            finally:
                launch.down(files, say=lambda _line: None)
    yield Result("isthmus up to the first answer across clusters", statistics.median(seconds), "s", GOAL)
    # Where this is far below the seconds times the processors, somebody else had them.
    yield Result("processor time that the set used until then", statistics.median(used), "s")
    for role, mebibytes in memory.items():
        yield Result(f"memory: {role}", mebibytes, "MiB")
    yield Result("memory: the whole set", sum(memory.values()), "MiB")


def _first_answer(files: SetFiles, home: str) -> float:
    began = time.monotonic()
    up = [sys.executable, "-m", "isthmus.cli.main", "up", "--set", files.name]
    done = subprocess.run(
        [*up, "--clusters", ",".join((*EXPORTERS, CONSUMER))],
        env=os.environ | {"XDG_STATE_HOME": home},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Invalid(done.stderr.strip())
    asyncio.run(_buy(files))
    return time.monotonic() - began


async def _buy(files: SetFiles) -> None:
    async with all_clients(files, [*EXPORTERS, CONSUMER]) as clients:
        await asyncio.gather(
            *(prepare(clients[name], shop(name)) for name in EXPORTERS),
            prepare(clients[CONSUMER], [(PODS, CUSTOMER)]),
        )
        await Customer(clients[CONSUMER]).until(lambda answers: bool(answers[-1]), "a first answer")


def _memory(supervisor: int) -> dict[str, float]:
    memory = dict.fromkeys(ROLES, 0.0)
    for pid, command in with_children(supervisor).items():
        role = next(role for role, pattern in ROLES.items() if re.search(pattern, command))
        memory[role] += pss(pid)
    return memory
