"""Logs on disk: lines in, lines out, within a limit, and followed while they grow."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from isthmus.kit.clock import FakeClock
from isthmus.local.node.logfiles import LONGEST_LINE, LogFile, LogOptions, LogPipe, follow


async def text(path: Path, live: LogFile | None = None, **options: object) -> str:
    chosen = LogOptions(**options)  # type: ignore[arg-type]
    return b"".join([piece async for piece in follow(path, chosen, live)]).decode()


async def test_what_came_out_is_read_back(tmp_path: Path) -> None:
    clock = FakeClock()
    log = LogFile(tmp_path / "c" / "0.log", clock)
    pipe = LogPipe(log, "stdout")
    pipe.data_received(b"one\ntw")
    await clock.advance(60)
    pipe.data_received(b"o\n\nrest")
    pipe.connection_lost(None)
    log.close()
    assert await text(log.path) == "one\ntwo\n\nrest"
    assert await text(log.path, tail=2) == "\nrest"
    assert await text(log.path, tail=0) == ""
    assert await text(log.path, limit=5) == "one\nt"
    assert await text(log.path, since=datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=30)) == "two\n\nrest"
    stamped = await text(log.path, timestamps=True, tail=3)
    assert stamped.startswith("2030-01-01T00:01:00.000000000Z two\n")


async def test_a_long_line_is_one_line_again(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log", FakeClock())
    pipe = LogPipe(log, "stderr")
    line = b"x" * (3 * LONGEST_LINE + 5)
    pipe.data_received(line[:50])
    pipe.data_received(line[50:] + b"\nnext\n")
    log.close()
    assert await text(log.path) == line.decode() + "\nnext\n"


async def test_a_log_has_a_limit_and_the_newest_stays(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log", FakeClock(), largest=10_000)
    for number in range(1000):
        log.write("stdout", f"line {number}".encode())
    log.close()
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size <= 20_000
    lines = (await text(log.path)).splitlines()
    assert lines == [f"line {number}" for number in range(1000 - len(lines), 1000)]
    assert len(lines) > 150


async def test_a_follower_misses_nothing_while_the_file_turns(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log", FakeClock(), largest=2_000)
    log.write("stdout", b"line 0")
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(text(log.path, log))
        for number in range(1, 200):
            log.write("stdout", f"line {number}".encode())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        log.close()
    assert reading.result().splitlines() == [f"line {number}" for number in range(200)]
