"""A queue of keys: folded, never shared, back when due."""

import asyncio

import pytest

from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import FakeClock
from isthmus.kit.workqueue import WorkQueue


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> WorkQueue[str]:
    return WorkQueue(clock=clock, backoff=lambda: Backoff(base=1.0, cap=4.0, jitter=lambda: 1.0))


async def waits(queue: WorkQueue[str]) -> "asyncio.Task[str]":
    """A worker that has come to wait for a key."""
    worker = asyncio.ensure_future(queue.get())
    for _ in range(5):
        await asyncio.sleep(0)
    return worker


async def test_keys_come_in_the_order_they_were_asked_for(queue: WorkQueue[str]) -> None:
    for key in ("c", "a", "b"):
        queue.add(key)
    assert [await queue.get() for _ in range(3)] == ["c", "a", "b"]


async def test_what_is_asked_for_twice_is_done_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("a")
    queue.done(await queue.get())
    assert queue.idle


async def test_a_key_that_is_worked_on_is_not_handed_out_again_until_it_is_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    second = await waits(queue)
    assert not second.done()
    queue.done("a")
    assert await asyncio.wait_for(second, 1) == "a"
    queue.done("a")
    assert queue.idle


async def test_every_waiting_worker_gets_a_key(queue: WorkQueue[str]) -> None:
    workers = [await waits(queue) for _ in range(3)]
    for key in "abc":
        queue.add(key)
    assert sorted(await asyncio.gather(*workers)) == ["a", "b", "c"]


async def test_a_delayed_key_comes_when_it_is_due(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_after("late", 5)
    worker = await waits(queue)
    await clock.advance(4.9)
    assert not worker.done()
    await clock.advance(0.2)
    assert await asyncio.wait_for(worker, 1) == "late"


async def test_the_earliest_of_several_delays_counts(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_after("a", 5)
    worker = await waits(queue)
    queue.add_after("a", 1)
    queue.add_after("a", 9)
    await clock.advance(1)
    queue.done(await asyncio.wait_for(worker, 1))
    await clock.advance(20)
    assert not (await waits(queue)).done()


async def test_a_key_that_is_worked_on_early_is_not_worked_on_again_when_its_delay_ends(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    queue.add_after("a", 5)
    queue.add("a")
    queue.done(await queue.get())
    await clock.advance(10)
    assert not (await waits(queue)).done()


async def test_failures_in_a_row_wait_longer_until_one_success(queue: WorkQueue[str], clock: FakeClock) -> None:
    for delay in (1, 2, 4, 4):
        queue.add_limited("a")
        worker = await waits(queue)
        await clock.advance(delay - 0.1)
        assert not worker.done()
        await clock.advance(0.1)
        queue.done(await asyncio.wait_for(worker, 1))
    queue.forget("a")
    queue.add_limited("a")
    worker = await waits(queue)
    await clock.advance(1)
    assert await asyncio.wait_for(worker, 1) == "a"


async def test_dropped_keys_do_not_come(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("busy")
    await queue.get()
    for key in ("x1", "x2", "busy"):
        queue.add(key)
    queue.add_after("x3", 1)
    queue.add("kept")
    queue.drop(lambda key: key != "kept")
    queue.done("busy")
    await clock.advance(5)
    assert await queue.get() == "kept"
    assert not (await waits(queue)).done()
