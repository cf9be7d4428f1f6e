import asyncio
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.errors import Unreachable
from isthmus.local.forkserver import Forked, Program
from isthmus.local.units import Keeper, Unit
from isthmus.testing.waiting import eventually

SLEEPER = ("sh", "-c", "echo started; sleep 60")


class Shell(Forked):
    """A process that no fork server started."""

    def __init__(self, program: Program, output: int) -> None:
        report, self._far = socket.socketpair()
        self._process = subprocess.Popen(program.argv, stdout=output)
        super().__init__(self._process.pid, report)
        threading.Thread(target=self._tell).start()

    def _tell(self) -> None:
        with self._far:
            self._far.send(str(self._process.wait()).encode())


async def until(true: Callable[[], bool]) -> None:
    async def check() -> bool:
        return true()

    await eventually(check)


def keeper_of(argv: tuple[str, ...], folder: Path) -> Keeper:
    unit = Unit(name="east/it", cluster="east", program=Program(argv), log=folder / "logs" / "it.log")
    return Keeper(unit, Shell, jitter=lambda: 0.1)


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


async def test_a_process_that_could_not_be_started_is_started_later(tmp_path: Path) -> None:
    refusals = [Unreachable("no room"), Unreachable("no room")]

    def start(program: Program, output: int) -> Forked:
        if refusals:
            raise refusals.pop()
        return Shell(program, output)

    keeper = Keeper(keeper_of(SLEEPER, tmp_path).unit, start, jitter=lambda: 0.1)
    async with asyncio.TaskGroup() as tasks:
        keeper.start(tasks)
        await until(lambda: keeper.status.state == "running")
        assert keeper.restarts == 2
        await keeper.end()


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
