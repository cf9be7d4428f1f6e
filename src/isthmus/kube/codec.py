"""From bytes to objects of one kind, one by one, so that a bad one spoils nothing but itself."""

import sys
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

import msgspec
from msgspec.structs import force_setattr

from isthmus.api.meta import Object
from isthmus.api.scheme import Manifest, Resource

T = TypeVar("T")

Key = tuple[str, str]

# What hostile bytes make of msgspec: wrong JSON, wrong types, wrong UTF-8, nesting without end.
MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Names(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _Named(msgspec.Struct):
    metadata: _Names = _Names()


class _Page(msgspec.Struct, Generic[T]):
    items: list[T] | None = None


@dataclass(frozen=True, slots=True)
class Undecodable:
    """An object that this version of Isthmus cannot read: which one, why, and its resourceVersion."""

    key: Key
    reason: str
    resource_version: str = ""


class Codec(Generic[T]):
    """Reads the objects of one kind.

    Lists of built-in kinds leave out `apiVersion` and `kind`: they are filled in, so that an object reads
    the same whether it came by list or by watch.
    """

    def __init__(self, resource: Resource[T]) -> None:
        self._resource = resource
        # One string for all, not one for each.
        self._api_version = resource.api_version
        self._decoder = msgspec.json.Decoder(resource.type)

    def decode(self, raw: bytes | msgspec.Raw) -> T:
        """The object; raises one of MALFORMED when the bytes are none of this kind."""
        try:
            decoded = self._decoder.decode(raw)
        except msgspec.ValidationError:
            # To Kubernetes null is the same as absent, and it writes `"endpoints": null`.
            decoded = msgspec.convert(_without_nulls(msgspec.json.decode(raw)), self._resource.type)
        return self.finished(decoded)

    def finished(self, decoded: T) -> T:
        """The object with its kind filled in; strings that thousands of objects repeat are kept once."""
        if isinstance(decoded, Object):
            force_setattr(decoded, "api_version", self._api_version)
            force_setattr(decoded, "kind", self._resource.kind)
            metadata = decoded.metadata
            force_setattr(metadata, "namespace", sys.intern(metadata.namespace))
        elif isinstance(decoded, dict):
            decoded.setdefault("apiVersion", self._api_version)
            decoded.setdefault("kind", self._resource.kind)
            if not isinstance(decoded.setdefault("metadata", {}), dict):
                raise msgspec.ValidationError("Expected `object` - at `$.metadata`")
        return decoded

    def attempt(self, raw: bytes | msgspec.Raw, position: int = 0) -> T | Undecodable:
        """The object, or why it is none; `position` names it where nothing better does."""
        try:
            return self.decode(raw)
        except MALFORMED as problem:
            return _set_aside(raw, str(problem), position)

    def attempt_all(self, page: bytes) -> list[T | Undecodable]:
        """The objects in a page of a list, or why one is none; raises one of MALFORMED where it is no page."""
        try:
            found = msgspec.json.decode(page, type=_Page[self._resource.type]).items  # type: ignore[name-defined]  # at run time
            return [self.finished(each) for each in found or ()]
        except MALFORMED:
            # Twice the time, and all but the bad ones are read.
            raws = msgspec.json.decode(page, type=_Page[msgspec.Raw]).items
            return [self.attempt(raw, position) for position, raw in enumerate(raws or ())]


def key_of(item: object) -> Key:
    """Namespace and name of an object."""
    if isinstance(item, Object):
        return (item.metadata.namespace, item.metadata.name)
    metadata = cast("Manifest", item).get("metadata", {})
    return (str(metadata.get("namespace", "")), str(metadata.get("name", "")))


def version_of(item: object) -> str:
    """The object's resourceVersion."""
    if isinstance(item, Object):
        return item.metadata.resource_version
    return str(cast("Manifest", item).get("metadata", {}).get("resourceVersion", ""))


def _set_aside(raw: bytes | msgspec.Raw, reason: str, position: int) -> Undecodable:
    try:
        names = msgspec.json.decode(raw, type=_Named).metadata
    except MALFORMED:
        return Undecodable(("", f"(item {position})"), reason)
    return Undecodable((names.namespace, names.name), reason, names.resource_version)


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value
