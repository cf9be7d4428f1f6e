"""The faults that are tests of their own, and those of nodes: each test run is one row of the report."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

HEAD = "| What is held | For | |\n|---|---|---|\n"
# Where they are; the matrix is run by itself, and longer.
CONTROL_PLANE = ("test_hub_lost.py", "test_requests_refused.py", "test_agents.py", "test_third_member.py")
FILES = (
    *(f"tests/faults/{name}" for name in CONTROL_PLANE),
    "tests/nodes/test_faults.py",
    "tests/nodes/test_silence.py",
)
PASSED, SKIPPED = "passed", "skipped"


@dataclass
class Test:
    """One test, with what its fixtures found: seconds, and how it ended."""

    name: str
    seconds: float = 0.0
    outcome: str = PASSED
    problem: str = ""

    @property
    def sentence(self) -> str:
        """Its name as the sentence it is, and where it is."""
        file, _, test = self.name.partition("::")
        return f"{test.removeprefix('test_').replace('_', ' ')} ({file.removeprefix('tests/')})"

    def markdown(self) -> str:
        """One line of the table."""
        verdict = {PASSED: "ok", SKIPPED: f"left out: {self.problem}"}.get(self.outcome, f"**{self.problem}**")
        return f"| {self.sentence} | {self.seconds:.1f} s | {verdict} |"


@dataclass(eq=False)
class Tests:
    """A pytest plugin: what it saw, each said as soon as it is over."""

    say: Callable[[str], None]
    seen: dict[str, Test] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for each of set-up, test and take-down."""
        test = self.seen.setdefault(report.nodeid, Test(report.nodeid))
        test.seconds += report.duration
        if report.outcome != PASSED:
            test.outcome, test.problem = report.outcome, _reason(report)
        if report.when == "teardown":
            self.say(test.markdown())


def run(say: Callable[[str], None], only: str) -> tuple[str, bool]:
    """Markdown of all these tests, or of those with `only` in their sentence, and whether none failed."""
    tests = Tests(say)
    wanted = ("-k", " and ".join(re.findall(r"\w+", only))) if only else ()
    code = pytest.main(["-q", "-n0", "-p", "no:cacheprovider", *wanted, *FILES], plugins=[tests])
    rows = "\n".join(test.markdown() for test in tests.seen.values())
    good = sum(test.outcome != "failed" for test in tests.seen.values())
    whole = code in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    return f"## Faults that are tests: {good} of {len(tests.seen)} outlived\n\n{HEAD}{rows}\n", whole


def _reason(report: pytest.TestReport) -> str:
    """One line, which breaks no table."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    lines = [line[1:].strip() for line in report.longreprtext.splitlines() if line.startswith("E")]
    return "".join(lines[:1]).replace("|", "/") or report.longreprtext.replace("\n", " ")[-200:]
