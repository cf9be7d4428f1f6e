"""How long an embedded cluster takes from `isthmus join` until its hub has heard it and it is Ready."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.result import Result
from isthmus.errors import Invalid
from isthmus.local import launch
from isthmus.local.state import SetFiles

GOAL = 3.0
ROUNDS = 5


def run() -> Iterator[Result]:
    """The figures: of one cluster that joins, leaves, and joins again."""
    # A short path: Unix sockets lie below it.
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        files = SetFiles("bench", Path(home) / "isthmus")
        joins: list[float] = []
        leaves: list[float] = []
        try:
            launch.up(files, ["west"], say=lambda _line: None, alone=True)
            for _ in range(ROUNDS):
                token = _typed(files, "token", "create", "--cluster=west", "--context=hub", "--set=bench")[0].strip()
                joins.append(_typed(files, "join", token, "--context=west")[1])
                leaves.append(_typed(files, "leave", "--context=west", "--yes")[1])
                # The hub takes what was the member's a moment after.
                time.sleep(2.0)
        finally:
            launch.down(files, say=lambda _line: None)
    yield Result("isthmus join, of an embedded cluster, until it is Ready", statistics.median(joins), "s", GOAL)
    yield Result("the slowest of these", max(joins), "s")
    yield Result("isthmus leave", statistics.median(leaves), "s")


def _typed(files: SetFiles, *words: str) -> tuple[str, float]:
    """What the command printed, and how long it took, its start included."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "isthmus.cli.main", *words],
        env=os.environ | {"KUBECONFIG": str(files.kubeconfig), "XDG_STATE_HOME": str(files.folder.parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Invalid(done.stderr.strip())
    return done.stdout, time.monotonic() - began
