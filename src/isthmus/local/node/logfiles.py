"""A container's output on disk, line by line in the CRI's format, with a limit; and reading it back.

`2026-10-06T00:17:09.669794202Z stdout F the line` (CRI logging format); `P` marks a part of a longer line.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from isthmus.kit.clock import Clock

log = logging.getLogger(__name__)

LARGEST_FILE = 10 * 1024 * 1024
LONGEST_LINE = 16 * 1024
_OLD = ".old"


class LogFile:
    """The output of one run of a container; beyond twice `largest` bytes, the oldest goes."""

    def __init__(self, path: Path, clock: Clock, *, largest: int = LARGEST_FILE) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.is_over = False
        self.written = asyncio.Event()
        self._clock = clock
        self._largest = largest
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, stream: str, line: bytes, *, part: bool = False) -> None:
        """Append one line, without its end; a `part` is continued by the next of the same stream."""
        stamp = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        record = f"{stamp} {stream} {'P' if part else 'F'} ".encode() + line + b"\n"
        try:
            if self._size + len(record) > self._largest:
                self._turn()
            self._file.write(record)
        except OSError as error:
            # A full disk must not end the container: what it says is lost until there is room.
            log.warning("log line lost", extra={"file": str(self.path), "error": str(error)})
            return
        self._size += len(record)
        self._wake()

    @staticmethod
    def remove(path: Path) -> None:
        """Delete a log, and its older part."""
        path.unlink(missing_ok=True)
        path.with_name(path.name + _OLD).unlink(missing_ok=True)

    def close(self) -> None:
        """Say that nothing more will come."""
        if not self.is_over:
            self.is_over = True
            self._file.close()
            self._wake()

    def _turn(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(self.path.name + _OLD))
        self._file = self.path.open("ab", buffering=0)
        self._size = 0

    def _wake(self) -> None:
        # Whoever waits holds the event that is set here; the next one waits for the next line.
        self.written.set()
        self.written = asyncio.Event()


class LogPipe(asyncio.Protocol):
    """Turns what comes out of a container's pipe into lines of its log."""

    def __init__(self, log: LogFile, stream: str) -> None:
        self._log = log
        self._stream = stream
        self._rest = b""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Write all whole lines; what is too long for one is written in parts."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(line)
        while len(self._rest) > LONGEST_LINE:
            self._log.write(self._stream, self._rest[:LONGEST_LINE], part=True)
            self._rest = self._rest[LONGEST_LINE:]

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Write what is left."""
        if self._rest:
            # Without its end it is no whole line.
            self._log.write(self._stream, self._rest, part=True)
            self._rest = b""
        if not self.over.done():
            self.over.set_result(None)

    def _write(self, line: bytes) -> None:
        while len(line) > LONGEST_LINE:
            self._log.write(self._stream, line[:LONGEST_LINE], part=True)
            line = line[LONGEST_LINE:]
        self._log.write(self._stream, line)


@dataclass(frozen=True)
class LogOptions:
    """Which lines of a log, and how (PodLogOptions)."""

    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit: int | None = None


async def follow(path: Path, options: LogOptions, live: LogFile | None) -> AsyncGenerator[bytes, None]:
    """A log as kubectl shows it, piece by piece; with `live`, what is still to come too, until it is over."""
    left = options.limit
    async for records in _records(path, options, live):
        shown = b"".join(_shown(record, options) for record in records)
        if left is not None:
            shown = shown[:left]
            left -= len(shown)
        if shown:
            yield shown
        if left == 0:
            return


async def _records(path: Path, options: LogOptions, live: LogFile | None) -> AsyncGenerator[list[bytes], None]:
    reader = _Reader(path)
    # Before reading: what is written meanwhile must not be slept through.
    news = live.written if live else None
    is_over = live is None or live.is_over
    known = [record for record in reader.read_all() if _is_recent(record, options.since)]
    yield known if options.tail is None else known[max(0, len(known) - options.tail) :]
    while not is_over and live is not None and news is not None:
        await news.wait()
        news = live.written
        is_over = live.is_over
        yield list(reader.read_new())


class _Reader:
    """Reads a log on, across the change of its file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._inode = 0

    def read_all(self) -> Iterator[bytes]:
        old = self._path.with_name(self._path.name + _OLD)
        if old.exists():
            yield from old.read_bytes().splitlines(keepends=True)
        yield from self.read_new()

    def read_new(self) -> Iterator[bytes]:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            inode = self._inode_of(file.fileno())
            if inode != self._inode:
                if self._inode:
                    yield from self._rest_of_old()
                self._inode, self._at = inode, 0
            file.seek(self._at)
            data = file.read()
            self._at += len(data)
        yield from data.splitlines(keepends=True)

    def _rest_of_old(self) -> Iterator[bytes]:
        old = self._path.with_name(self._path.name + _OLD)
        if old.exists() and old.stat().st_ino == self._inode:
            yield from old.read_bytes()[self._at :].splitlines(keepends=True)

    @staticmethod
    def _inode_of(descriptor: int) -> int:
        return Path(f"/proc/self/fd/{descriptor}").stat().st_ino


def _is_recent(record: bytes, since: datetime | None) -> bool:
    if since is None:
        return True
    stamp = record.split(b" ", 1)[0].decode(errors="replace")
    try:
        # Nine digits of a second are three too many for Python.
        written = datetime.strptime(stamp[:26], "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC)
    except ValueError:
        return False
    return written >= since


def _shown(record: bytes, options: LogOptions) -> bytes:
    stamp, _, rest = record.partition(b" ")
    _stream, _, rest = rest.partition(b" ")
    tag, _, line = rest.partition(b" ")
    if tag == b"P":
        line = line.removesuffix(b"\n")
    return stamp + b" " + line if options.timestamps else line
