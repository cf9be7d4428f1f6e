"""Rules for the metadata of every object."""

import re
from collections.abc import Iterator

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin.names import (
    NameRule,
    key_faults,
    label_faults,
    name_faults,
    namespace_faults,
    path_segment_faults,
    value_faults,
)
from isthmus.apiserver.causes import forbidden, required, shown, too_long, under, wrong
from isthmus.apiserver.schema import Cause

MAX_ANNOTATIONS = 256 * 1024
STANDARD_FINALIZERS = {"kubernetes", "orphan", "foregroundDeletion"}
IMMUTABLE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
NAME_RULES: dict[str, NameRule] = {
    "Namespace": namespace_faults,
    "Service": label_faults,
    "StatefulSet": label_faults,
    **dict.fromkeys(("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"), path_segment_faults),
}


def metadata_faults(obj: Manifest, old: Manifest | None, *, namespaced: bool) -> Iterator[Cause]:
    """Every fault in an object's metadata."""
    metadata = obj.get("metadata") or {}
    if old is None:
        yield from _name_faults(obj, metadata, namespaced=namespaced)
    else:
        before = old.get("metadata") or {}
        for field in IMMUTABLE:
            if metadata.get(field) != before.get(field):
                yield wrong(f"metadata.{field}", metadata.get(field), "field is immutable")
    if metadata.get("generation", 0) < 0:
        yield wrong("metadata.generation", metadata["generation"], "must be greater than or equal to 0")
    yield from label_set_faults(metadata.get("labels"), "metadata.labels")
    yield from annotation_faults(metadata.get("annotations"), "metadata.annotations")
    yield from _owner_faults(metadata.get("ownerReferences") or [])
    yield from _finalizer_faults(metadata.get("finalizers") or [])


def _name_faults(obj: Manifest, metadata: Manifest, *, namespaced: bool) -> Iterator[Cause]:
    rule = NAME_RULES.get(str(obj.get("kind")), name_faults)
    stem, name = metadata.get("generateName", ""), metadata.get("name", "")
    if stem:
        # What is generated goes on after a dash.
        shape = re.sub(r"-+$", "", stem) + "a" if stem.endswith("-") else stem
        yield from (wrong("metadata.generateName", stem, fault) for fault in rule(shape))
    if not name:
        yield required("metadata.name", "name or generateName is required")
        return
    yield from (wrong("metadata.name", name, fault) for fault in rule(name) or path_segment_faults(name))
    if not namespaced and metadata.get("namespace"):
        yield forbidden("metadata.namespace", "not allowed on this type")


def label_set_faults(labels: Manifest | None, path: str) -> Iterator[Cause]:
    """Faults in a map of labels."""
    for key, value in (labels or {}).items():
        yield from (wrong(path, key, fault) for fault in key_faults(key))
        yield from (wrong(path, value, fault) for fault in value_faults(value))


def annotation_faults(annotations: Manifest | None, path: str) -> Iterator[Cause]:
    """Faults in a map of annotations; their keys may have capitals in the prefix."""
    size = 0
    for key, value in (annotations or {}).items():
        yield from (wrong(path, key, fault) for fault in key_faults(key.lower()))
        size += len(key.encode()) + len(value.encode())
    if size > MAX_ANNOTATIONS:
        yield too_long(path, MAX_ANNOTATIONS)


def _owner_faults(owners: list[Manifest]) -> Iterator[Cause]:
    path = "metadata.ownerReferences"
    controllers = [owner for owner in owners if owner.get("controller")]
    for owner in owners:
        if not owner.get("apiVersion"):
            yield wrong(under(path, "apiVersion"), "", "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                yield wrong(under(path, field), "", "must not be empty")
        if owner.get("kind") == "Event" and owner.get("apiVersion") in {"v1", "events.k8s.io/v1"}:
            message = f"{_slashed(owner['apiVersion'])}, Kind=Event is disallowed from being an owner"
            yield Cause(path, "FieldValueInvalid", f"Invalid value: {_plain(owner)}: {message}")
    if len(controllers) > 1:
        first, second = (f"{owner.get('kind')}/{owner.get('name')}" for owner in controllers[:2])
        message = (
            f'Only one reference can have Controller set to true. Found "true" in references for {first} and {second}'
        )
        listed = ",".join(_plain(owner) for owner in owners)
        yield Cause(path, "FieldValueInvalid", f"Invalid value: [{listed}]: {message}")


def _slashed(api_version: str) -> str:
    return api_version if "/" in api_version else f"/{api_version}"


def _plain(owner: Manifest) -> str:
    # In the order of the Go struct.
    order = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
    return "{" + ",".join(f"{shown(key)}:{shown(owner[key])}" for key in order if key in owner) + "}"


def _finalizer_faults(finalizers: list[str]) -> Iterator[Cause]:
    for index, name in enumerate(finalizers):
        yield from (wrong("metadata.finalizers", name, fault) for fault in key_faults(name))
        if "/" not in name and name not in STANDARD_FINALIZERS:
            message = "name is neither a standard finalizer name nor is it fully qualified"
            yield wrong(f"metadata.finalizers[{index}]", name, message)
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        message = "finalizer orphan and foregroundDeletion cannot be both set"
        yield wrong("metadata.finalizers", finalizers, message)
