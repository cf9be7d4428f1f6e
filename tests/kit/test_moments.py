from datetime import UTC, datetime, timedelta, timezone

import pytest

from isthmus.kit.moments import count_in, in_utc

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "want"),
    [
        pytest.param("2026-01-01T12:00:00Z", NOON, id="in UTC"),
        pytest.param("2026-01-01T14:00:00+02:00", NOON, id="elsewhere"),
        pytest.param("2026-01-01T12:00:00", NOON, id="no zone: UTC"),
        pytest.param(datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))), NOON, id="read already"),
        pytest.param("0001-01-01T00:00:00+14:00", None, id="before all years"),
        pytest.param("9999-12-31T23:59:59-14:00", None, id="after all years"),
        pytest.param("long ago", None, id="no moment"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_a_moment_is_in_utc_or_unknown(said: str | datetime | None, want: datetime | None) -> None:
    assert in_utc(said) == want


@pytest.mark.parametrize(
    ("said", "want"),
    [("0", 0), ("5000", 5000), ("9" * 9, 999_999_999), ("9" * 5000, None), ("-1", None), ("²", None), ("", None)],
)
def test_a_count_is_a_number_or_unknown(said: str, want: int | None) -> None:
    assert count_in(said) == want
