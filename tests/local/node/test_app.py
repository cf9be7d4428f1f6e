"""The node's process as a whole: what it is told, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from tests.local.inside import AS_ROOT, AS_USER, why_not
from tests.local.node.conftest import Cluster, shell, staged, wait_until


@pytest.mark.parametrize(
    ("content", "want"),
    [
        pytest.param(None, "cannot be read", id="no file"),
        pytest.param("{", "truncated", id="no JSON"),
        pytest.param(json.dumps({"cluster": "east"}), "missing required field `number`", id="a field missing"),
        pytest.param(json.dumps({"cluster": "east", "numbers": 1}), "unknown field `numbers`", id="an unknown field"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: str | None, want: str) -> None:
    file = tmp_path / "node.json"
    if content is not None:
        file.write_text(content)
    command = [sys.executable, "-m", "isthmus.local.node", "--config", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 1
    assert want in said.stderr
    assert "`isthmus up` writes it" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.node
@pytest.mark.parametrize("way", [AS_ROOT, AS_USER])
async def test_nothing_outlives_the_supervisor(way: str, tmp_path: Path) -> None:
    if reason := why_not(way):
        pytest.skip(f"{way}: {reason}")
    with staged(tmp_path, way) as stage:
        async with Client(load_kubeconfig([stage.kubeconfig])) as client:
            cluster = Cluster(stage, client)
            # A program that leaves its parent and its session behind ends with the rest.
            await cluster.make("daemon", {"containers": [shell("setsid sleep 4712 & trap '' TERM HUP; sleep 4712")]})
            await cluster.ready("daemon")
        processes = stage.processes()
        assert len([pid for pid in processes if b"4712" in command_of(pid)]) >= 2
        stage.process.send_signal(signal.SIGKILL)
        stage.process.wait()

        async def gone() -> bool:
            return not any(is_alive(pid) for pid in processes)

        await wait_until(gone)


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return bool(command_of(pid))
