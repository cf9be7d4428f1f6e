"""Every object of one cluster at its latest version, as encoded bytes, in memory and on disk.

The resourceVersion is one integer that rises with each write, whatever the kind. Bytes are the truth: who
wants to look inside decodes a copy of its own, so nobody can change an object by accident.
"""

import bisect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver.disk import Disk
from isthmus.apiserver.watchers import Window

Key: TypeAlias = tuple[str, str]
ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
NO_LABELS: Mapping[str, str] = {}

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Owner(msgspec.Struct):
    uid: str = ""


class _Metadata(msgspec.Struct, rename="camel"):
    uid: str = ""
    labels: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None
    deletion_timestamp: str | None = None


class _Head(msgspec.Struct):
    metadata: _Metadata


_decode_head = msgspec.json.Decoder(_Head).decode


class Record:
    """One version of one object; never changes."""

    __slots__ = ("_fields", "body", "dying", "key", "labels", "owners", "revision", "uid")

    def __init__(self, key: Key, revision: int, body: bytes) -> None:
        metadata = _decode_head(body).metadata
        self.key = key
        self.revision = revision
        self.body = body
        self.uid = metadata.uid
        self.labels = metadata.labels or NO_LABELS
        self.owners = tuple(owner.uid for owner in metadata.owner_references or ())
        self.dying = metadata.deletion_timestamp is not None
        self._fields: Mapping[str, str] | None = None

    def manifest(self) -> Manifest:
        """A fresh copy of the object, to read or to change."""
        manifest: Manifest = _decode(self.body)
        return manifest

    def fields(self, pick: Callable[[Manifest], Mapping[str, str]]) -> Mapping[str, str]:
        """What field selectors may ask for, decoded once however many watchers ask."""
        if self._fields is None:
            self._fields = pick(self.manifest())
        return self._fields


@dataclass(frozen=True, slots=True)
class Change:
    """One write: `record` is the state after it, for DELETED the last one; `before` the state it replaced."""

    revision: int
    type: str
    record: Record
    before: Record | None


Listener: TypeAlias = Callable[[Change], None]


class Collection:
    """All objects of one kind, in the order of (namespace, name)."""

    def __init__(self, name: str, window: Window[Change]) -> None:
        self.name = name
        self.window = window
        self.records: dict[Key, Record] = {}
        self.keys: list[Key] = []
        self.listeners: list[Listener] = []

    def get(self, key: Key) -> Record | None:
        """The object's latest version."""
        return self.records.get(key)

    def within(self, namespace: str | None = None) -> Iterator[Record]:
        """All objects, or those of one namespace, in order."""
        start, end = 0, len(self.keys)
        if namespace is not None:
            start = bisect.bisect_left(self.keys, (namespace, ""))
            end = bisect.bisect_left(self.keys, (namespace + "\0", ""))
        return map(self.records.__getitem__, self.keys[start:end])

    def at(self, revision: int, namespace: str | None = None) -> list[Record]:
        """All objects as they were at `revision`: the present, with every change since then undone.

        Raises Gone when `revision` is older than the changes that are still known.
        """
        since = self.window.since(revision)
        if not since:
            return list(self.within(namespace))
        past = {record.key: record for record in self.within(namespace)}
        for change in reversed(since):
            if change.before is None:
                past.pop(change.record.key, None)
            elif namespace is None or change.record.key[0] == namespace:
                past[change.record.key] = change.before
        return [past[key] for key in sorted(past)]

    def admit(self, change: Change) -> None:
        """Make a change that is safely on disk visible to readers, listeners and watchers."""
        key = change.record.key
        if change.type == DELETED:
            del self.records[key]
            del self.keys[bisect.bisect_left(self.keys, key)]
        else:
            if change.before is None:
                bisect.insort(self.keys, key)
            self.records[key] = change.record
        for listener in self.listeners:
            listener(change)
        self.window.add(change.revision, change)


class Storage:
    """The collections, and the one counter that orders all writes."""

    def __init__(self, disk: Disk | None, window: int) -> None:
        self._disk = disk
        self._window = window
        self.listeners: list[Callable[[Collection, Change], None]] = []
        self._collections: dict[str, Collection] = {}
        self.revision = self._start = 0
        if disk is not None:
            self._restore(disk)
        # Zero means "any version" to clients. What happened before this start is not known any more.
        self.revision = self._start = max(self.revision, 1)
        for collection in self._collections.values():
            collection.window.restart(self.revision)

    def _restore(self, disk: Disk) -> None:
        self.revision = disk.revision()
        for name, namespace, object_name, revision, body in disk.rows():
            collection = self.collection(name)
            record = Record((namespace, object_name), revision, body)
            collection.records[record.key] = record
            self.revision = max(self.revision, revision)
        for collection in self._collections.values():
            collection.keys = sorted(collection.records)

    def collection(self, name: str) -> Collection:
        """The collection called `name`, made when first asked for."""
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(name, Window(self._window, self._start))
        return found

    def collections(self) -> list[Collection]:
        """All that were ever asked for."""
        return list(self._collections.values())

    def put(self, collection: Collection, key: Key, manifest: Manifest) -> Record:
        """Write one object; when this returns it survives the process. Sets its resourceVersion.

        Raises OSError when the disk is full or broken; then nothing has changed.
        """
        revision = self.revision + 1
        record = Record(key, revision, encode(manifest, revision))
        if self._disk is not None:
            self._disk.put(collection.name, key, revision, record.body)
        self.revision = revision
        before = collection.records.get(key)
        self._admit(collection, Change(revision, MODIFIED if before else ADDED, record, before))
        return record

    def remove(self, collection: Collection, key: Key) -> Record:
        """Delete one object; what is returned is its last state, under the version of its deletion."""
        before = collection.records[key]
        revision = self.revision + 1
        if self._disk is not None:
            self._disk.remove(collection.name, key, revision)
        self.revision = revision
        record = Record(key, revision, encode(before.manifest(), revision))
        self._admit(collection, Change(revision, DELETED, record, before))
        return record

    def _admit(self, collection: Collection, change: Change) -> None:
        collection.admit(change)
        for listener in self.listeners:
            listener(collection, change)

    def drop(self, name: str) -> None:
        """Forget an empty collection, and end its watches."""
        if (collection := self._collections.pop(name, None)) is not None:
            collection.window.close()

    def limit_disk(self, size: int) -> None:
        """Let the file grow to `size` bytes and no further; nothing for one in memory."""
        if self._disk is not None:
            self._disk.limit(size)

    def end_watches(self) -> None:
        """Let every watch end."""
        for collection in self._collections.values():
            collection.window.close()

    def close(self) -> None:
        """Close the file."""
        if self._disk is not None:
            self._disk.close()


def encode(manifest: Manifest, revision: int) -> bytes:
    """The object's bytes at `revision`, which it sets."""
    manifest["metadata"]["resourceVersion"] = str(revision)
    return encode_unversioned(manifest)


def encode_unversioned(manifest: Manifest) -> bytes:
    """The object's bytes, `apiVersion` and `kind` first: who serves another version exchanges the start."""
    head = {"apiVersion": manifest.get("apiVersion"), "kind": manifest.get("kind")}
    return _encode(head | manifest)
