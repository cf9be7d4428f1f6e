"""Whether an object has to be written: what is wanted, against what is seen."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

import msgspec

from isthmus.api.meta import Object, ObjectMeta
from isthmus.api.scheme import Manifest, Resource

T = TypeVar("T")

# What the server writes into metadata, or what the key already says.
_METADATA_OF_OURS = ("labels", "annotations", "ownerReferences", "finalizers")
_NOT_APPLIED = ("apiVersion", "kind", "status")


@dataclass(frozen=True, slots=True)
class Applied:
    """What was applied last: its digest, the fields it set, and the version the server gave to the result."""

    digest: bytes
    fields: frozenset[str]
    version: str


def digest(manifest: Manifest) -> bytes:
    """The same for the same content, whatever the order of keys."""
    return hashlib.blake2b(msgspec.json.encode(manifest, order="deterministic"), digest_size=16).digest()


def fields(manifest: Manifest, prefix: str = "") -> frozenset[str]:
    """The paths of all fields that a manifest sets; a list is one field."""
    paths: set[str] = set()
    for key, value in manifest.items():
        path = f"{prefix}/{key}"
        paths |= fields(value, path) if isinstance(value, dict) and value else {path}
    return frozenset(paths)


def body(resource: Resource[T], wanted: T | Manifest, *, subresource: str = "") -> Manifest:
    """The manifest to apply: only fields we own; with a subresource, only that part."""
    manifest = cast("Manifest", msgspec.to_builtins(wanted))
    metadata = {k: v for k, v in manifest.get("metadata", {}).items() if k in {"name", "namespace"}}
    head: Manifest = {"apiVersion": resource.api_version, "kind": resource.kind}
    if subresource:
        return head | {"metadata": metadata, subresource: manifest.get(subresource, {})}
    metadata |= {k: v for k, v in manifest.get("metadata", {}).items() if k in _METADATA_OF_OURS}
    rest = {k: v for k, v in manifest.items() if k not in _NOT_APPLIED}
    return head | rest | {"metadata": metadata}


def is_same(resource: Resource[T], wanted: T | Manifest, seen: T, *, subresource: str = "") -> bool:
    """Whether two versions agree in all that is applied and that the wire type of the kind knows."""
    if isinstance(wanted, dict) and issubclass(resource.type, Object):
        try:
            wanted = msgspec.convert(wanted, resource.type)
        except msgspec.ValidationError:
            return False  # a part of an object need not be one
    if isinstance(wanted, Object) and isinstance(seen, Object):
        if subresource:
            return bool(getattr(wanted, subresource) == getattr(seen, subresource))
        return _bare(wanted) == _bare(seen)
    return body(resource, wanted, subresource=subresource) == body(resource, seen, subresource=subresource)


def _bare(item: Object) -> Object:
    kept = ObjectMeta(
        labels=item.metadata.labels,
        annotations=item.metadata.annotations,
        owner_references=item.metadata.owner_references,
        finalizers=item.metadata.finalizers,
    )
    without: dict[str, object] = {"api_version": "", "kind": "", "metadata": kept}
    if hasattr(item, "status"):
        without["status"] = None
    return msgspec.structs.replace(item, **without)


def plain(item: object) -> object:
    """All that the wire type knows of an object, fields at their defaults included, by their wire names."""
    if isinstance(item, msgspec.Struct):
        names = zip(item.__struct_fields__, item.__struct_encode_fields__, strict=True)
        return {wire: plain(getattr(item, name)) for name, wire in names}
    if isinstance(item, Mapping):
        return {key: plain(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [plain(value) for value in item]
    return msgspec.to_builtins(item)


def covers(seen: object, wanted: object) -> bool:
    """Whether `seen` holds all of `wanted`; maps may hold more, unless none at all is wanted; lists may not."""
    if isinstance(wanted, Mapping) and not wanted:
        return not seen
    if isinstance(wanted, Mapping):
        return isinstance(seen, Mapping) and all(
            key in seen and covers(seen[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(seen, list | tuple)
            and len(seen) == len(wanted)
            and all(covers(left, right) for left, right in zip(seen, wanted, strict=True))
        )
    return seen == wanted
