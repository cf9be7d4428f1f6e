"""Each check of our suites as a test of Isthmus itself: one run per suite and kind of cluster, one test per check."""

import pytest
from _pytest.mark.structures import ParameterSet

from isthmus.conformance.report import Outcome, Report
from isthmus.conformance.suites import SUITES

PARAMETERS = ("kind", "suite", "name")


def proofs(kind: str) -> list[ParameterSet]:
    """All checks, each with the requirements that it proves."""
    return [
        pytest.param(kind, suite, check.id, marks=pytest.mark.requirement(*check.requirements), id=f"{kind}-{check.id}")
        for suite, checks in SUITES.items()
        for check in checks
    ]


def chosen(session: pytest.Session, kind: str, suite: str) -> tuple[str, ...]:
    """The checks of a suite that this run of pytest asks for."""
    params = [getattr(item, "callspec").params for item in session.items if hasattr(item, "callspec")]  # noqa: B009
    return tuple(each["name"] for each in params if (each.get("kind"), each.get("suite")) == (kind, suite))


def must_hold(report: Report, name: str) -> None:
    """Fail where the check failed or could not judge; where it does not apply, skip with its reason."""
    result = report.of(name)
    if result.outcome is Outcome.SKIPPED:
        pytest.skip(result.reason)
    assert result.outcome is Outcome.PASSED, "\n".join([result.reason, "seen before:", *result.evidence])
