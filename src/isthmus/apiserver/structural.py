"""From a CustomResourceDefinition's OpenAPI schema to ours; what is not structural is refused.

Kubernetes' documentation, "Specifying a structural schema".
"""

from collections.abc import Iterator
from dataclasses import replace

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin import builtin_schema
from isthmus.apiserver.causes import forbidden, required, under, unsupported, wrong
from isthmus.apiserver.pattern import BadPattern, compiled
from isthmus.apiserver.schema import MISSING, NO_BOUNDS, Bounds, Cause, Schema
from isthmus.apiserver.validation import default_faults
from isthmus.errors import Invalid

MAX_DEPTH = 64
UNSUPPORTED = ("id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions")
# Words that may stand only outside allOf, anyOf, oneOf and not.
NESTED_FORBIDDEN = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
JUNCTORS = ("allOf", "anyOf", "oneOf")
TYPES = ("array", "boolean", "integer", "number", "object", "string")
LIST_TYPES = ("atomic", "set", "map")
MAP_TYPES = ("atomic", "granular")
INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
    "minProperties": "min_properties",
    "maxProperties": "max_properties",
    "pattern": "pattern",
    "uniqueItems": "unique_items",
}


class NotStructural(Invalid):
    """The schema of a CustomResourceDefinition breaks the rules; `causes` say where and how."""

    def __init__(self, causes: list[Cause]) -> None:
        super().__init__("; ".join(f"{cause.field}: {cause.message}" for cause in causes))
        self.causes = causes


def from_crd(openapi: Manifest) -> Schema:
    """The schema of a custom resource, with the metadata of every object at its root.

    Raises NotStructural; the fields of its causes are relative to `openAPIV3Schema`.
    """
    # Only what is structural can be read, and only what is read can judge its defaults.
    causes = list(_faults(openapi, "", "root", 0)) or list(_default_faults(openapi, ""))
    if causes:
        raise NotStructural(sorted(causes, key=lambda cause: (cause.field, cause.message)))
    return _schema(openapi, is_root=True)


def _default_faults(node: Manifest, path: str) -> Iterator[Cause]:
    if node.get("default") is not None:
        where = under(path, "default")
        for cause in default_faults(node["default"], _schema(node)):
            yield replace(cause, field=where + (f".{cause.field}" if cause.field else ""))
    for word, below, where in _children(node):
        if word not in {"not", *JUNCTORS} and isinstance(below, dict):
            yield from _default_faults(below, under(path, where))


def _children(node: Manifest) -> Iterator[tuple[str, object, str]]:
    """(keyword, schema below, its path) for all schemas directly below one."""
    for word in ("items", "additionalProperties", "not"):
        if isinstance(node.get(word), dict):
            yield word, node[word], word
    properties = node.get("properties")
    if isinstance(properties, dict):
        for name, below in properties.items():
            yield "properties", below, f"properties[{name}]"
    for word in JUNCTORS:
        branches = node.get(word)
        for index, below in enumerate(branches if isinstance(branches, list) else ()):
            yield word, below, f"{word}[{index}]"


def _faults(node: object, path: str, level: str, depth: int) -> Iterator[Cause]:
    """Everything that is wrong with a schema and those below it. Level: root, items or field."""
    if not isinstance(node, dict):
        yield wrong(path, node, "must be a schema")
        return
    if depth > MAX_DEPTH:
        yield forbidden(path, f"must not be nested deeper than {MAX_DEPTH}")
        return
    yield from _own_faults(node, path, level)
    yield from _list_faults(node, path)
    for word, below, where in _children(node):
        if word in {"not", *JUNCTORS}:
            skip = node.get("x-kubernetes-int-or-string") and _is_int_or_string(node, word, where)
            yield from () if skip else _nested_faults(below, under(path, where), depth + 1)
        elif not (level == "root" and where == "properties[metadata]"):
            yield from _faults(below, under(path, where), "items" if word == "items" else "field", depth + 1)


def _is_int_or_string(node: Manifest, word: str, where: str) -> bool:
    """Whether this is the anyOf (or first allOf) that controller-gen writes beside int-or-string."""
    if word == "anyOf":
        return bool(node["anyOf"] == INT_OR_STRING)
    return where == "allOf[0]" and bool(node["allOf"][0].get("anyOf") == INT_OR_STRING)


