from datetime import UTC, datetime, timedelta

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.cells import age_of, duration, few, selector_text

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("passed", "told"),
    [
        (timedelta(), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(minutes=2), "2m"),
        (timedelta(minutes=5, seconds=3), "5m3s"),
        (timedelta(minutes=10, seconds=59), "10m"),
        (timedelta(hours=3, minutes=1), "3h1m"),
        (timedelta(hours=8, minutes=1), "8h"),
        (timedelta(hours=47), "47h"),
        (timedelta(days=2, hours=1), "2d1h"),
        (timedelta(days=8, hours=1), "8d"),
        (timedelta(days=730), "2y"),
        (timedelta(days=735), "2y5d"),
        (timedelta(days=3650), "10y"),
    ],
)
def test_a_duration_is_told_in_at_most_two_units(passed: timedelta, told: str) -> None:
    assert duration(int(passed.total_seconds())) == told


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("2029-12-31T23:59:00Z", "60s"),
        (None, "<unknown>"),
        ("yesterday", "<invalid>"),
        ("2031-01-01T00:00:00Z", "<invalid>"),
    ],
)
def test_an_age_is_told_or_not_known(moment: str | None, told: str) -> None:
    assert age_of(moment, NOW) == told


@pytest.mark.parametrize(
    ("selector", "told"),
    [
        (None, "<none>"),
        ({}, "<none>"),
        ({"b": "2", "a": "1"}, "a=1,b=2"),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, "a=1,b"),
        ({"matchExpressions": [{"key": "b", "operator": "In", "values": ["y", "x"]}]}, "b in (x,y)"),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, "!b"),
    ],
)
def test_a_selector_is_one_line(selector: Manifest | None, told: str) -> None:
    assert selector_text(selector) == told


@pytest.mark.parametrize(
    ("items", "told"), [([], ""), (["a"], "a"), (["a", "b", "c"], "a,b,c"), (list("abcde"), "a,b,c + 2 more...")]
)
def test_long_lists_are_cut(items: list[str], told: str) -> None:
    assert few(items, 3) == told
