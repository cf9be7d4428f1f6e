"""Several waits at once."""

import asyncio

import pytest

from isthmus.runtime.together import together


async def test_one_failure_does_not_stop_the_others_and_the_first_is_raised() -> None:
    ended: list[str] = []

    async def job(name: str, error: Exception | None, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        ended.append(name)
        if error is not None:
            raise error

    with pytest.raises(ValueError, match="first"):
        await together(job("slow", None, 9), job("first", ValueError("first"), 5), job("second", KeyError("second"), 1))
    assert sorted(ended) == ["first", "second", "slow"]


async def test_nothing_to_wait_for_is_nothing() -> None:
    await together()
