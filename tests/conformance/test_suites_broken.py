"""Agents that break one rule each: the suite finds every one of them, and nothing wrong with a sound one."""

import pytest

from isthmus.conformance.report import Outcome
from tests.conformance.agents import PATIENCE, PATIENT, Set
from tests.conformance.broken import BROKEN, SOUND, Broken


@pytest.mark.timeout(300)
def test_a_sound_agent_started_the_same_way_passes_what_broken_ones_fail(judged: Set) -> None:
    judged.swap(SOUND)
    report = judged.judge(*{name for each in BROKEN for name in each.found_by}, patience=PATIENT)
    assert report.conformant, [(result.check.id, result.reason) for result in report.results]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("broken", [pytest.param(each, id=each.rule) for each in BROKEN])
def test_a_broken_rule_is_found(judged: Set, broken: Broken) -> None:
    judged.swap(broken.rule)
    report = judged.judge(*broken.found_by, patience=PATIENCE)
    assert set(report.named(Outcome.FAILED)) == set(broken.found_by), report.as_yaml()
    assert not report.conformant
