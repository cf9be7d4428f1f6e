"""Parts count; what they counted is summed when somebody asks, and only by the process that they are of."""

import asyncio
import gc
from collections.abc import Iterator
from contextvars import copy_context

import pytest

from isthmus.kit.metrics import (
    BOUNDS,
    COUNTER,
    GAUGE,
    HISTOGRAM,
    Durations,
    Meters,
    Metric,
    Sample,
    metered,
    metered_until_left,
)

DONE = Metric("test_done_total", COUNTER, "Things done.", ("kind",))
WAITING = Metric("test_waiting", GAUGE, "Things that wait.")
TOOK = Metric("test_seconds", HISTOGRAM, "How long it took.")


class Part:
    def __init__(self, done: int, *seconds: float) -> None:
        self.done, self.took = done, Durations()
        for each in seconds:
            self.took.observe(each)
        metered(self)

    def samples(self) -> Iterator[Sample]:
        yield Sample(DONE, self.done, ("shop",))
        yield Sample(WAITING, 1)
        yield Sample(TOOK, self.took)


def test_parts_that_count_the_same_are_summed() -> None:
    meters = Meters()
    with meters.gathering():
        parts = [Part(2, 0.002), Part(3, 0.002, 20.0)]
    parts[0].done += 1
    totals = meters.totals()
    assert totals[DONE] == {("shop",): 6}
    assert totals[WAITING] == {(): 2}
    took = totals[TOOK][()]
    assert isinstance(took, Durations)
    assert took.total == pytest.approx(20.004)
    assert dict(took.buckets())["0.005"] == 2
    assert dict(took.buckets())["+Inf"] == 3


def test_a_part_that_is_gone_no_longer_counts() -> None:
    meters = Meters()
    with meters.gathering():
        part = Part(2)
        assert meters.totals()[DONE] == {("shop",): 2}
        del part
        gc.collect()
        assert meters.totals() == {}


async def test_each_process_has_its_own_even_where_several_are_tasks_of_one() -> None:
    async def process(done: int) -> tuple[Meters, Part]:
        meters = Meters()
        with meters.gathering():
            await asyncio.sleep(0)
            async with asyncio.TaskGroup() as tasks:
                part = tasks.create_task(later(done), name="part")
        return meters, part.result()

    async def later(done: int) -> Part:
        await asyncio.sleep(0)
        return Part(done)

    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(process(done), name=f"process {done}") for done in (1, 10)]
    assert [task.result()[0].totals()[DONE][("shop",)] for task in both] == [1, 10]


def test_outside_of_any_process_nobody_counts() -> None:
    assert Part(1).done == 1


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (BOUNDS[0], 0), (BOUNDS[0] * 1.01, 1), (BOUNDS[-1], len(BOUNDS) - 1), (1e9, -1)]
)
def test_a_duration_is_counted_at_the_first_bound_that_it_does_not_exceed(seconds: float, bucket: int) -> None:
    durations = Durations()
    durations.observe(seconds)
    assert durations.counts[bucket] == 1
    assert sum(durations.counts) == 1


def test_what_is_made_for_a_while_is_asked_for_that_long_though_something_holds_it() -> None:
    meters = Meters()
    with meters.gathering():
        lasting = Part(2)
        with metered_until_left():
            passing = Part(3)
            # As a task does that was begun here.
            kept = copy_context()
            assert meters.totals()[DONE] == {("shop",): 5}
        assert meters.totals()[DONE] == {("shop",): 2}
        later = Part(4)
        assert meters.totals()[DONE] == {("shop",): 6}
    assert [part.done for part in (lasting, passing, later)] == [2, 3, 4]
    assert kept


def test_for_a_while_nobody_counts_either_where_nobody_asks() -> None:
    with metered_until_left():
        assert Part(1).done == 1
