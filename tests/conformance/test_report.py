"""What a report says, and what it makes of single results."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from isthmus.conformance.report import Outcome, Report, Result, lines
from isthmus.conformance.suites import SUITES

MCS = {check.id: check for check in SUITES["mcs"]}


def result(name: str, outcome: Outcome, reason: str = "") -> Result:
    return Result(MCS[name], outcome, 1.23, reason, ("east: there: after 0.1 s: {}",))


def report(*results: Result) -> Report:
    return Report("mcs", {"east": "v1.36.3"}, datetime(2030, 1, 1, tzinfo=UTC), 12.3, results)


@pytest.mark.parametrize(
    ("results", "conformant"),
    [
        pytest.param([result("C-1", Outcome.PASSED)], True, id="passed"),
        pytest.param([result("C-1", Outcome.FAILED)], False, id="a required check failed"),
        pytest.param([result("C-2", Outcome.FAILED)], False, id="an optional check failed"),
        pytest.param([result("C-1", Outcome.UNKNOWN)], False, id="a required check could not judge"),
        pytest.param([result("C-2", Outcome.UNKNOWN)], True, id="an optional check could not judge"),
        pytest.param([result("C-1", Outcome.SKIPPED)], True, id="left out, with a reason"),
    ],
)
def test_what_makes_clusters_conformant(results: list[Result], conformant: bool) -> None:
    assert report(*results).conformant is conformant


def test_the_yaml_says_of_each_check_what_was_seen() -> None:
    seen = yaml.safe_load(report(result("C-16", Outcome.FAILED, "no label")).as_yaml())
    assert seen["suite"] == "mcs"
    assert seen["contexts"] == {"east": "v1.36.3"}
    assert seen["summary"] == {"Optional": {"failed": 1}}
    (entry,) = seen["tests"]
    assert entry["id"] == "C-16"
    assert entry["level"] == "Optional"
    assert entry["labels"] == ["EndpointSlice"]
    assert entry["requirements"][0] == "MCS-62"
    assert (entry["result"], entry["reason"], entry["seconds"]) == ("failed", "no label", 1.2)
    assert entry["evidence"] == ["east: there: after 0.1 s: {}"]


def test_the_lines_for_people_say_why_a_check_did_not_pass() -> None:
    passed, failed = result("C-1", Outcome.PASSED), result("C-2", Outcome.FAILED, "no label")
    assert [line.split()[0] for line in lines([passed])] == ["passed"]
    assert lines([failed])[-1].strip() == "no label"


def test_a_result_is_found_by_its_id() -> None:
    whole = report(result("C-1", Outcome.PASSED), replace(result("C-2", Outcome.FAILED)))
    assert whole.of("C-2").outcome is Outcome.FAILED
    assert whole.named(Outcome.FAILED) == ["C-2"]
