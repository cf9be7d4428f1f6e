"""Waiting for the world to be as expected, with bounds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from isthmus.errors import NotFound

T = TypeVar("T")

# Seconds; the first is the bound of the conformance suite (MCS-46).
WITHIN = 20.0
EVERY = 0.02


async def eventually(check: Callable[[], Awaitable[T | None]], *, within: float = WITHIN, what: str = "") -> T:
    """The first truthy answer of `check`, which is asked again and again; an object not found is no answer.

    Raises AssertionError, naming the last answer, when there is none within so many seconds.
    """
    deadline = time.monotonic() + within
    answer: object = None
    while time.monotonic() < deadline:
        try:
            answer = found = await check()
        except NotFound as missing:
            answer, found = missing, None
        if found:
            return found
        await asyncio.sleep(EVERY)
    raise AssertionError(f"not within {within:g} s: {what or check.__qualname__}; last answer: {answer!r}")


async def throughout(check: Callable[[], Awaitable[object]], *, seconds: float, what: str = "") -> None:
    """Hold `check` to be truthy again and again for so many seconds; AssertionError when it is not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = await check()
        assert answer, f"not throughout {seconds:g} s: {what or check.__qualname__}; answer: {answer!r}"
        await asyncio.sleep(EVERY)
