"""Who owns which field: managedFields read and written, and conflicts between owners in words.

KEP-555. Entries of all versions of a kind are read alike: versions of one kind here differ in nothing but
their name (conversion strategy None).
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from isthmus.api.scheme import Manifest
from isthmus.apiserver import fieldset
from isthmus.apiserver.fieldset import FieldSet
from isthmus.errors import Conflict, Invalid

MAX_UPDATERS = 10


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What tells entries of managedFields apart."""

    operation: str
    manager: str
    api_version: str
    subresource: str

    def __str__(self) -> str:
        through = f" with subresource {_quoted(self.subresource)}" if self.subresource else ""
        using = f" using {self.api_version}" if self.operation == "Update" else ""
        return f"{_quoted(self.manager)}{through}{using}"


@dataclass(frozen=True, slots=True)
class Entry:
    """What one manager owns, in the version it last wrote."""

    fields: FieldSet
    api_version: str
    time: str


Owners = dict[Key, Entry]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def timestamp(now: datetime) -> str:
    """A moment as Kubernetes writes it: UTC, whole seconds."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def owners_of(obj: Manifest | None) -> Owners:
    """The object's managedFields, read. Raises Invalid where an entry makes no sense."""
    owners: Owners = {}
    for entry in _entries(obj):
        operation, version = entry.get("operation"), str(entry.get("apiVersion") or "")
        if operation not in {"Apply", "Update"} or not version or entry.get("fieldsType") != "FieldsV1":
            raise Invalid("metadata.managedFields: an entry lacks operation, apiVersion or fieldsType")
        booked = "" if operation == "Apply" else version
        key = Key(operation, str(entry.get("manager") or ""), booked, str(entry.get("subresource") or ""))
        fields = fieldset.decode(entry.get("fieldsV1") or {})
        owners[key] = Entry(fields, version, str(entry.get("time") or ""))
    return owners


def _entries(obj: Manifest | None) -> list[Manifest]:
    found = ((obj or {}).get("metadata") or {}).get("managedFields") or []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise Invalid("metadata.managedFields: a list of entries is expected")
    return found


def with_owners(obj: Manifest, owners: Owners) -> Manifest:
    """The object with these managedFields, and no others."""
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key != "managedFields"}
    ordered = sorted(owners.items(), key=lambda item: (item[0].operation, item[1].time, item[0]))
    if owners:
        metadata["managedFields"] = [_entry(key, entry) for key, entry in ordered]
    return {**obj, "metadata": metadata}


def _entry(key: Key, entry: Entry) -> Manifest:
    written = {
        "manager": key.manager,
        "operation": key.operation,
        "apiVersion": entry.api_version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fieldset.encode(entry.fields),
        "subresource": key.subresource,
    }
    return {name: value for name, value in written.items() if value or name == "fieldsV1"}


def unmanaged(obj: Manifest) -> Manifest:
    """The object without managedFields."""
    metadata = obj.get("metadata") or {}
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def capped(owners: Owners) -> Owners:
    """At most MAX_UPDATERS entries of updates: the oldest of a version are folded into one."""
    updaters = sorted((key for key in owners if key.operation == "Update"), key=lambda key: (owners[key].time, key))
    owners = dict(owners)
    first: dict[str, Key] = {}
    excess = len(updaters) - MAX_UPDATERS
    for key in updaters:
        if excess <= 0:
            break
        bucket = Key("Update", "ancient-changes", key.api_version, "")
        if key.api_version not in first:
            first[key.api_version] = key
            continue
        if bucket not in owners:
            owners[bucket] = owners.pop(first[key.api_version])
        entry = owners.pop(key)
        owners[bucket] = replace(entry, fields=entry.fields | owners[bucket].fields)
        excess -= 1
    return owners


def conflict(conflicts: dict[Key, FieldSet]) -> Conflict:
    """The 409 for an apply that would change fields of others; its causes name manager and field."""
    ordered = sorted(conflicts, key=lambda key: (key.manager, key.operation, key.api_version, key.subresource))
    listed = [(key, fieldset.readable(path)) for key in ordered for path in fieldset.in_order(conflicts[key])]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {key}", "field": path} for key, path in listed
    ]
    if len(listed) == 1:
        message = f"Apply failed with 1 conflict: conflict with {listed[0][0]}: {listed[0][1]}"
    else:
        lines: list[str] = []
        for key in ordered:
            lines.append(f"conflicts with {key}:")
            lines.extend(f"- {path}" for other, path in listed if other == key)
        message = f"Apply failed with {len(listed)} conflicts: " + "\n".join(lines)
    return Conflict(code=409, reason="Conflict", message=message, details={"causes": causes})
