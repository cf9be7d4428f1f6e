"""One SQLite file per cluster: what was written is there after `kill -9`.

Each write is one transaction in the write-ahead log, on the kernel's side before the caller is answered. It
is not forced to the platter (`synchronous=NORMAL`): a power cut may cost the last moments, never consistency.
A group commit was considered: the commit costs less than a tenth of the request it belongs to.
"""

import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from isthmus.errors import Invalid

TABLES = """
CREATE TABLE IF NOT EXISTS objects (
    collection TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    revision INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (collection, namespace, name));
CREATE TABLE IF NOT EXISTS removed (only INTEGER PRIMARY KEY CHECK (only = 0), revision INTEGER NOT NULL);
INSERT OR IGNORE INTO removed VALUES (0, 0);
"""
# Seconds to wait for a predecessor that is just ending.
LOCK_WAIT = 2.0
PUT = (
    "INSERT INTO objects VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
    "SET revision = excluded.revision, body = excluded.body"
)
REMOVE = "DELETE FROM objects WHERE collection = ? AND namespace = ? AND name = ?"


class Disk:
    """The file; every method that writes raises OSError when it cannot, and then has written nothing."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises Invalid when it is in use, or is something else."""
        self._connection = sqlite3.connect(path, timeout=LOCK_WAIT, isolation_level=None)
        try:
            # One process at a time: two would give out the same versions.
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(TABLES)
        except sqlite3.Error as error:
            self._connection.close()
            step = "end the other process" if "locked" in str(error) else "move the file away, or restore it"
            raise Invalid(f"{path} cannot be used as state: {error}; {step}, then start again") from error

    def revision(self) -> int:
        """The version of the latest deletion; a put carries its version itself."""
        return int(self._connection.execute("SELECT revision FROM removed").fetchone()[0])

    def rows(self) -> Iterator[tuple[str, str, str, int, bytes]]:
        """All objects: collection, namespace, name, revision, body."""
        return self._connection.execute("SELECT collection, namespace, name, revision, body FROM objects")

    def put(self, collection: str, key: tuple[str, str], revision: int, body: bytes) -> None:
        """Write one object."""
        try:
            self._connection.execute(PUT, (collection, *key, revision, body))
        except sqlite3.Error as error:
            raise _os_error(error) from error

    def remove(self, collection: str, key: tuple[str, str], revision: int) -> None:
        """Delete one object, and remember the version of its deletion."""
        try:
            with self._connection:
                self._connection.execute("BEGIN")
                self._connection.execute(REMOVE, (collection, *key))
                self._connection.execute("UPDATE removed SET revision = ?", (revision,))
        except sqlite3.Error as error:
            raise _os_error(error) from error

    def limit(self, size: int) -> None:
        """Let the file grow to `size` bytes; one that is larger already grows no more."""
        pages = size // int(self._connection.execute("PRAGMA page_size").fetchone()[0])
        self._connection.execute(f"PRAGMA max_page_count = {max(pages, 1)}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _os_error(error: sqlite3.Error) -> OSError:
    full = error.sqlite_errorcode == sqlite3.SQLITE_FULL if hasattr(error, "sqlite_errorcode") else False
    return OSError(errno.ENOSPC if full else errno.EIO, str(error))
