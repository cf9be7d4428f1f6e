"""What a cluster holds of one kind, as far as it told us: readable at any time, never half filled."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from isthmus.kube.codec import Key, key_of

T = TypeVar("T")

Index = Callable[[T], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One object before and after; `None` is "not there".

    `seen` is false where the change was not told by the server, but found by comparing a fresh list with
    what we had: then an absence may also be that of a server which lost its memory. An object that was
    deleted and made again in between is one change, with two UIDs.
    """

    before: T | None
    after: T | None
    seen: bool = True


class Store(Generic[T]):
    """Objects of one kind by namespace and name, and by what the indexes say of them.

    An object that becomes unreadable is named in `undecodable`, and stays here as it last was readable:
    broken is not deleted.
    """

    def __init__(self, indexes: Mapping[str, Index[T]] | None = None) -> None:
        self.resource_version = ""
        self.undecodable: dict[Key, str] = {}
        self._functions = dict(indexes or {})
        # Namespace, then name: no tuple per object, and a namespace is read without looking at the others.
        self._objects: dict[str, dict[str, T]] = {}
        self._indexes: dict[str, dict[str, dict[Key, T]]] = {name: {} for name in self._functions}

    def get(self, name: str, namespace: str = "") -> T | None:
        """The object, if it is there."""
        return self._objects.get(namespace, {}).get(name)

    def all(self, namespace: str | None = None) -> list[T]:
        """All objects, or those of one namespace."""
        if namespace is not None:
            return list(self._objects.get(namespace, {}).values())
        return list(self._every())

    def by(self, index: str, key: str) -> list[T]:
        """The objects to which the index gives this key."""
        return list(self._indexes[index].get(key, {}).values())

    def __len__(self) -> int:
        return sum(map(len, self._objects.values()))

    def put(self, item: T, *, seen: bool = True) -> Change[T] | None:
        """Keep this state of an object; None where nothing changed."""
        namespace, name = key = key_of(item)
        self.undecodable.pop(key, None)
        before = self.get(name, namespace)
        if before == item:
            return None
        if before is not None:
            self._unindex(key, before)
        self._objects.setdefault(namespace, {})[name] = item
        for index, function in self._functions.items():
            for value in function(item):
                self._indexes[index].setdefault(value, {})[key] = item
        return Change(before, item, seen)

    def remove(self, key: Key, *, seen: bool = True) -> Change[T] | None:
        """Drop an object; None where it was not there."""
        namespace, name = key
        self.undecodable.pop(key, None)
        before = self.get(name, namespace)
        if before is None:
            return None
        self._unindex(key, before)
        del self._objects[namespace][name]
        if not self._objects[namespace]:
            del self._objects[namespace]
        return Change(before, None, seen)

    def replace(self, items: Mapping[Key, T], undecodable: Mapping[Key, str]) -> list[Change[T]]:
        """Make this complete list the content, between two reads; the changes that this makes."""
        gone = [key for key in map(key_of, list(self._every())) if key not in items and key not in undecodable]
        changes = [self.remove(key, seen=False) for key in gone]
        changes += [self.put(item, seen=False) for item in items.values()]
        self.undecodable = dict(undecodable)
        return [change for change in changes if change is not None]

    def _every(self) -> Iterator[T]:
        return (item for items in self._objects.values() for item in items.values())

    def _unindex(self, key: Key, item: T) -> None:
        for index, function in self._functions.items():
            values = self._indexes[index]
            for value in function(item):
                values.get(value, {}).pop(key, None)
                if not values.get(value, True):
                    del values[value]
