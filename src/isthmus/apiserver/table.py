"""Tables, as `kubectl get` prints them: which columns a kind has, and what an object shows in them."""

import functools
import json
from datetime import datetime
from importlib.resources import files

from isthmus.api.scheme import Manifest
from isthmus.apiserver import builtin, columns, jsonpath
from isthmus.apiserver.cells import Cell, age_of
from isthmus.apiserver.kinds import Column, Kind

CREATED_TOLD = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
TYPES: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "boolean": (bool,)}
COMPLETED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
# What a custom kind without columns of its own shows.
CREATED = Column("Age", "date", ".metadata.creationTimestamp", description=CREATED_TOLD)
NAME: Manifest = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": (
        "Name must be unique within a namespace. Is required when creating resources, although some resources may "
        "allow a client to request the generation of an appropriate name automatically. Name is primarily intended "
        "for creation idempotence and configuration definition. Cannot be updated. More info: "
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
    ),
    "priority": 0,
}


def columns_of(kind: Kind) -> list[Manifest]:
    """The column definitions of a kind's table; those of built-in kinds as a real server has them."""
    if kind.custom:
        return [NAME, *map(_definition, kind.columns or (CREATED,))]
    return _printed().get(kind.resource) or [NAME, _definition(CREATED)]


@functools.cache
def _printed() -> dict[str, list[Manifest]]:
    # Written by tests/differential/columns.py.
    found: dict[str, list[Manifest]] = json.loads(files(builtin).joinpath("columns.json").read_bytes())
    return found


def row_of(kind: Kind, manifest: Manifest, now: datetime) -> list[object]:
    """An object's cells."""
    name = manifest["metadata"].get("name", "")
    if kind.custom:
        return [name, *(_custom_cell(column, manifest, now) for column in kind.columns or (CREATED,))]
    told = [cell(manifest, now) for _, cell in _built_in(kind)]
    return told if _names_itself(kind) else [name, *told]


def conditions_of(kind: Kind, manifest: Manifest) -> list[Manifest]:
    """What a row says of its object as a whole: of pods, that they are done."""
    phase = (manifest.get("status") or {}).get("phase") if kind.resource == "pods" else ""
    if phase not in COMPLETED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": COMPLETED[phase]}]


def _built_in(kind: Kind) -> tuple[tuple[Column, Cell], ...]:
    return columns.BUILT_IN.get(kind.resource, columns.DEFAULT)


def _names_itself(kind: Kind) -> bool:
    # Events put what happened first, and their name last.
    return kind.plural == "events" and not kind.custom


def _definition(column: Column) -> Manifest:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _custom_cell(column: Column, manifest: Manifest, now: datetime) -> object:
    found = jsonpath.find(column.path, manifest)
    if not found:
        return None
    value = found[0]
    if column.type == "date":
        return age_of(value, now)
    if column.type == "string":
        return jsonpath.printed(value)
    return value if isinstance(value, TYPES.get(column.type, (object,))) else None
