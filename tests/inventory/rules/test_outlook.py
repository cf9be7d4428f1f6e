"""What of a cluster's looks is news."""

from datetime import UTC, datetime, timedelta

import pytest

from isthmus.api.isthmus import Probe
from isthmus.inventory.rules.outlook import Probing, told_difference

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        pytest.param("+", "+", id="the first look is told"),
        pytest.param("-", "-", id="whatever it found"),
        pytest.param("++++", "++++", id="nothing new"),
        pytest.param("+-+-+-", "++++++", id="one that is lost on the way is no news"),
        pytest.param("+--", "++-", id="two are"),
        pytest.param("--+-+-++", "-------+", id="and so back"),
    ],
)
def test_probes(answers: str, told: str) -> None:
    probing, seen = Probing(), ""
    for number, answer in enumerate(answers):
        probing = probing.after("" if answer == "+" else "no way", BEGAN + timedelta(seconds=10 * number))
        assert probing.told is not None
        seen += "+" if probing.told.answered else "-"
    assert seen == told


@pytest.mark.parametrize(
    ("told", "answers", "then"),
    [
        pytest.param(True, "-", False, id="it does not answer any more"),
        pytest.param(False, "+", True, id="it does again"),
        pytest.param(True, "+-", True, id="after that, one that is lost is no news"),
        pytest.param(None, "-", False, id="nothing was told"),
    ],
)
@pytest.mark.requirement("INV-32")
def test_of_what_another_agent_told_the_first_look_decides(told: bool | None, answers: str, then: bool) -> None:
    probing = Probing.inherited(Probe(answered=told, at=BEGAN) if told is not None else None)
    for answer in answers:
        probing = probing.after("" if answer == "+" else "no way", BEGAN)
    assert probing.told is not None
    assert probing.told.answered is then


def test_a_probe_says_since_when_and_what_was_wrong() -> None:
    probing = Probing().after("", BEGAN)
    for seconds in (10, 20, 30):
        probing = probing.after(f"no way {seconds}", BEGAN + timedelta(seconds=seconds))
    assert probing.told == Probe(answered=False, at=BEGAN + timedelta(seconds=20), problem="no way 20")


@pytest.mark.parametrize(
    ("told", "measured", "tells"),
    [
        pytest.param(None, None, None, id="nothing known"),
        pytest.param(None, 1.4, 0, id="clocks agree as far as can be told"),
        pytest.param(0, -1.9, 0, id="still"),
        pytest.param(0, 119.6, 120, id="two minutes ahead"),
        pytest.param(120, 121.4, 120, id="the same, not measured better"),
        pytest.param(120, 0.3, 0, id="mended"),
        pytest.param(-60, None, -60, id="no new answer, no news"),
    ],
)
def test_differences(told: int | None, measured: float | None, tells: int | None) -> None:
    assert told_difference(told, measured) == tells
