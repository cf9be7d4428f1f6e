"""Waiting for the world, with bounds."""

import pytest

from isthmus.errors import NotFound
from isthmus.testing.waiting import eventually, throughout


async def test_the_first_answer_that_counts_is_returned() -> None:
    answers = iter([None, 0, "now", "later"])

    async def check() -> object:
        return next(answers)

    assert await eventually(check) == "now"


async def test_what_is_not_found_may_still_come() -> None:
    tries = 0

    async def check() -> bool:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise NotFound(code=404, reason="NotFound", message="not yet")
        return True

    assert await eventually(check)


async def test_what_does_not_come_in_time_is_told_with_the_last_answer() -> None:
    async def check() -> int:
        return 0

    with pytest.raises(AssertionError, match=r"not within 0.1 s: the moon; last answer: 0"):
        await eventually(check, within=0.1, what="the moon")


async def test_what_does_not_hold_is_told() -> None:
    answers = iter([True, True, False])

    async def check() -> bool:
        return next(answers)

    with pytest.raises(AssertionError, match="not throughout"):
        await throughout(check, seconds=5)
