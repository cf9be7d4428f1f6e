"""Workers that outlive what goes wrong with one key."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from isthmus.errors import Conflict, Refused, Throttled, Unreachable
from isthmus.kit.clock import FakeClock
from isthmus.runtime.controller import OVERDUE, Controller
from isthmus.runtime.reconcile import After, Done, Request
from isthmus.testing.waiting import eventually

SHOP = Request("east", "prod", "shop")
CART = Request("east", "prod", "cart")


class Journal:
    """A reconciler that notes what it was asked, and answers or raises what it was told to, in turn."""

    def __init__(self, *answers: Done | After | Exception) -> None:
        self.asked: list[Request] = []
        self._answers = list(answers)

    async def __call__(self, request: Request) -> Done | After:
        self.asked.append(request)
        answer = self._answers.pop(0) if self._answers else Done()
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def running(controller: Controller) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(controller.run())
        yield
        task.cancel()


def asked(journal: Journal, count: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return len(journal.asked) >= count

    return check


async def test_many_changes_of_a_key_before_its_turn_are_one_reconcile() -> None:
    journal = Journal()
    controller = Controller("test", journal)
    for request in (SHOP, CART, SHOP, SHOP):
        controller.add(request)
    async with running(controller):
        await eventually(asked(journal, 2))
    assert journal.asked == [SHOP, CART]
    assert controller.idle


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Conflict(code=409, reason="Conflict", message="again"), id="somebody wrote first"),
        pytest.param(Unreachable("down"), id="the server is away"),
        pytest.param(Refused(code=422, reason="Invalid", message="no"), id="the server refuses"),
        pytest.param(RuntimeError("a bug"), id="a bug met this key"),
    ],
)
async def test_a_failure_is_tried_again_and_hurts_no_other_key(error: Exception) -> None:
    journal = Journal(error)
    controller = Controller("test", journal, workers=1)
    controller.add(SHOP)
    controller.add(CART)
    async with running(controller):
        await eventually(asked(journal, 3))
    assert journal.asked == [SHOP, CART, SHOP]
    assert (controller.failed, controller.reconciled) == (1, 2)


async def test_a_server_that_asks_for_time_gets_it() -> None:
    clock = FakeClock()
    journal = Journal(Throttled(code=429, reason="TooManyRequests", message="slow", retry_after=7))
    controller = Controller("test", journal, clock=clock)
    controller.add(SHOP)
    async with running(controller):
        await eventually(asked(journal, 1))
        await clock.advance(6.9)
        assert len(journal.asked) == 1
        await clock.advance(0.2)
        await eventually(asked(journal, 2))


def overdue(controller: Controller) -> float:
    (seconds,) = [sample.value for sample in controller.samples() if sample.metric is OVERDUE]
    assert isinstance(seconds, float)
    return seconds


async def test_the_key_that_fails_longest_says_since_when_until_it_goes_well_or_is_dropped() -> None:
    clock = FakeClock()
    away = Throttled(code=429, reason="TooManyRequests", message="slow", retry_after=10)
    journal = Journal(away, RuntimeError("a bug"), away, Done())
    controller = Controller("test", journal, workers=1, clock=clock)
    assert overdue(controller) == 0.0
    controller.add(SHOP)
    async with running(controller):
        await eventually(asked(journal, 1))
        await clock.advance(10)
        # A bug is tried again after a pause by chance, the other after ten seconds.
        await eventually(asked(journal, 2))
        assert overdue(controller) == pytest.approx(10.0)
        await clock.advance(1)
        await eventually(asked(journal, 3))
        assert overdue(controller) == pytest.approx(11.0)
        controller.drop(lambda request: request == CART)
        assert overdue(controller) > 0
        await clock.advance(10)
        await eventually(asked(journal, 4))
        assert overdue(controller) == 0.0


async def test_a_dropped_key_is_no_longer_overdue() -> None:
    clock = FakeClock()
    journal = Journal(Unreachable("down"))
    controller = Controller("test", journal, clock=clock)
    controller.add(SHOP)
    async with running(controller):
        await eventually(asked(journal, 1))
        await clock.advance(0.5)
        assert overdue(controller) == pytest.approx(0.5)
        controller.drop(lambda request: request.cluster == SHOP.cluster)
        assert overdue(controller) == 0.0


async def test_a_reconciler_may_ask_to_be_asked_again_later() -> None:
    clock = FakeClock()
    journal = Journal(After(30))
    controller = Controller("test", journal, clock=clock)
    controller.add(SHOP)
    async with running(controller):
        await eventually(asked(journal, 1))
        await clock.advance(29)
        assert len(journal.asked) == 1
        await clock.advance(2)
        await eventually(asked(journal, 2))


async def test_a_batch_gathers_changes_into_one_reconcile() -> None:
    clock = FakeClock()
    journal = Journal()
    controller = Controller("test", journal, batch=0.5, clock=clock)
    async with running(controller):
        controller.add(SHOP)
        await clock.advance(0.4)
        controller.add(SHOP)
        assert not journal.asked
        await clock.advance(0.2)
        await eventually(asked(journal, 1))
        await clock.advance(5)
    assert journal.asked == [SHOP]


async def test_refusals_are_told_with_cluster_and_object(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(Refused(code=403, reason="Forbidden", message="not yours"))
    controller = Controller("imports", journal)
    controller.add(SHOP)
    with caplog.at_level(logging.WARNING):
        async with running(controller):
            await eventually(asked(journal, 2))
    (record,) = caplog.records
    facts = vars(record)
    assert (facts["controller"], facts["cluster"], facts["object"]) == ("imports", "east", "prod/shop")
    assert facts["code"] == 403
