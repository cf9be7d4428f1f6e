"""What Kubernetes' own kinds hold: schemas from a table of facts, and Go's ways with values.

The table `facts.json` is written by `tests/real/facts.py` from a real API server.
"""

import base64
import functools
import json
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import Protocol

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin.quantity import canonical_quantity
from isthmus.apiserver.schema import MISSING, Schema
from isthmus.errors import Refused


class _Table:
    """The nodes of the table, made into schemas when they are first asked for."""

    def __init__(self) -> None:
        facts = json.loads(files(__package__).joinpath("facts.json").read_bytes())
        self.kinds: dict[str, int] = facts["kinds"]
        self._nodes: list[Manifest] = facts["nodes"]
        self._schemas: dict[int, Schema] = {}

    def schema(self, number: int) -> Schema:
        """The schema of one node."""
        if number not in self._schemas:
            self._schemas[number] = self._made(self._nodes[number])
        return self._schemas[number]

    def _made(self, node: Manifest) -> Schema:
        if "ref" in node:
            return replace(
                self.schema(node["ref"]),
                default=node.get("d", MISSING),
                zero=ZEROS[node.get("z", "")],
                patch_strategy=tuple(node.get("s", ())),
            )
        kind = node.get("t", "")
        return Schema(
            type="" if kind in UNTYPED else kind,
            name=node.get("n", ""),
            properties=_Properties(self, node.get("p", {})),
            items=self.schema(node["i"]) if "i" in node else None,
            additional=self.schema(node["a"]) if "a" in node else None,
            required=tuple(node.get("r", ())),
            list_type=node.get("l", ""),
            list_keys=tuple(node.get("k", ())),
            # What is opaque to Go is owned as a whole.
            map_type="atomic" if node.get("n") == "RawExtension" else node.get("x", ""),
            patch_strategy=tuple(node.get("s", ())),
            patch_key=node.get("m", ""),
            default=node.get("d", MISSING),
            preserve_unknown=kind in {"", "object"} and "p" not in node and "a" not in node,
            int_or_string=kind == "int-or-string",
            enum=tuple(node.get("e", ())),
            format=node.get("f", "") or (kind if kind in UNTYPED else ""),
            zero=ZEROS[node.get("z", "")],
        )


UNTYPED = {"quantity", "int-or-string"}
ZEROS = {"": "keep", "d": "drop", "s": "show"}


class _Properties(Mapping[str, Schema]):
    """Members made when they are looked up: JSONSchemaProps holds itself."""

    def __init__(self, table: _Table, numbers: dict[str, int]) -> None:
        self._table = table
        self._numbers = numbers

    def __getitem__(self, key: str) -> Schema:
        return self._table.schema(self._numbers[key])

    def __contains__(self, key: object) -> bool:
        return key in self._numbers

    def get(self, key: str, default: Schema | None = None) -> Schema | None:  # type: ignore[override]  # no other default is needed
        number = self._numbers.get(key)
        return default if number is None else self._table.schema(number)

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


@functools.cache
def _table() -> _Table:
    return _Table()


def builtin_schema(group: str, version: str, kind: str) -> Schema | None:
    """The schema of a built-in kind; None for kinds that this server does not know."""
    table = _table()
    number = table.kinds.get(f"{group}/{version}/{kind}" if group else f"{version}/{kind}")
    return None if number is None else table.schema(number)


def canonical(obj: Manifest, schema: Schema, about: Manifest | None = None) -> None:
    """Change a built-in, in place, as reading it into Go's struct and writing it out again would.

    Nulls and empty values go where Go leaves them out, zero values appear where it shows them, times
    and quantities take their canonical form. `about` is the object that `obj` is a part of. Raises
    Refused (400) for what Go could not read.
    """
    try:
        _struct(obj, schema, "")
    except _Unreadable as fault:
        whole = about or obj
        kind = whole.get("kind", schema.name)
        version = str(whole.get("apiVersion", "")).rpartition("/")[2]
        message = f'{kind} in version "{version}" cannot be handled as a {kind}: {fault}'
        raise Refused(code=400, reason="BadRequest", message=message) from None


def read_metadata(obj: Manifest) -> None:
    """Change a custom resource's metadata, in place, as reading it into Go's ObjectMeta would.

    Raises Refused (400) for what Go could not read.
    """
    namespace = builtin_schema("", "v1", "Namespace")
    if namespace is not None and isinstance(obj.get("metadata"), dict):
        about: Manifest = {key: obj[key] for key in ("apiVersion", "kind") if key in obj}
        canonical(obj["metadata"], namespace.properties["metadata"], about)
        if not obj["metadata"].get("managedFields"):
            # Here, unlike in built-ins, an empty list means nothing.
            obj["metadata"].pop("managedFields", None)


class _Unreadable(Exception):  # never leaves this file
    """A JSON value that Go would not read into the field."""


@functools.cache
def _shown(schema: Schema) -> tuple[tuple[str, Schema], ...]:
    return tuple((name, known) for name, known in schema.properties.items() if known.zero == "show")


