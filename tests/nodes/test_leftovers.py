"""Whatever happens to the process that started them, node clusters end with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real.machine import CGROUPS
from tests.real.nodes import SLOTS, free_slot, problem

ROOT = Path(__file__).parents[2]


def within(seconds: float, true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


@pytest.mark.skipif(bool(problem()), reason=problem())
def test_a_killed_keeper_takes_its_clusters_along_and_the_next_one_finds_nothing() -> None:
    name = f"solo-{os.getpid()}"
    with subprocess.Popen([sys.executable, "-m", "tests.real.nodes", "up", name], cwd=ROOT) as keeper:
        within(60.0, lambda: list(SLOTS.glob(f"*/{name}/connected")), "the node is connected")
        folder = next(SLOTS.glob(f"*/{name}"))
        init = int((folder / "init.pid").read_text())
        keeper.send_signal(signal.SIGKILL)
    within(30.0, lambda: not Path(f"/proc/{init}/ns").exists(), "the node is gone")
    within(30.0, lambda: not Path(f"/sys/class/net/isthmus{folder.parent.name}").exists(), "the cable is gone")
    free_slot().release()
    assert not folder.exists()
    assert not list(CGROUPS.glob(f"*/isthmus-nodes-*-{name}"))
