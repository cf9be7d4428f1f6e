"""Sets of fields: FieldsV1 read and written, the fields of an object by its schema, paths as people read them.

A field's path is a tuple of FieldsV1 elements (`f:spec`, `k:{"name":"x"}`, `v:"a"`), a set of fields a
frozenset of paths: ownership is then plain set algebra.
"""

import json
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from isthmus.api.scheme import Manifest
from isthmus.apiserver.schema import MISSING, Schema
from isthmus.errors import Invalid

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]

MAX_DEPTH = 64


def decode(fields: object) -> FieldSet:
    """The set that a FieldsV1 object stands for. Raises Invalid."""
    return frozenset(_decode(fields, ()))


def _decode(fields: object, path: Path) -> Iterator[Path]:
    if not isinstance(fields, dict) or len(path) > MAX_DEPTH:
        raise Invalid("FieldsV1: an object of objects is expected")
    for key, below in fields.items():
        if key == ".":
            yield path
        else:
            element = (*path, _element(key))
            # An empty object is the field itself; what is below a field names it with ".".
            yield from _decode(below, element) if below else (element,)


def _element(text: str) -> str:
    kind, colon, rest = text.partition(":")
    if not colon or kind not in {"f", "v", "k", "i"}:
        raise Invalid(f"FieldsV1: {text!r} is no path element")
    if kind in {"f", "i"}:
        return text
    try:
        return f"{kind}:{_compact(json.loads(rest))}"
    except ValueError as error:
        raise Invalid(f"FieldsV1: {text!r} is no path element: {error}") from error


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def encode(fields: Iterable[Path]) -> Manifest:
    """The FieldsV1 object of a set."""
    root: Manifest = {}
    for path in sorted(fields):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _without_dots(root)


def _without_dots(node: Manifest) -> Manifest:
    # A leaf is written as {}; "." is only needed where there is more below.
    if node.keys() == {"."}:
        return {}
    return {key: _without_dots(below) if key != "." else {} for key, below in node.items()}


def readable(path: Path) -> str:
    """A path as Kubernetes prints it: `.spec.ports[port=80,protocol="TCP"].name`."""
    return "".join(_readable(element) for element in path)


def _readable(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        return f"[{','.join(f'{key}={_compact(value)}' for key, value in json.loads(rest).items())}]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Paths as Kubernetes lists them: at each height, first the fields that end there."""
    return sorted(paths, key=lambda path: [(depth < len(path) - 1, element) for depth, element in enumerate(path)])


def is_map(schema: Schema | None) -> bool:
    """Whether the schema says object; None stands for a value of unknown shape."""
    return schema is not None and (schema.type == "object" or bool(schema.properties))


def is_atomic(value: object, schema: Schema | None) -> bool:
    """Whether a map or list is owned as a whole. Of unknown values, lists are and maps are not."""
    if isinstance(value, list):
        return schema is None or schema.list_type not in {"set", "map"}
    return schema is not None and schema.map_type == "atomic"


def below(schema: Schema | None, key: str) -> tuple[Schema | None, bool]:
    """The schema of a map's member, and whether it is a named field rather than a free key."""
    if schema is None:
        return None, False
    known = schema.properties.get(key)
    return (known, True) if known is not None else (schema.additional, False)


def items_of(schema: Schema | None) -> Schema | None:
    """The schema of a list's items."""
    return None if schema is None else schema.items


def list_element(item: object, schema: Schema | None) -> str:
    """The path element of an item of a set or keyed list. Raises Invalid where its keys are missing."""
    if schema is None or schema.list_type != "map":
        return f"v:{_compact(item)}"
    if not isinstance(item, dict):
        raise Invalid("associative list with keys may not have non-map elements")
    keys: Manifest = {}
    for key in schema.list_keys:
        known = schema.items.properties.get(key) if schema.items is not None else None
        value = item.get(key, MISSING if known is None else known.default)
        if value is not MISSING:
            keys[key] = value
    if not keys:
        names = " ".join(f'"{key}"' for key in schema.list_keys)
        raise Invalid(
            f"associative list with keys has an element that omits all key fields [{names}]"
            " (and doesn't have default values for any key fields)"
        )
    return f"k:{_compact(keys)}"


def grouped(items: Iterable[object], schema: Schema | None) -> dict[str, list[object]]:
    """A list's items by path element; more than one where elements repeat."""
    groups: dict[str, list[object]] = {}
    for item in items:
        groups.setdefault(list_element(item, schema), []).append(item)
    return groups


def fields_of(value: object, schema: Schema | None) -> FieldSet:
    """All fields of an object: its leaves, its free keys, its list items."""
    return frozenset(_fields_of(value, schema, ()))


def _fields_of(value: object, schema: Schema | None, path: Path) -> Iterator[Path]:
    if not isinstance(value, (dict, list)) or is_atomic(value, schema):
        yield path
    elif isinstance(value, dict):
        for key, member in value.items():
            known, named = below(schema, key)
            where = (*path, f"f:{key}")
            yield from _fields_of(member, known, where)
            if not named or member is None or member == {}:
                yield where
    else:
        for element, same in grouped(value, schema).items():
            where = (*path, element)
            yield where
            # Of items that repeat, only the fact that they are there is owned.
            if len(same) == 1:
                yield from _fields_of(same[0], items_of(schema), where)


def with_named(fields: FieldSet, schema: Schema | None) -> FieldSet:
    """The set, and every named field that has some of its own fields in it."""
    return fields | {
        path[:length] for path in fields for length in range(1, len(path)) if _is_named(path[:length], schema)
    }


def _is_named(path: Path, schema: Schema | None) -> bool:
    named = False
    for element in path:
        kind, _, key = element.partition(":")
        schema, named = below(schema, key) if kind == "f" else (items_of(schema), False)
    return named


def without(value: object, fields: FieldSet, schema: Schema | None) -> object:
    """The value less `fields`; MISSING where nothing is left. Whole atomics with a part in the set go."""
    if not isinstance(value, (dict, list)):
        return value
    if not value or is_atomic(value, schema):
        return MISSING
    return _map_without(value, fields, schema) if isinstance(value, dict) else _list_without(value, fields, schema)


def _split(fields: FieldSet) -> tuple[set[str], dict[str, set[Path]]]:
    here: set[str] = set()
    deeper: dict[str, set[Path]] = {}
    for path in fields:
        if len(path) == 1:
            here.add(path[0])
        elif path:
            deeper.setdefault(path[0], set()).add(path[1:])
    return here, deeper


def _map_without(value: Manifest, fields: FieldSet, schema: Schema | None) -> object:
    here, deeper = _split(fields)
    kept: Manifest = {}
    for key, member in value.items():
        element = f"f:{key}"
        if element in here:
            continue
        if element in deeper:
            left = without(member, frozenset(deeper[element]), below(schema, key)[0])
            # What was emptied stays as a null, as in the real server: decoding drops it, or shows it.
            kept[key] = None if left is MISSING else left
        else:
            kept[key] = member
    return kept or MISSING


def _list_without(value: list[object], fields: FieldSet, schema: Schema | None) -> object:
    here, deeper = _split(fields)
    kept: list[object] = []
    for item in value:
        element = list_element(item, schema)
        if element in here:
            continue
        if element in deeper:
            left = without(item, frozenset(deeper[element]), items_of(schema))
            kept.append(None if left is MISSING else left)
        else:
            kept.append(item)
    return kept or MISSING
