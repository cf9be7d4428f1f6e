"""Both conformance suites, whole: on sound agents, on each broken one, and on real nodes."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from isthmus.conformance.report import Outcome, Report
from isthmus.conformance.suites import SUITES
from isthmus.local.launch import without_nodes
from tests.conformance.agents import PATIENT, a_set, matrix
from tests.conformance.broken import SOUND
from tests.real.nodes import problem

ROOT = Path(__file__).parents[2]

Say = Callable[[str], None]


def embedded(say: Say) -> tuple[str, bool]:
    """Markdown of what the suites found on an embedded set, and whether it is as it should be."""
    if reason := without_nodes():
        return f"## Conformance on embedded clusters\n\nLeft out: {reason}\n", True
    # A short path: it becomes part of Unix sockets' names.
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, a_set(Path(folder)) as judged:
        reports = [judged.judge(suite=suite, patience=PATIENT) for suite in SUITES]
        found = matrix(judged, say=say)
    lines = ["## Conformance on embedded clusters", "", *map(_line, reports), "", "| Agent | Failed |", "|---|---|"]
    lines += [f"| {rule} | {', '.join(result['failed']) or 'nothing'} |" for rule, result in found.items()]
    each_is_found = all(bool(result["failed"]) != (rule == SOUND) for rule, result in found.items())
    return "\n".join(lines) + "\n", each_is_found and all(report.conformant for report in reports)


def nodes(say: Say) -> tuple[str, bool]:
    """Markdown of what the suites found on node clusters on which Isthmus runs as pods, and whether all passed."""
    head = "## Conformance on node clusters\n\n"
    if reason := problem():
        return f"{head}Left out: {reason}\n", True
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/nodes/test_conformance.py")
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    *_, last = run.stdout.strip().splitlines() or ["nothing was said"]
    say(last)
    return f"{head}{last.strip('= ')}\n", run.returncode == 0


def _line(report: Report) -> str:
    failed = ", ".join(report.named(Outcome.FAILED)) or "none"
    passed = len(report.named(Outcome.PASSED))
    return f"- {report.suite}: {passed} of {len(report.results)} passed, failed: {failed}"
