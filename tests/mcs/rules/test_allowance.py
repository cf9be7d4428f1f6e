"""Which of too many exports stay, and whose word is believed."""

from datetime import UTC, datetime

import pytest

from isthmus.api.isthmus import MAX_CHUNKS, MAX_EXPORT_BYTES, MAX_EXPORTS, Member, MemberSpec
from isthmus.mcs.rules.allowance import allowed, allowed_bytes, allowed_chunks, is_believed, surplus


def day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


FEW = Member(spec=MemberSpec(id="east", set="prod", max_exports=3))


@pytest.mark.parametrize(
    ("found", "most", "want"),
    [
        pytest.param([], 2, (), id="nothing is not too much"),
        pytest.param([(day(1), "a", 1), (day(2), "b", 1)], 2, (), id="as many as are allowed"),
        pytest.param([(day(3), "a", 1), (day(1), "b", 1), (day(2), "c", 1)], 2, ("a",), id="the newest goes"),
        pytest.param([(day(1), "b", 1), (day(1), "c", 1), (day(1), "a", 1)], 1, ("b", "c"), id="at once: by name"),
        pytest.param([(None, "a", 1), (day(1), "b", 1)], 1, ("b",), id="without a moment: as old as can be"),
        pytest.param([(day(1), "a", 1), (day(2), "b", 1)], 0, ("a", "b"), id="nothing is allowed"),
        pytest.param(
            [(day(2), "b", 9), (day(1), "a", 3), (day(3), "c", 1)], 5, ("c",), id="the one that fills it stays"
        ),
        pytest.param([(day(1), "a", 5), (day(2), "b", 1)], 5, ("b",), id="by size: full, nothing more"),
    ],
)
def test_the_oldest_stay(found: list[tuple[datetime | None, str, int]], most: int, want: tuple[str, ...]) -> None:
    assert surplus(found, most) == want


def test_what_a_member_may_is_what_its_record_says_or_usual() -> None:
    assert (allowed(FEW), allowed_chunks(FEW)) == (3, 2 * MAX_CHUNKS)
    assert (allowed(None), allowed(Member())) == (MAX_EXPORTS, MAX_EXPORTS)
    assert allowed_chunks(Member()) == max(MAX_EXPORTS, 2 * MAX_CHUNKS)
    assert allowed_bytes(Member(spec=MemberSpec(id="east", set="prod", max_export_bytes=9))) == 9
    assert (allowed_bytes(None), allowed_bytes(FEW)) == (MAX_EXPORT_BYTES, MAX_EXPORT_BYTES)


def test_whoever_is_imported_more_often_than_it_may_export_is_not_believed_about_what_is_not_there() -> None:
    assert is_believed(FEW, 3)
    assert not is_believed(FEW, 4)
    assert is_believed(None, MAX_EXPORTS)
