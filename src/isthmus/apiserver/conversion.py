"""From the version that is stored to the version that is served, and back.

Versions of a custom resource share their fields (strategy None): only `apiVersion` differs, and what the
other version's schema does not know. Events of the two groups differ in names.
"""

import functools

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin import canonical
from isthmus.apiserver.kinds import EVENTS_GROUP, Kind
from isthmus.apiserver.schema import fill_defaults, prune
from isthmus.apiserver.storage import Record

_encode = msgspec.json.Encoder().encode

# events.k8s.io/v1 on the left, v1 on the right.
EVENT_NAMES = {
    "note": "message",
    "regarding": "involvedObject",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "reportingController": "reportingComponent",
}


@functools.lru_cache(maxsize=1024)
def _head(api_version: str) -> bytes:
    return b'{"apiVersion":' + _encode(api_version) + b","


def as_served(record: Record, kind: Kind) -> bytes:
    """The record's bytes as `kind`'s version shows them; the stored bytes themselves whenever possible."""
    head = _head(kind.api_version)
    if record.revision >= kind.since:
        if record.body.startswith(head):
            return record.body
        if kind.custom and kind.schema is kind.stored_schema:
            return head + record.body[record.body.index(b",") + 1 :]
    return _encode(served(record.manifest(), kind))


def served(manifest: Manifest, kind: Kind) -> Manifest:
    """An object out of the storage as `kind`'s version has it."""
    if kind.custom and kind.schema is not None:
        manifest["apiVersion"] = kind.api_version
        prune(manifest, kind.schema)
        fill_defaults(manifest, kind.schema)
    if manifest.get("apiVersion") == kind.api_version:
        return manifest
    if kind.group == EVENTS_GROUP:
        manifest = _renamed(manifest, {core: new for new, core in EVENT_NAMES.items()})
    manifest["apiVersion"] = kind.api_version
    if kind.group == EVENTS_GROUP and kind.schema is not None:
        canonical(manifest, kind.schema)
    return manifest


def stored(manifest: Manifest, kind: Kind) -> Manifest:
    """An object of `kind`'s version as the storage keeps it."""
    if kind.group == EVENTS_GROUP:
        event = _renamed(manifest, EVENT_NAMES) | {"apiVersion": "v1"}
        if kind.stored_schema is not None:
            canonical(event, kind.stored_schema)
        return event
    if manifest.get("apiVersion") != kind.stored_api_version:
        manifest["apiVersion"] = kind.stored_api_version
        if kind.custom and kind.stored_schema is not None:
            prune(manifest, kind.stored_schema)
            fill_defaults(manifest, kind.stored_schema)
    return manifest


def _renamed(manifest: Manifest, names: dict[str, str]) -> Manifest:
    return {names.get(field, field): value for field, value in manifest.items()}
