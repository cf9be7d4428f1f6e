"""Our own suites find nothing wrong with Isthmus on embedded clusters."""

from collections.abc import Callable

import pytest

from isthmus.conformance.report import Report
from isthmus.conformance.suites import SUITES
from tests.conformance.proofs import PARAMETERS, must_hold, proofs
from tests.conftest import EMBEDDED


# The first of a suite waits for all of it.
@pytest.mark.timeout(600)
@pytest.mark.parametrize(PARAMETERS, proofs(EMBEDDED))
def test_isthmus_passes(kind: str, suite: str, name: str, report_of: Callable[[str], Report]) -> None:
    must_hold(report_of(suite), name)


def test_all_of_upstreams_tests_are_there() -> None:
    upstream = {check.id: check.level for check in SUITES["mcs"] if check.id.startswith("C-")}
    assert set(upstream) == {f"C-{number}" for number in range(1, 28)}
    assert sum(level == "Required" for level in upstream.values()) == 14


@pytest.mark.parametrize("suite", list(SUITES))
def test_no_two_checks_share_an_id(suite: str) -> None:
    ids = [check.id for check in SUITES[suite]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("suite", list(SUITES))
def test_every_check_says_what_it_covers(suite: str) -> None:
    assert not [check.id for check in SUITES[suite] if not check.requirements]
