"""Server-side apply, and the record that all other writes leave of who changed which field.

KEP-555, "Apply".
"""

import copy
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from isthmus.api.scheme import Manifest
from isthmus.apiserver import fieldset
from isthmus.apiserver.builtin import canonical
from isthmus.apiserver.fieldset import FieldSet, fields_of, with_named, without
from isthmus.apiserver.merge import difference, merged, same
from isthmus.apiserver.owners import Entry, Key, Owners, capped, conflict, owners_of, timestamp, unmanaged, with_owners
from isthmus.apiserver.schema import Schema
from isthmus.apiserver.typed import type_faults
from isthmus.errors import Invalid, Refused

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_FAULTS = 20
# What belongs to nobody: identity, and what the server itself writes.
UNOWNED = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            *("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName"),
            *("generation", "managedFields", "resourceVersion"),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, when, through which subresource; `has_status`: the kind's status is a subresource."""

    manager: str
    now: datetime
    subresource: str = ""
    force: bool = False
    has_status: bool = True
    api_version: str = ""

    def key(self, operation: str, api_version: str) -> Key:
        """Under which entry this write is booked. An applier has one entry, whatever the version."""
        version = "" if operation == "Apply" else api_version
        return Key(operation, self.manager or "unknown", version, self.subresource)


# What a status's writer may not touch, beyond the spec.
STATUS_RESETS: dict[str, list[fieldset.Path]] = {
    "": [("f:metadata",)],
    "Pod": [("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences")],
    "Deployment": [("f:metadata", "f:labels")],
}


def _resets(schema: Schema | None, writer: Writer) -> FieldSet:
    """What this way of writing never writes, so that nobody comes to own it by it."""
    if not writer.subresource:
        return frozenset({("f:status",)} if writer.has_status else ())
    if writer.subresource != "status":
        return frozenset()
    return frozenset([("f:spec",), *STATUS_RESETS.get("" if schema is None else schema.name, [])])


def _filtered(fields: Iterable[fieldset.Path], resets: FieldSet) -> FieldSet:
    return frozenset(path for path in fields if not any(path[:length] in resets for length in range(1, len(path) + 1)))


def _empty(like: Manifest, schema: Schema | None) -> Manifest:
    # A built-in that is not there is Go's zero struct, whose own structs nobody owns.
    empty: Manifest = {key: like[key] for key in ("apiVersion", "kind") if key in like}
    if schema is not None and schema.name:
        canonical(empty, schema)
    return empty


def track(old: Manifest | None, new: Manifest, schema: Schema | None, writer: Writer) -> Manifest:
    """`new` with managedFields that say who wrote what, for create, update and patch.

    `old` is the live object, None on create. A `new` that comes with managedFields `[]` (or one empty
    entry) forgets all owners; one that comes with none keeps those of `old`.
    """
    owners = _sent_owners(old, new, writer)
    new = unmanaged(new)
    if not owners and old is not None:
        # Once nobody is tracked, only an apply starts the record again.
        return new
    before = unmanaged(old) if old is not None else _empty(new, schema)
    try:
        return with_owners(new, _updated(before, new, schema, writer, owners))
    except Invalid:
        # A list whose items lack their keys: its schema refuses it next, in better words.
        return with_owners(new, owners)


def _sent_owners(old: Manifest | None, new: Manifest, writer: Writer) -> Owners:
    sent = (new.get("metadata") or {}).get("managedFields")
    if not writer.subresource and sent in ([], [{}]):
        return {}
    for source in (None if writer.subresource else new, old):
        try:
            owners = owners_of(source)
        except Invalid:
            # As the real server: what cannot be read is taken for not sent.
            continue
        if owners:
            return owners
    return {}


def _updated(before: Manifest, after: Manifest, schema: Schema | None, writer: Writer, owners: Owners) -> Owners:
    """The owners once `writer` made `after` of `before` by an update."""
    changed = difference(before, after, schema)
    resets = _resets(schema, writer)
    taken = _filtered(changed.added | changed.modified, resets)
    gone = _filtered(changed.removed, resets)
    kept = {key: replace(entry, fields=entry.fields - taken - gone) for key, entry in owners.items()}
    api_version = writer.api_version or str(after.get("apiVersion", ""))
    key = writer.key("Update", api_version)
    if mine := taken - UNOWNED:
        held = kept[key].fields if key in kept else frozenset()
        # Kubernetes books a scale without its time.
        time = "" if writer.subresource == "scale" else timestamp(writer.now)
        kept[key] = Entry(held | mine, api_version, time)
    return capped({key: entry for key, entry in kept.items() if entry.fields})