def _struct(obj: Manifest, schema: Schema, path: str) -> None:
    for key in list(obj):
        known = schema.properties.get(key)
        if known is None:
            continue
        value = _read(obj[key], known, schema.name, f"{path}.{key}")
        if value is None or (known.zero == "drop" and not value and key != "managedFields"):
            # An empty list of managedFields is an order to forget them.
            del obj[key]
        elif known.zero == "show" and value in ([], {}) and not known.properties:
            obj[key] = None
        else:
            obj[key] = value
    for key, known in _shown(schema):
        if key not in obj:
            obj[key] = _zero(known)


def _zero(schema: Schema) -> object:
    if schema.properties:
        shown: Manifest = {}
        _struct(shown, schema, "")
        return shown
    if schema.int_or_string:
        return 0
    if schema.format in {"quantity", "date-time"}:
        return "0" if schema.format == "quantity" else None
    return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(schema.type)


def _read(value: object, schema: Schema, owner: str, path: str) -> object:
    """The value as Go has it; `owner` is the struct that the field at `path` belongs to."""
    if value is None:
        return None
    if isinstance(value, dict) and schema.name in SCHEMA_OR_ELSE:
        _struct(value, _schema_props(), path)
        return value
    if schema.type == "object" and isinstance(value, dict):
        return _read_map(value, schema, owner, path)
    if schema.type == "array" and isinstance(value, list):
        items = schema.items or Schema()
        return [_zero(items) if item is None else _read(item, items, owner, path) for item in value]
    if not _fits(value, schema):
        what = f"{_json_type(value)} into Go struct field {owner}{path} of type {_go_type(schema)}"
        raise _Unreadable(f"json: cannot unmarshal {what}")
    return _read_text(str(value), schema) if schema.format in TEXTS else value


# A schema, or a list of them, a boolean, a list of names: OpenAPI has no type for that.
SCHEMA_OR_ELSE = {"JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray"}


def _schema_props() -> Schema:
    definition = builtin_schema("apiextensions.k8s.io", "v1", "CustomResourceDefinition") or Schema()
    versions = definition.properties["spec"].properties["versions"].items or Schema()
    return versions.properties["schema"].properties["openAPIV3Schema"]


def _read_map(value: Manifest, schema: Schema, owner: str, path: str) -> Manifest:
    if schema.properties:
        _struct(value, schema, path)
    elif schema.additional is not None:
        for key, member in value.items():
            value[key] = _zero(schema.additional) if member is None else _read(member, schema.additional, owner, path)
    return value


def _read_text(text: str, schema: Schema) -> str:
    try:
        return TEXTS[schema.format](text, is_micro=schema.name == "MicroTime")
    except ValueError as error:
        raise _Unreadable(str(error)) from None


def _read_time(text: str, *, is_micro: bool) -> str:
    layout = "2006-01-02T15:04:05.000000Z07:00" if is_micro else "2006-01-02T15:04:05Z07:00"
    match = TIME.fullmatch(text)
    fault = f"parsing time {json.dumps(text)} as {json.dumps(layout)}: cannot parse"
    if match is None:
        raise ValueError(f'{fault} {json.dumps(text)} as "2006"')
    if is_micro and len(match[1]) != len(".000000"):
        raise ValueError(f'{fault} {json.dumps(match[1] + match[2])} as ".000000"')
    # Python reads at most microseconds; Go's Time shows none.
    moment = datetime.fromisoformat(text.replace(match[1], match[1][:7]) if match[1] else text).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if is_micro else "%Y-%m-%dT%H:%M:%SZ")


def _read_bytes(text: str, *, is_micro: bool) -> str:  # noqa: ARG001  # one signature for all texts
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        bad = next((at for at, char in enumerate(text) if char not in BASE64), len(text))
        raise ValueError(f"illegal base64 data at input byte {bad}") from None
    return text


def _read_quantity(text: str, *, is_micro: bool) -> str:  # noqa: ARG001  # one signature for all texts
    return canonical_quantity(text)


TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+|)(Z|[+-]\d\d:\d\d)", re.ASCII)
BASE64 = frozenset(string.ascii_letters + string.digits + "+/=")
TEXTS: dict[str, "_Reader"] = {"date-time": _read_time, "byte": _read_bytes, "quantity": _read_quantity}


class _Reader(Protocol):
    def __call__(self, text: str, *, is_micro: bool) -> str: ...


def _fits(value: object, schema: Schema) -> bool:
    if schema.int_or_string or schema.format == "quantity":
        return isinstance(value, (int, float, str)) and not isinstance(value, bool)
    match schema.type:
        case "":
            return True
        case "integer":
            return _is_integer(value, 31 if schema.format == "int32" else 63)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
    return False


def _is_integer(value: object, bits: int) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and -(1 << bits) <= value < (1 << bits)  # type: ignore[operator]  # an int, as just seen


def _json_type(value: object) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number" if isinstance(value, int) and abs(value) < 1 << 31 else f"number {value}"
        case list():
            return "array"
    return "object"


def _go_type(schema: Schema) -> str:
    match schema.type:
        case "integer":
            return schema.format or "int64"
        case "number":
            return "float64"
        case "boolean":
            return "bool"
        case "array":
            return f"[]{_go_type(schema.items or Schema())}"
        case "object" if schema.additional is not None:
            return f"map[string]{_go_type(schema.additional)}"
        case "object":
            return f"v1.{schema.name}"
    return "string"
