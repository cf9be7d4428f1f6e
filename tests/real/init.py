"""The first process of a node: it prepares the node, then starts its parts, and starts again whichever ends.

    init.py FOLDER

runs in namespaces of its own. FOLDER/node.json names the shell commands that prepare the node, the parts, and the
file that each part waits for. The file `ready` tells that the node is prepared.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PAUSE = 0.5
EVERY = 0.1


@dataclass
class Part:
    """A program that is to run, and when it may be started again."""

    name: str
    command: list[str]
    waits_for: Path
    log: Path
    process: int = 0
    not_before: float = 0.0

    def start(self) -> None:
        """Start it if it does not run, is not resting, and has what it waits for."""
        if self.process or time.monotonic() < self.not_before or not self.waits_for.exists():
            return
        with self.log.open("ab") as log:
            started = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started.returncode = 0  # Popen must not wait for it: this process reaps all that end here.
        self.process = started.pid

    def ended(self, status: int) -> None:
        """It ended: after a pause it is started again."""
        self.process, self.not_before = 0, time.monotonic() + PAUSE
        with self.log.open("a") as log:
            log.write(f"== ended with {os.waitstatus_to_exitcode(status)}\n")


def reap(parts: list[Part]) -> None:
    """Take note of every process that has ended, also of those whose parents left them to us."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not process:
            return
        for part in parts:
            if part.process == process:
                part.ended(status)


def main() -> None:
    """Prepare, then keep all parts running until killed."""
    folder = Path(sys.argv[1])
    node = json.loads((folder / "node.json").read_text())
    subprocess.run(["sh", "-ec", node["prepare"]], check=True)
    logs = folder / "log"
    parts = [
        Part(name, part["command"], Path(part["waitsFor"]), logs / f"{name}.log")
        for name, part in node["parts"].items()
    ]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    (folder / "ready").touch()
    while True:
        for part in parts:
            part.start()
        signal.sigtimedwait({signal.SIGCHLD}, EVERY)
        reap(parts)


if __name__ == "__main__":
    main()
