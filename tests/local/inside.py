"""Runs one coroutine of a test module in namespaces of its own, as the supervisor of a set runs."""

import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from isthmus.local.network import NodeNetwork

LIMIT = 60.0
AS_ROOT, AS_USER = "as root", "as an ordinary user"
# Capabilities only inside, as an ordinary user has them; the files stay readable, whoever runs the tests.
NAMESPACES = {AS_ROOT: (), AS_USER: ("--user", "--map-root-user")}


def unshare(way: str) -> list[str]:
    """The command that starts another one in namespaces of its own."""
    return ["unshare", *NAMESPACES[way], "--net", "--mount", "--propagation", "private"]


def why_not(way: str) -> str:
    """What forbids it here; empty where it works."""
    if way == AS_ROOT and os.geteuid() != 0:
        return "not root"
    tried = subprocess.run([*unshare(way), "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip()


def enter_command(node: NodeNetwork, argv: Sequence[str]) -> tuple[str, ...]:
    """The command that runs `argv` in a node's network, killed when this process dies; for its children only."""
    # Not getpid(): /proc may belong to another PID namespace than ours.
    namespace = f"/proc/{Path('/proc/self').readlink()}/fd/{node.namespace}"
    return "setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={namespace}", "--", *argv


def run_inside(function: Callable[..., Coroutine[object, object, None]], way: str, *arguments: str) -> None:
    """Run `function(*arguments)` there; it fails the test by raising."""
    named = [function.__module__, function.__name__]
    command = [*unshare(way), sys.executable, "-m", "tests.local.inside", *named, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    asyncio.run(getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(*sys.argv[3:]))
