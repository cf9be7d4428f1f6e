"""One embedded set for all tests here."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isthmus.conformance.report import Report
from isthmus.local.launch import without_nodes
from tests.conformance.agents import PATIENT, Set, a_set
from tests.conformance.broken import SOUND
from tests.conformance.proofs import chosen
from tests.conftest import EMBEDDED


@pytest.fixture(scope="package")
def judged() -> Iterator[Set]:
    """A set whose agents may be swapped."""
    if reason := without_nodes():
        pytest.skip(f"no pods here: {reason}")
    # A short path: it becomes part of Unix sockets' names.
    folder = Path("/tmp") / f"isthmus-c-{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        with a_set(folder) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def report_of(judged: Set, request: pytest.FixtureRequest) -> Callable[[str], Report]:
    """The report of a suite, run once, with the checks that were asked for."""
    reports: dict[str, Report] = {}

    def report(suite: str) -> Report:
        if suite not in reports:
            if judged.agents != SOUND:
                judged.swap(SOUND)
            focus = chosen(request.session, EMBEDDED, suite)
            reports[suite] = judged.judge(*focus, suite=suite, patience=PATIENT)
        return reports[suite]

    return report
