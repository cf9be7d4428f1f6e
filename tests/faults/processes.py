"""Processes of Isthmus that are started, killed, frozen and started again."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Seconds.
END_LIMIT = 10.0


@dataclass
class Unit:
    """One process; `words` are its command line, `launched` what the launcher is told, `environment` what it adds."""

    name: str
    words: tuple[str, ...]
    log: Path
    launched: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self) -> None:
        """Start it; its log goes on in the same file."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.faults.launcher"),
                    *(f"--pod={self.name}", *self.launched, "--", *self.words),
                ],
                cwd=ROOT,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it with -9, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(END_LIMIT)
            self._process = None

    def freeze(self, *, frozen: bool = True) -> None:
        """Stop it in its tracks, or let it go on."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)
