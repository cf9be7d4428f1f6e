"""Tables, as `kubectl get` prints them: which columns a kind has, and what an object shows in them."""

from datetime import datetime

from isthmus.api.scheme import Manifest
from isthmus.apiserver import columns, jsonpath
from isthmus.apiserver.cells import Cell, age_of
from isthmus.apiserver.kinds import Column, Kind

TYPES: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "boolean": (bool,)}
NAME: Manifest = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace.",
    "priority": 0,
}


def columns_of(kind: Kind) -> list[Manifest]:
    """The column definitions of a kind's table."""
    if kind.columns:
        return [NAME, *map(_definition, kind.columns)]
    told = [_definition(column) for column, _ in _built_in(kind)]
    return told if _names_itself(kind) else [NAME, *told]


def row_of(kind: Kind, manifest: Manifest, now: datetime) -> list[object]:
    """An object's cells."""
    name = manifest["metadata"].get("name", "")
    if kind.columns:
        return [name, *(_custom_cell(column, manifest, now) for column in kind.columns)]
    told = [cell(manifest, now) for _, cell in _built_in(kind)]
    return told if _names_itself(kind) else [name, *told]


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
