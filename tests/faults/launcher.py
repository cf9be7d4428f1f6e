"""Starts a process of Isthmus as it would run elsewhere: in a pod, under a clock that is off, by other rules.

`python -m tests.faults.launcher --pod east-agent --clock 300 -- agent --set ...`. In a pod the host's name is the
pod's, and the process's number is the same after each restart.
"""

import argparse
import os
import socket
import sys
import time
from datetime import UTC, datetime, timedelta

from isthmus.cli.main import main
from isthmus.kit import clock


def _live_in(pod: str) -> None:
    socket.gethostname = lambda: pod
    os.getpid = lambda: 1


def _set_clock_off(seconds: float) -> None:
    now, off = time.time, timedelta(seconds=seconds)
    time.time = lambda: now() + seconds
    clock.SystemClock.now = lambda _: datetime.now(UTC) + off  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pod", default="")
    parser.add_argument("--clock", type=float, default=0.0, help="seconds that this machine's clock seems to be off")
    parser.add_argument("words", nargs="+")
    options = parser.parse_args()
    if options.pod:
        _live_in(options.pod)
    if options.clock:
        _set_clock_off(options.clock)
    sys.argv[1:] = options.words
    main()
