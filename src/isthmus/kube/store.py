"""What a cluster holds of one kind, as far as it told us: readable at any time, never half filled."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Final, Generic, TypeVar, cast

import msgspec

from isthmus.kube.codec import Key, key_of

T = TypeVar("T")

Index = Callable[[T], Iterable[str]]

# Packed objects that were looked at last stay unpacked: what changes, changes again soon.
AT_HAND: Final = 128
# Bytes. Longer ones are compressed too: much in them is said again for each endpoint.
LONG: Final = 1024
# A packed object is a map, whose first byte is never this.
_COMPRESSED: Final = zlib.compress(b"")[:1]


class Change(msgspec.Struct, Generic[T], frozen=True):
    """One object before and after; `None` is "not there".

    `seen` is false where the change was not told by the server, but found by comparing a fresh list with
    what we had: then an absence may also be that of a server which lost its memory. An object that was
    deleted and made again in between is one change, with two UIDs.
    """

    before: T | None
    after: T | None
    seen: bool = True


class Held(msgspec.Struct, frozen=True):
    """One object as a store keeps it, and where it is found there: index names with keys."""

    key: Key
    content: object
    found_by: list[tuple[str, str]]


class Store(Generic[T]):
    """Objects of one kind by namespace and name, and by what the indexes say of them.

    An object that becomes unreadable is named in `undecodable`, and stays here as it last was readable:
    broken is not deleted. With `packed`, the type of the objects, they are kept as MessagePack: a third of the
    memory or less, for some microseconds at a look.
    """

    def __init__(self, indexes: Mapping[str, Index[T]] | None = None, *, packed: type[T] | None = None) -> None:
        self.resource_version = ""
        self.undecodable: dict[Key, str] = {}
        self._functions = dict(indexes or {})
        self._pack = _packer() if packed else None
        self._unpack = lru_cache(AT_HAND)(_unpacker(packed)) if packed else None
        # Namespace, then name: no tuple per object, and a namespace is read without looking at the others.
        self._objects: dict[str, dict[str, object]] = {}
        # By most index keys one object is found: it stands there alone, without a dict of its own.
        self._indexes: dict[str, dict[str, Key | dict[Key, None]]] = {name: {} for name in self._functions}

    def get(self, name: str, namespace: str = "") -> T | None:
        """The object, if it is there."""
        content = self._content((namespace, name))
        return None if content is None else self._read(content)

    def all(self, namespace: str | None = None) -> list[T]:
        """All objects, or those of one namespace."""
        chosen = self._objects.values() if namespace is None else [self._objects.get(namespace, {})]
        return [self._read(content) for objects in chosen for content in objects.values()]

    def by(self, index: str, key: str) -> list[T]:
        """The objects to which the index gives this key."""
        found = self._indexes[index].get(key, {})
        return [self._read(self._content(each)) for each in ([found] if isinstance(found, tuple) else found)]

    def __len__(self) -> int:
        return sum(map(len, self._objects.values()))

    def held(self, item: T) -> Held:
        """What would be kept of this object: for `replace`, so that a long list need not be there whole."""
        content = self._pack(item) if self._pack else item
        return Held(key_of(item), content, self._places(item))

    def put(self, item: T, *, seen: bool = True) -> Change[T] | None:
        """Keep this state of an object; None where nothing changed."""
        held = self.held(item)
        self.undecodable.pop(held.key, None)
        before = self._content(held.key)
        if before == held.content:
            return None
        self._keep(held, before)
        return Change(None if before is None else self._read(before), item, seen)

    def remove(self, key: Key, *, seen: bool = True) -> Change[T] | None:
        """Drop an object; None where it was not there."""
        namespace, name = key
        self.undecodable.pop(key, None)
        before = self._content(key)
        if before is None:
            return None
        self._unindex(key, before)
        del self._objects[namespace][name]
        if not self._objects[namespace]:
            del self._objects[namespace]
        return Change(self._read(before), None, seen)

    def replace(self, listed: Iterable[Held], undecodable: Mapping[Key, str]) -> Iterator[Change[T]]:
        """Make this complete list the content, at once; the changes that this made, one by one."""
        wanted = {held.key: held for held in listed}
        here = [(namespace, name) for namespace, objects in self._objects.items() for name in objects]
        gone = [self.remove(key, seen=False) for key in here if key not in wanted and key not in undecodable]
        changed = [(self._content(key), held) for key, held in wanted.items() if self._content(key) != held.content]
        for before, held in changed:
            self._keep(held, before)
        self.undecodable = dict(undecodable)
        return chain(
            (change for change in gone if change),
            (
                Change(None if before is None else self._read(before), self._read(held.content), seen=False)
                for before, held in changed
            ),
        )

    def _read(self, content: object) -> T:
        return self._unpack(cast("bytes", content)) if self._unpack else cast("T", content)

    def _content(self, key: Key) -> object | None:
        namespace, name = key
        return self._objects.get(namespace, {}).get(name)

    def _keep(self, held: Held, before: object | None) -> None:
        namespace, name = held.key
        if before is not None:
            self._unindex(held.key, before)
        self._objects.setdefault(namespace, {})[name] = held.content
        for index, value in held.found_by:
            found = self._indexes[index].setdefault(value, held.key)
            if isinstance(found, dict):
                found[held.key] = None
            elif found != held.key:
                self._indexes[index][value] = {found: None, held.key: None}

    def _unindex(self, key: Key, content: object) -> None:
        for index, value in self._places(self._read(content)) if self._functions else ():
            found = self._indexes[index].get(value, key)
            if isinstance(found, dict):
                found.pop(key, None)
            if not found or found == key:
                self._indexes[index].pop(value, None)

    def _places(self, item: T) -> list[tuple[str, str]]:
        return [(index, value) for index, function in self._functions.items() for value in function(item)]


def _packer() -> Callable[[object], bytes]:
    encode = msgspec.msgpack.Encoder().encode

    def pack(item: object) -> bytes:
        content = encode(item)
        return content if len(content) <= LONG else zlib.compress(content, 1)

    return pack


def _unpacker(kind: type[T]) -> Callable[[bytes], T]:
    decode = msgspec.msgpack.Decoder(kind).decode
    return lambda content: decode(zlib.decompress(content) if content.startswith(_COMPRESSED) else content)
