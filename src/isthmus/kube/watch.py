"""One watch: raw chunks split into lines, lines decoded into events, batch by batch."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from isthmus import errors
from isthmus.api.meta import Object
from isthmus.api.scheme import Resource
from isthmus.kube import response
from isthmus.kube.codec import MALFORMED, Codec, Key, Undecodable
from isthmus.kube.request import WatchOptions, watching
from isthmus.kube.transport import Transport

T = TypeVar("T")

# An object of etcd's largest size, with what an API server may add to it.
MAX_LINE: Final = 16 << 20

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"
BOOKMARK: Final = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """An object was ADDED, MODIFIED or DELETED."""

    type: str
    object: T


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The watch has told everything up to this version."""

    resource_version: str
    type: str = BOOKMARK


@dataclass(frozen=True, slots=True)
class UndecodableEvent:
    """Something happened to an object that cannot be read."""

    type: str
    key: Key
    reason: str
    resource_version: str = ""


Event: TypeAlias = WatchEvent[T] | Bookmark | UndecodableEvent
Batch: TypeAlias = list[Event[T]]


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


def lines(chunks: list[bytes], chunk: bytes) -> list[bytes]:
    """The lines that `chunk` completes; `chunks` keeps the beginning of the next one between calls."""
    if b"\n" not in chunk:
        chunks.append(chunk)
        return []
    first, *whole = chunk.split(b"\n")
    complete = [b"".join([*chunks, first]), *whole]
    chunks[:] = [complete.pop()]
    return [line for line in complete if line]


class Watch(Generic[T]):
    """One watch of one kind, from start to end."""

    def __init__(self, transport: Transport, resource: Resource[T], namespace: str, options: WatchOptions) -> None:
        self._transport = transport
        self._request = watching(resource, namespace, options)
        self._codec = Codec(resource)

    async def batches(self) -> AsyncGenerator[Batch[T], None]:
        """The events of each chunk that arrives, none where a chunk completes no line.

        Ends when the server ends the watch; raises Gone for a version too old, Unreachable when the
        connection breaks off or stalls, ServerFault for a line that is no event.
        """
        begun: list[bytes] = []
        async with aclosing(self._transport.stream(self._request)) as chunks:
            async for chunk in chunks:
                batch, problem = self._events(lines(begun, chunk))
                yield batch
                if problem is not None:
                    raise problem
                if sum(map(len, begun)) > MAX_LINE:
                    raise _nonsense(f"a line longer than {MAX_LINE >> 20} MiB")

    def _events(self, told: list[bytes]) -> tuple[Batch[T], errors.APIError | None]:
        """The events up to the first that is an error, and that error."""
        batch: Batch[T] = []
        for line in told:
            try:
                batch.append(self._event(line))
            except errors.APIError as problem:
                return batch, problem
        return batch, None

    def _event(self, line: bytes) -> Event[T]:
        try:
            event = msgspec.json.decode(line, type=_Line)
        except MALFORMED as problem:
            raise _nonsense(str(problem)) from problem
        if event.type == BOOKMARK:
            return _bookmark(event.object)
        if event.type == "ERROR":
            raise response.from_status(bytes(event.object))
        if event.type not in {ADDED, MODIFIED, DELETED}:
            raise _nonsense(f"an event of type {event.type[:40]!r}")
        decoded = self._codec.attempt(event.object)
        if isinstance(decoded, Undecodable):
            return UndecodableEvent(event.type, decoded.key, decoded.reason, decoded.resource_version)
        return WatchEvent(event.type, decoded)


def _bookmark(raw: msgspec.Raw) -> Bookmark:
    try:
        return Bookmark(msgspec.json.decode(raw, type=Object).metadata.resource_version)
    except MALFORMED as problem:
        raise _nonsense(str(problem)) from problem


def _nonsense(what: str) -> errors.ServerFault:
    return errors.ServerFault(code=200, reason="NotAnEvent", message=f"the watch sent {what}")
