import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.local.units import Keeper, Unit
from isthmus.testing.waiting import eventually

SLEEPER = ("sh", "-c", "echo started; sleep 60")


async def until(true: Callable[[], bool]) -> None:
    async def check() -> bool:
        return true()

    await eventually(check)


def keeper_of(argv: tuple[str, ...], folder: Path) -> Keeper:
    unit = Unit(name="east/it", cluster="east", argv=argv, log=folder / "logs" / "it.log")
    return Keeper(unit, jitter=lambda: 0.1)


async def test_a_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    keeper = keeper_of(SLEEPER, tmp_path)
    async with asyncio.TaskGroup() as tasks:
        keeper.start(tasks)
        await until(lambda: keeper.status.state == "running")
        first = keeper.status.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: keeper.status.pid not in {0, first})
        assert keeper.status.restarts == 1
        await keeper.end()
    assert not Path(f"/proc/{first}").exists()
    assert (tmp_path / "logs" / "it.log").read_text() == "started\n" * 2


async def test_an_ended_process_stays_down(tmp_path: Path) -> None:
    keeper = keeper_of(SLEEPER, tmp_path)
    async with asyncio.TaskGroup() as tasks:
        keeper.start(tasks)
        await until(lambda: keeper.status.state == "running")
        pid = keeper.status.pid
        await keeper.end()
    assert not Path(f"/proc/{pid}").exists()
    assert keeper.status.restarts == 0


async def test_a_process_that_cannot_stay_up_is_tried_with_ever_longer_pauses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = keeper_of(("false",), tmp_path)
    async with asyncio.TaskGroup() as tasks:
        keeper.start(tasks)
        await until(lambda: keeper.restarts >= 3)
        await keeper.end()
    first, second, third = [vars(record)["pause"] for record in caplog.records if "ended" in record.message][:3]
    assert 0 < first < second < third