def _own_faults(node: Manifest, path: str, level: str) -> Iterator[Cause]:
    kind = node.get("type", "")
    for word in UNSUPPORTED:
        if node.get(word):
            yield forbidden(under(path, word), f"{word} is not supported")
    open_ended = node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
    if level == "root" and kind and kind != "object":
        yield wrong(under(path, "type"), kind, "must be object at the root")
    elif kind and kind not in TYPES:
        yield unsupported(under(path, "type"), kind, TYPES)
    elif not kind and not open_ended:
        where = {"root": "at the root", "items": "for specified array items", "field": "for specified object fields"}
        yield required(under(path, "type"), f"must not be empty {where[level]}")
    if isinstance(node.get("items"), list):
        yield forbidden(under(path, "items"), "items must be a schema object and not an array")
    elif kind == "array" and not isinstance(node.get("items"), dict):
        yield required(under(path, "items"), "must be specified")
    if level == "root" and node.get("additionalProperties") is not None:
        yield forbidden(under(path, "additionalProperties"), "must not be used at the root")
    if node.get("additionalProperties") and node.get("properties"):
        yield forbidden(under(path, "additionalProperties"), "additionalProperties and properties are mutual exclusive")
    if node.get("uniqueItems"):
        yield forbidden(
            under(path, "uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        )
    yield from _extension_faults(node, path)
    yield from _map_faults(node, path)
    yield from _pattern_faults(node, path)
    if level == "root":
        yield from _root_faults(node, path)


def _map_faults(node: Manifest, path: str) -> Iterator[Cause]:
    map_type = node.get("x-kubernetes-map-type")
    if map_type is not None and map_type not in MAP_TYPES:
        yield unsupported(under(path, "x-kubernetes-map-type"), map_type, MAP_TYPES)
    elif map_type is not None and node.get("type") != "object":
        message = "must be object if x-kubernetes-map-type is specified"
        yield wrong(under(path, "type"), node.get("type", ""), message)


def _root_faults(node: Manifest, path: str) -> Iterator[Cause]:
    """Faults in what every object has: apiVersion, kind and metadata."""
    properties = node.get("properties") or {}
    for name in ("apiVersion", "kind"):
        if name in properties and properties[name].get("type") != "string":
            yield wrong(under(path, f"properties[{name}].type"), properties[name].get("type", ""), "must be string")
    metadata = properties.get("metadata") or {"type": "object"}
    if metadata.get("type") != "object":
        yield wrong(under(path, "properties[metadata].type"), metadata.get("type", ""), "must be object")
    named = set(metadata.get("properties") or ()) <= {"name", "generateName"}
    if not named or metadata.keys() - {"type", "properties", "description"}:
        message = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden(under(path, "properties[metadata]"), message)


def _extension_faults(node: Manifest, path: str) -> Iterator[Cause]:
    if node.get("x-kubernetes-preserve-unknown-fields") is False:
        yield wrong(under(path, "x-kubernetes-preserve-unknown-fields"), False, "must be true or undefined")
    if node.get("x-kubernetes-int-or-string"):
        for word in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if node.get(word):
                yield wrong(under(path, word), True, "must be false if x-kubernetes-int-or-string is true")
    if node.get("x-kubernetes-embedded-resource"):
        if node.get("type") != "object":
            yield wrong(
                under(path, "type"),
                node.get("type", ""),
                "must be object if x-kubernetes-embedded-resource is true",
            )
        if not node.get("x-kubernetes-preserve-unknown-fields") and not node.get("properties"):
            yield required(
                under(path, "properties"),
                "must not be empty if x-kubernetes-embedded-resource is true without"
                " x-kubernetes-preserve-unknown-fields",
            )


def _pattern_faults(node: Manifest, path: str) -> Iterator[Cause]:
    pattern = node.get("pattern")
    if pattern:
        try:
            compiled(str(pattern))
        except BadPattern as error:
            message = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
            yield wrong(under(path, "pattern"), pattern, message)


def _list_faults(node: Manifest, path: str) -> Iterator[Cause]:
    list_type, keys = node.get("x-kubernetes-list-type"), node.get("x-kubernetes-list-map-keys") or []
    here = under(path, "x-kubernetes-list-type")
    items: Manifest = node["items"] if isinstance(node.get("items"), dict) else {}
    if list_type is not None and list_type not in LIST_TYPES:
        yield unsupported(here, list_type, LIST_TYPES)
    if list_type is not None and node.get("type") != "array":
        message = "must be array if x-kubernetes-list-type is specified"
        yield wrong(under(path, "type"), node.get("type", ""), message)
    if keys and list_type != "map":
        message = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield required(here, message) if list_type is None else wrong(here, list_type, message)
    if list_type == "set" and items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        message = "must be atomic as item of a list with x-kubernetes-list-type=set"
        yield wrong(under(path, "items.x-kubernetes-map-type"), items.get("x-kubernetes-map-type"), message)
    if list_type == "map":
        yield from _key_faults(items, keys, path)


def _key_faults(items: Manifest, keys: list[str], path: str) -> Iterator[Cause]:
    here, properties = under(path, "x-kubernetes-list-map-keys"), items.get("properties") or {}
    if not keys:
        yield required(here, "must not be empty if x-kubernetes-list-type is map")
    if items.get("type") != "object":
        message = "must be object if parent array's x-kubernetes-list-type is map"
        yield wrong(under(path, "items.type"), items.get("type", ""), message)
    elif not set(keys) <= properties.keys():
        yield wrong(here, keys, "entries must all be names of item properties")
    if len(set(keys)) < len(keys):
        yield wrong(here, keys, "must not contain duplicate entries")
    for key in dict.fromkeys(keys):
        known = properties.get(key)
        if isinstance(known, dict):
            yield from _key_property_faults(key, known, items.get("required") or [], path)


def _key_property_faults(key: str, known: Manifest, needed: list[str], path: str) -> Iterator[Cause]:
    where = under(path, f"items.properties[{key}]")
    if known.get("type") in {"array", "object"}:
        message = "must be a scalar type if parent array's x-kubernetes-list-type is map"
        yield wrong(f"{where}.type", known["type"], message)
    elif key not in needed and "default" not in known:
        message = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
        yield required(f"{where}.default", message)


def _nested_faults(node: object, path: str, depth: int) -> Iterator[Cause]:
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        yield wrong(path, node, "must be a schema")
        return
    for word, message in NESTED_FORBIDDEN.items():
        if node.get(word):
            yield forbidden(under(path, word), message)
    if "metadata" in (node.get("properties") or {}):
        yield forbidden(under(path, "properties[metadata]"), "must not be specified in a nested context")
    yield from _pattern_faults(node, path)
    for word, below, where in _children(node):
        if word != "additionalProperties":
            yield from _nested_faults(below, under(path, where), depth + 1)


def _schema(node: Manifest, *, is_root: bool = False) -> Schema:
    properties = {name: _schema(below) for name, below in (node.get("properties") or {}).items()}
    embedded = bool(node.get("x-kubernetes-embedded-resource"))
    if is_root or embedded:
        properties = {**properties, **_object_fields()}
    additional = node.get("additionalProperties")
    given = {ours: node[theirs] for theirs, ours in BOUNDS.items() if node.get(theirs) is not None}
    return Schema(
        type=node.get("type", ""),
        properties=properties,
        items=_schema(node["items"]) if isinstance(node.get("items"), dict) else None,
        additional=_schema(additional) if isinstance(additional, dict) else OPEN if additional else None,
        required=tuple(node.get("required") or ()),
        list_type=node.get("x-kubernetes-list-type", ""),
        list_keys=tuple(node.get("x-kubernetes-list-map-keys") or ()),
        map_type=node.get("x-kubernetes-map-type", ""),
        default=node["default"] if node.get("default") is not None else MISSING,
        nullable=bool(node.get("nullable")),
        preserve_unknown=bool(node.get("x-kubernetes-preserve-unknown-fields")),
        int_or_string=bool(node.get("x-kubernetes-int-or-string")),
        embedded=embedded,
        enum=tuple(node.get("enum") or ()),
        format=node.get("format", ""),
        bounds=Bounds(**given) if given else NO_BOUNDS,
        all_of=tuple(_schema(below) for below in node.get("allOf") or ()),
        any_of=tuple(_schema(below) for below in node.get("anyOf") or ()),
        one_of=tuple(_schema(below) for below in node.get("oneOf") or ()),
        negated=_schema(node["not"]) if node.get("not") else None,
    )


OPEN = Schema(preserve_unknown=True)


def _object_fields() -> dict[str, Schema]:
    text = Schema(type="string")
    namespace = builtin_schema("", "v1", "Namespace")
    metadata = namespace.properties["metadata"] if namespace is not None else OPEN
    return {"apiVersion": text, "kind": text, "metadata": metadata}
