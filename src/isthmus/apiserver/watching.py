"""Watch: the changes that a caller asked for, in order, none missing, until the time is up."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver.call import flag, number, revision
from isthmus.apiserver.causes import forbidden, unsupported
from isthmus.apiserver.presenting import Presenter
from isthmus.apiserver.reading import NOT_OLDER, Selection
from isthmus.apiserver.schema import invalid
from isthmus.apiserver.status import manifest_of
from isthmus.apiserver.storage import ADDED, DELETED, MODIFIED, Change, Collection, Record, Storage, encode
from isthmus.errors import Gone
from isthmus.kit.clock import Clock

BOOKMARK_EVERY = 60.0
# A watch without timeoutSeconds ends after half an hour to an hour on the real server.
DEFAULT_TIMEOUT = 2400
MAX_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch request, read."""

    revision: int
    initial: bool
    said_initial: bool
    bookmarks: bool
    timeout: float

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> "Watch":
        """Read the query. Raises Refused (400, 422)."""
        asked, bookmarks = flag(query, "sendInitialEvents"), flag(query, "allowWatchBookmarks")
        timeout = number(query, "timeoutSeconds") or DEFAULT_TIMEOUT
        _check_options(query)
        since = revision(query)
        initial = asked or ("sendInitialEvents" not in query and since == 0)
        return cls(since, initial, asked and bookmarks, bookmarks, float(timeout))


def _check_options(query: Mapping[str, str]) -> None:
    """Raise Refused (422) when the options of a watch contradict each other."""
    match, field, causes = query.get("resourceVersionMatch", ""), "resourceVersionMatch", []
    if "sendInitialEvents" in query and match != NOT_OLDER:
        causes.append(forbidden(field, f"sendInitialEvents requires setting {field} to NotOlderThan"))
    if match and "sendInitialEvents" not in query:
        causes.append(forbidden(field, f"{field} is forbidden for watch unless sendInitialEvents is provided"))
    if match not in {"", NOT_OLDER}:
        causes.append(unsupported(field, match, [NOT_OLDER]))
    if match and query.get("continue"):
        causes.append(forbidden(field, f"{field} is forbidden when continue is provided"))
    if causes:
        raise invalid("ListOptions", "meta.k8s.io", "", causes)


class Watcher:
    """One watch under way: it keeps the version it has sent, and reads the window from there."""

    def __init__(
        self, storage: Storage, collection: Collection, selection: Selection, presenter: Presenter, watch: Watch
    ) -> None:
        self._storage = storage
        self._collection = collection
        self._selection = selection
        self._presenter = presenter
        self._watch = watch
        self._sent = False

    async def lines(self, clock: Clock) -> AsyncIterator[bytes]:
        """Chunks of whole lines, as they come up."""
        started = heard = clock.monotonic()
        window = self._collection.window
        interruptions = window.interruptions
        cursor = self._storage.revision if self._watch.initial else self._start()
        if self._watch.initial:
            for chunk in self._initial():
                yield chunk
        while not window.closed and clock.monotonic() - started < self._watch.timeout:
            if window.interruptions != interruptions:
                return
            try:
                changes = window.since(cursor)
            except Gone as error:
                yield _error(error)
                return
            if changes:
                cursor = changes[-1].revision
                chunk = b"".join(filter(None, map(self._line, changes)))
                if chunk:
                    yield chunk
                continue
            if self._watch.bookmarks and clock.monotonic() - heard >= BOOKMARK_EVERY:
                heard = clock.monotonic()
                cursor = max(cursor, self._storage.revision)
                yield self._presenter.bookmark(cursor)
            left = started + self._watch.timeout - clock.monotonic()
            await window.wait(min(left, BOOKMARK_EVERY))
        if self._watch.bookmarks and not window.since(cursor):
            yield self._presenter.bookmark(max(cursor, self._storage.revision))

    def _start(self) -> int:
        # Without initial events, "any version" means: from now on.
        return self._watch.revision or self._storage.revision

    def _initial(self) -> list[bytes]:
        meant = filter(self._selection.takes, list(self._collection.within(self._selection.namespace)))
        lines = [self._event(ADDED, record) for record in meant]
        if self._watch.said_initial:
            lines.append(self._presenter.bookmark(self._storage.revision, initial=True))
        chunks: list[bytes] = []
        size = 0
        pending: list[bytes] = []
        for line in lines:
            pending.append(line)
            size += len(line)
            if size > MAX_CHUNK:
                chunks.append(b"".join(pending))
                pending, size = [], 0
        return [*chunks, b"".join(pending)] if pending else chunks

    def _line(self, change: Change) -> bytes | None:
        takes = self._selection.takes
        before = change.before is not None and takes(change.before)
        after = change.type != DELETED and takes(change.record)
        if after:
            return self._event(MODIFIED if before else ADDED, change.record)
        if not before:
            return None
        return self._event(DELETED, _last_seen(change))

    def _event(self, change: str, record: Record) -> bytes:
        first, self._sent = not self._sent, True
        return self._presenter.event(change, record, first=first)


def _last_seen(change: Change) -> Record:
    # To this watcher an object that no longer matches is gone: it sees its last matching state.
    if change.type == DELETED or change.before is None:
        return change.record
    return Record(change.record.key, change.revision, encode(change.before.manifest(), change.revision))


def _error(error: Gone) -> bytes:
    status: Manifest = manifest_of(error)
    return msgspec.json.encode({"type": "ERROR", "object": status}) + b"\n"
