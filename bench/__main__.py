"""`python -m bench [NAME ...]`: run the named benchmarks, or all; exit 1 if a goal is missed, or not measured."""

import importlib
import os
import signal
import subprocess
import sys
import time

from isthmus.errors import IsthmusError

ALL = (
    "propagation",
    "burst",
    "rolled",
    "memory",
    "crowd",
    "registry",
    "profiles",
    "importers",
    "dns",
    "nodes",
    "apiserver",
    "joining",
    "tunnel",
    "local",
)


def main() -> int:
    """Run what the arguments name; print one row per figure as it comes."""
    unknown = [name for name in sys.argv[1:] if name not in ALL]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(ALL)}", file=sys.stderr)
        return 2
    # Ended from outside, whatever runs is taken down as after an error.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    missed = sum(_run(name) for name in sys.argv[1:] or ALL)
    print(f"\n{missed} goals missed" if missed else "\nall goals met")
    return 1 if missed else 0


def _run(name: str) -> int:
    """How many goals one benchmark missed; what breaks it is one, and lets the others run."""
    print(f"\n{name} (load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors)", flush=True)
    began, missed = time.monotonic(), 0
    try:
        for result in importlib.import_module(f"bench.{name}").run():
            print("  " + result.row(), flush=True)
            missed += not result.met
    except* (IsthmusError, AssertionError, OSError, RuntimeError, LookupError, subprocess.SubprocessError) as errors:
        problem = _first(errors)
        print(f"  not measured: {str(problem) or type(problem).__name__}", flush=True)
        missed += 1
    print(f"  took {time.monotonic() - began:.0f} s", flush=True)
    return missed


def _first(error: BaseException) -> BaseException:
    """What lies at the bottom of a group of errors."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


if __name__ == "__main__":
    sys.exit(main())