def apply(live: Manifest | None, applied: Manifest, schema: Schema | None, writer: Writer) -> Manifest:
    """`applied` merged into `live` by server-side apply, with managedFields.

    Raises Conflict (409) if another manager owns a field that would change and `writer` does not force,
    Refused (400) for a manifest that brings managedFields, (500) one that the schema cannot type.
    """
    if (applied.get("metadata") or {}).get("managedFields") is not None:
        raise Refused(code=400, reason="BadRequest", message="metadata.managedFields must be nil")
    base = _empty(applied, schema) if live is None else unmanaged(live)
    owners = owners_of(live)
    if live is not None and not owners:
        # Fields from before the record began count as one manager's, so that they conflict like others.
        first = replace(writer, manager="before-first-apply", subresource="")
        owners = _updated(_empty(live, schema), base, schema, first, {})
    result, settled, conflicts = _applied(base, applied, schema, writer, owners)
    if conflicts and not writer.force:
        left = _beyond_last_applied(conflicts, base, schema, writer)
        if left:
            raise conflict(left)
    if same(result, base):
        # The time is of the last change: an apply that changes nothing keeps it, or has none.
        times = {key: entry.time for key, entry in owners.items()}
        settled = {key: replace(entry, time=times.get(key, "")) for key, entry in settled.items()}
        result = base
    if writer.manager == "kubectl":
        result = _with_last_applied(result, applied)
    return with_owners(result, settled)


def _applied(
    base: Manifest, applied: Manifest, schema: Schema | None, writer: Writer, owners: Owners
) -> tuple[Manifest, Owners, dict[Key, FieldSet]]:
    """The merged object, the owners after it, and whose fields it changed."""
    api_version = str(applied.get("apiVersion", ""))
    key = writer.key("Apply", api_version)
    resets = _resets(schema, writer)
    last = owners[key].fields if key in owners else frozenset()
    mine = _filtered(_typed_fields(applied, schema), resets)
    owners = {**owners, key: Entry(mine, api_version, timestamp(writer.now))}
    result = _forgotten(merged(base, applied, schema), last, owners, schema)
    changed = difference(base, result, schema)
    touched = _filtered(changed.added | changed.modified, resets)
    gone = _filtered(changed.removed, resets)
    others = {other: entry for other, entry in owners.items() if other != key}
    conflicts = {other: entry.fields & touched for other, entry in others.items() if entry.fields & touched}
    settled = {other: replace(entry, fields=entry.fields - touched - gone) for other, entry in others.items()}
    settled[key] = replace(owners[key], fields=mine - UNOWNED)
    return result, {other: entry for other, entry in settled.items() if entry.fields}, conflicts


def _typed_fields(applied: Manifest, schema: Schema | None) -> FieldSet:
    faults = list(itertools.islice(type_faults(applied, schema), MAX_FAULTS))
    if faults:
        metadata = applied.get("metadata") or {}
        group, _, version = str(applied.get("apiVersion", "")).rpartition("/")
        about = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {group}/{version}, Kind={applied['kind']}"
        said = faults[0] if len(faults) == 1 else "\n  ".join(["errors:", *faults])
        # The code is Kubernetes'.
        raise Refused(code=500, reason="", message=f"failed to create typed patch object ({about}): {said}")
    return fields_of(applied, schema)


def _forgotten(combined: object, last: FieldSet, owners: Owners, schema: Schema | None) -> Manifest:
    """The merged object less what its applier no longer applies and nobody owns."""
    if last and isinstance(combined, dict):
        last = with_named(last, schema)
        pruned = _object(without(combined, last, schema))
        owned = frozenset(path for entry in owners.values() for path in entry.fields)
        claimed = with_named(owned, schema)
        everything = with_named(fields_of(combined, schema), schema)
        left = with_named(fields_of(pruned, schema), schema)
        pruned = _object(without(combined, everything - (left | claimed), schema))
        left = with_named(fields_of(pruned, schema), schema)
        # What nobody owned, or only came along with an item of ours, was not ours to remove.
        combined = without(combined, (everything - left) & last, schema)
    return _object(combined)


def _object(value: object) -> Manifest:
    return value if isinstance(value, dict) else {}


def _beyond_last_applied(
    conflicts: dict[Key, FieldSet], base: Manifest, schema: Schema | None, writer: Writer
) -> dict[Key, FieldSet]:
    """The conflicts left once kubectl takes over what it set by client-side apply before."""
    text = ((base.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if writer.manager != "kubectl" or not text:
        return conflicts
    try:
        last = json.loads(text)
    except ValueError:
        return conflicts
    if not isinstance(last, dict) or last.get("apiVersion") != base.get("apiVersion"):
        return conflicts
    changed = difference(last, base, schema)
    allowed = fields_of(last, schema) - changed.added - changed.modified - changed.removed
    # If anything is left, the sentence names only that.
    return {key: fields - allowed for key, fields in conflicts.items() if fields - allowed}


def _with_last_applied(result: Manifest, applied: Manifest) -> Manifest:
    annotations = (result.get("metadata") or {}).get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return result
    sent = copy.deepcopy(applied)
    (sent.get("metadata", {}).get("annotations") or {}).pop(LAST_APPLIED, None)
    text = json.dumps(sent, separators=(",", ":"), sort_keys=True) + "\n"
    return {**result, "metadata": {**result["metadata"], "annotations": {**annotations, LAST_APPLIED: text}}}
