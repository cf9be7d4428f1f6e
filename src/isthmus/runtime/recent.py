"""Our own writes, as the server answered them, until the informers have heard of them too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

from isthmus.api.meta import Object
from isthmus.api.scheme import Resource
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.store import Store

T = TypeVar("T")
Key: TypeAlias = tuple[Resource[object], str, str]

# Beyond this many, notes that the stores have overtaken are swept out.
_SWEEP_AT = 4096
# Seconds. A store that has not caught up by then may never do.
_TRUSTED_FOR = 10.0


def key_of(resource: Resource[T], item: T | Mapping[str, object]) -> Key:
    """Which object this is: its kind, namespace and name."""
    return (cast("Resource[object]", resource), meta(item, "namespace"), meta(item, "name"))


def meta(item: object, field: str) -> str:
    """One field of an object's metadata, by its Kubernetes name; empty where it is missing."""
    if isinstance(item, Object):
        return str(getattr(item.metadata, _ATTRIBUTES[field]))
    metadata = cast("Mapping[str, Mapping[str, str]]", item).get("metadata", {})
    return metadata.get(field, "")


_ATTRIBUTES = {"name": "name", "namespace": "namespace", "uid": "uid", "resourceVersion": "resource_version"}


@dataclass(frozen=True, slots=True)
class _Note:
    """What the server answered (None: it deleted `uid`), and when."""

    answer: object | None
    uid: str
    at: float


class Recent:
    """Read your own writes: a reconciler must not decide on a store that has not yet heard of its last run.

    Versions are compared as numbers, as Kubernetes allows for objects of one kind (KEP-5504).
    A version that is no number is not remembered: then a needless write may follow, never a wrong one.
    A complete list is believed, whatever was noted: its server may have gone back in time.
    """

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._stores: dict[Resource[object], Store[object]] = {}
        self._notes: dict[Key, _Note] = {}

    def follow(self, resource: Resource[T], store: Store[T]) -> None:
        """Remember writes to this kind until `store` has caught up with them."""
        self._stores[cast("Resource[object]", resource)] = cast("Store[object]", store)

    def forget(self, resource: Resource[T]) -> None:
        """The store holds a new complete list."""
        self._notes = {key: note for key, note in self._notes.items() if key[0] != resource}

    def wrote(self, key: Key, answer: object) -> None:
        """The server answered `answer` to a write of ours."""
        known = self._notes.get(key)
        if known is None or known.answer is None or _version(answer) >= _version(known.answer):
            self._note(key, answer, meta(answer, "uid"))

    def deleted(self, key: Key, uid: str) -> None:
        """The server took our deletion of the object with this uid."""
        self._note(key, None, uid)

    def current(self, key: Key, seen: T | None) -> T | None:
        """What `seen`, read from a store, would be if the store had heard of our writes."""
        note = self._notes.get(key)
        if note is None:
            return seen
        is_newer = note.answer is not None and seen is not None and _version(seen) >= _version(note.answer)
        if self._is_overtaken(key, note):
            del self._notes[key]
            return seen if note.answer is None or is_newer else self._heard(key, seen)
        if note.answer is None:
            return seen if seen is None or meta(seen, "uid") != note.uid else None
        return seen if is_newer else cast("T", note.answer)

    def _heard(self, key: Key, seen: T | None) -> T | None:
        """What the store says now: `seen` may have been read from it before it heard of our write."""
        store = self._stores.get(key[0])
        return seen if store is None else cast("T | None", store.get(key[2], key[1]))

    def _note(self, key: Key, answer: object | None, uid: str) -> None:
        if len(self._notes) > _SWEEP_AT:
            self._notes = {k: note for k, note in self._notes.items() if not self._is_overtaken(k, note)}
        self._notes[key] = _Note(answer, uid, self._clock.monotonic())

    def _is_overtaken(self, key: Key, note: _Note) -> bool:
        if self._clock.monotonic() - note.at > _TRUSTED_FOR:
            return True
        if note.answer is None:
            return False
        store, version = self._stores.get(key[0]), _version(note.answer)
        return store is None or version < 0 or _number(store.resource_version) >= version


def _version(item: object) -> int:
    return _number(meta(item, "resourceVersion"))


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else -1
