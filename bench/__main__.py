"""`python -m bench [NAME ...]`: run the named benchmarks, or all; exit 1 if a goal is missed."""

import importlib
import signal
import sys

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
    missed = 0
    for name in sys.argv[1:] or ALL:
        print(f"\n{name}", flush=True)
        try:
            for result in importlib.import_module(f"bench.{name}").run():
                print("  " + result.row(), flush=True)
                missed += not result.met
        except* IsthmusError as errors:
            print(f"  not measured: {_first(errors)}", flush=True)
            missed += 1
    print(f"\n{missed} goals missed" if missed else "\nall goals met")
    return 1 if missed else 0


def _first(error: BaseException) -> BaseException:
    """What lies at the bottom of a group of errors."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


if __name__ == "__main__":
    sys.exit(main())
