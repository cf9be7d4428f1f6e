"""`python -m tests.soak --report FILE`: the whole matrix of faults, each for 5 s to 2 min, under a steady load.

Every part is killed, frozen, cut off and refused, for each of the durations. Then come the faults that are tests of
their own, those of nodes among them, and both conformance suites, on sound agents, on each broken one, and on nodes.
Exit 1 if anything was ever wrong. The report is Markdown.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvloop

from tests.faults.fleet import Pace, RealFleet
from tests.faults.matrix import PARTS, Fault, Outcome, suffer
from tests.faults.observer import BOUND
from tests.real.build import VERSION, binary
from tests.soak import conformance, named

DURATIONS = (5.0, 30.0, 120.0)
# As shipped: verdicts after 30 s without a sign of life.
PACE = Pace(heartbeat=10.0, silent_after=30.0, brake=60.0)
MEMBERS = ("east", "west")


@dataclass(frozen=True)
class Row:
    """What came of one fault."""

    fault: Fault
    outcome: Outcome | None
    violations: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all was right again in time, and nothing wrong meanwhile."""
        return self.outcome is not None and not self.violations

    def markdown(self) -> str:
        """One line of the table."""
        verdict = "ok" if self.passed else "**" + "; ".join(self.violations or ("not right again",)) + "**"
        return f"| {self.fault.name} | {self.fault.seconds:g} s | {self._came} | {verdict} |"

    @property
    def _came(self) -> str:
        if self.outcome is None:
            return "not | | | ?"
        alone, healed = self.outcome.alone, self.outcome.healed
        silent = ", ".join(f"{name} after {after:.0f} s" for name, after in self.outcome.silent.items())
        # An API server that needs longer than we may: to be seen, and in which kinds.
        own = f"**{alone:.1f} s** {self.outcome.late}" if alone > BOUND else f"{alone:.1f} s"
        return f"{alone + healed:.1f} s | {own} | {healed:.1f} s | {silent or 'nobody'}"


def faults(durations: tuple[float, ...], only: str, fleet: RealFleet) -> Iterator[Fault]:
    """The matrix, short faults first; of it what has `only` in its name."""
    every = (Fault(part, way, seconds) for seconds in durations for part in PARTS for way in part.ways(fleet))
    return (fault for fault in every if only in fault.name)


async def soak(folder: Path, durations: tuple[float, ...], only: str, report: Path) -> list[Row]:
    """Inflict them all on one set, one after the other; the report grows with each."""
    rows: list[Row] = []
    began = time.monotonic()
    async with RealFleet(folder, MEMBERS, pace=PACE) as fleet:
        for fault in faults(durations, only, fleet):
            fleet.observer.violations.clear()
            rows.append(await _row(fleet, fault))
            asked = sum(member.questions.asked for member in fleet.members.values())
            write(report, rows, f"{(time.monotonic() - began) / 60:.0f} minutes, {asked} names asked for")
            _say(rows[-1].markdown())
    return rows


async def _row(fleet: RealFleet, fault: Fault) -> Row:
    try:
        outcome = await suffer(fleet, fault)
    except AssertionError as late:
        violations = (*fleet.observer.violations, str(late))
        await fleet.settled(within=600)
        return Row(fault, None, violations)
    return Row(fault, outcome, (*fleet.observer.violations, *outcome.misjudged))


def write(report: Path, rows: list[Row], length: str) -> None:
    """The report as it stands."""
    good = sum(row.passed for row in rows)
    head = (
        f"# Soak: {good} of {len(rows)} faults outlived\n\n"
        f"Kubernetes {VERSION}, etcd without fsync, {len(MEMBERS)} members and their hub, under load; {length}.\n\n"
        "| Fault | For | Right after mending | Until its API server tells | After that | Judged silent | |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    report.write_text(head + "\n".join(row.markdown() for row in rows) + "\n")


def main() -> int:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--report", type=Path, default=Path("build/soak.md"))
    parser.add_argument("--seconds", type=float, nargs="*", default=DURATIONS, help="how long each fault lasts")
    parser.add_argument("--only", default="", metavar="TEXT", help="the faults that have it in their names")
    parser.add_argument("--tests", action=argparse.BooleanOptionalAction, default=True, help="those that are tests too")
    parser.add_argument("--conformance", action=argparse.BooleanOptionalAction, default=True, help="the suites too")
    options = parser.parse_args()
    if not binary().exists():
        sys.stderr.write("no real control plane here. Type: make real\n")
        return 2
    options.report.parent.mkdir(parents=True, exist_ok=True)
    write(options.report, [], "not begun")
    passed = True
    if options.seconds:
        with tempfile.TemporaryDirectory() as folder:
            rows = uvloop.run(soak(Path(folder), tuple(options.seconds), options.only, options.report))
        passed = all(row.passed for row in rows)
    suites = (conformance.embedded, conformance.nodes) if options.conformance else ()
    tests = (partial(named.run, only=options.only),) if options.tests else ()
    for part in (*tests, *suites):
        text, good = part(_say)
        passed &= good
        with options.report.open("a") as report:
            report.write(f"\n{text}")
    return 0 if passed else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
