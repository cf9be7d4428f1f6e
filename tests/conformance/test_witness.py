"""Looking at the world: what holds, what does not within its bound, and when nothing can be said."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from isthmus.conformance.declared import Failed, Hindered
from isthmus.conformance.witness import Bound, Witness, shown
from isthmus.errors import Unreachable
from isthmus.kit.clock import FakeClock

BOUND = Bound(10, 1.0)


def world(*states: int | Exception | None) -> Callable[[], Awaitable[int | None]]:
    """What is seen, look by look; the last state stays."""
    coming = list(states)

    async def observe() -> int | None:
        state = coming.pop(0) if len(coming) > 1 else coming[0]
        if isinstance(state, Exception):
            raise state
        return state

    return observe


async def outcome(witness: Witness, clock: FakeClock, *states: int | Exception | None, bound: Bound = BOUND) -> int:
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(witness.until("it is 3", world(*states), lambda seen: seen == 3, bound))
        while not looking.done():
            await clock.advance(1.0)
        try:
            return looking.result()
        except Exception:
            looking.exception()
            raise


async def test_what_comes_in_time_is_kept_as_evidence() -> None:
    clock = FakeClock()
    witness = Witness(clock)
    assert await outcome(witness, clock, None, 1, 3) == 3
    assert witness.evidence == ["it is 3: after 2.0 s: 3"]


@pytest.mark.parametrize(
    ("states", "bound", "kind", "said"),
    [
        pytest.param((1,), BOUND, Failed, "not within 10 s: it is 3; last seen: 1", id="what does not come fails"),
        pytest.param((1,), Bound(5, 1.0, setup=True), Hindered, "within 5 s", id="of a setup, it hinders"),
        pytest.param((1, Unreachable("gone")), BOUND, Hindered, "last seen: gone", id="an unreachable server hinders"),
        pytest.param((Unreachable("gone"), 1), BOUND, Failed, "last seen: 1", id="one that is back does not"),
    ],
)
async def test_what_does_not_come(
    states: tuple[int | Exception, ...], bound: Bound, kind: type[Exception], said: str
) -> None:
    clock = FakeClock()
    with pytest.raises(ExceptionGroup) as caught:
        await outcome(Witness(clock), clock, *states, bound=bound)
    assert isinstance(caught.value.exceptions[0], kind)
    assert said in str(caught.value.exceptions[0])


async def test_patience_stretches_the_bound_but_not_a_setup() -> None:
    clock = FakeClock()
    with pytest.raises(ExceptionGroup) as caught:
        await outcome(Witness(clock, patience=0.5), clock, 1)
    assert "not within 5 s" in str(caught.value.exceptions[0])


async def test_what_must_stay_fails_at_the_first_look_that_differs() -> None:
    clock = FakeClock()
    witness = Witness(clock)
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(
            asyncio.wait_for(_fails(witness.throughout("it is 3", world(3, 3, 4), lambda seen: seen == 3)), 5)
        )
        while not looking.done():
            await clock.advance(0.2)
    assert looking.result() == "not throughout 5 s: it is 3; after 0.4 s: 4"


async def _fails(work: Awaitable[None]) -> str:
    with pytest.raises(Failed) as caught:
        await work
    return str(caught.value)


def test_long_values_are_shortened() -> None:
    assert shown("short") == "short"
    assert shown({"a": 1}) == '{"a":1}'
    assert len(shown("x" * 5000)) == 600
