"""Whether an applied object has the shape that its schema says, in the words of server-side apply.

KEP-555. Apply is stricter than other writes: what it cannot type, it cannot own.
"""

from collections.abc import Iterator

from isthmus.apiserver.causes import go_value
from isthmus.apiserver.fieldset import below, grouped, is_map, readable
from isthmus.apiserver.schema import Schema
from isthmus.errors import Invalid


def type_faults(value: object, schema: Schema | None, path: str = "") -> Iterator[str]:
    """One sentence for each field that the schema cannot type; none for values of unknown shape."""
    if schema is None or value is None:
        return
    if schema.type == "array":
        yield from _list_faults(value, schema, path)
    elif is_map(schema):
        yield from _map_faults(value, schema, path)
    elif not _is_scalar(value, schema):
        yield f"{path}: {_expected(value, schema)}"


def _is_scalar(value: object, schema: Schema) -> bool:
    match schema.type:
        case "string":
            return isinstance(value, str)
        case "integer" | "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
    # What has no type, or several, may be anything here.
    return True


def _expected(value: object, schema: Schema) -> str:
    match schema.type:
        case "string":
            return f"expected string, got &value.valueUnstructured{{Value:{go_value(value, quoted=True)}}}"
        case "boolean":
            return f"expected boolean, got &{{{go_value(value)}}}"
    kinds = {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
    return f"expected numeric (int or float), got {kinds.get(type(value), 'nil')}"


def _list_faults(value: object, schema: Schema, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected list, got &{{{go_value(value)}}}"
        return
    if schema.list_type not in {"set", "map"}:
        for index, item in enumerate(value):
            yield from type_faults(item, schema.items, f"{path}[{index}]")
        return
    try:
        groups = grouped(value, schema)
    except Invalid as error:
        yield f"{path}: {error}"
        return
    for element, same in groups.items():
        where = readable((element,))
        yield from (f"{path}: duplicate entries for key {where}" for _ in same[1:])
        for item in same:
            yield from type_faults(item, schema.items, path + where)


def _map_faults(value: object, schema: Schema, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected map, got &{{{go_value(value)}}}"
        return
    for key, member in value.items():
        known, _ = below(schema, key)
        if known is not None:
            yield from type_faults(member, known, f"{path}.{key}")
        elif not (schema.preserve_unknown or schema.embedded):
            yield f"{path}.{key}: field not declared in schema"
