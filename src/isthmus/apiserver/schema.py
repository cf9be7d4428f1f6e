"""What an object of some kind may hold: structural schemas, and what they alone decide about an object.

Schemas of custom resources are read by `structural`, those of built-in kinds by `builtin`.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from isthmus.api.scheme import Manifest
from isthmus.errors import Refused

# A value that is not there, where `None` is a value.
MISSING = object()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a value may be, beyond its type: the OpenAPI keywords, None where unset."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    pattern: str = ""
    unique_items: bool = False


NO_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One node of a structural schema.

    `name` is the Go type's, for messages. `zero` is Go's treatment of a built-in's field: "keep" what
    was sent (pointers), "drop" the empty value (omitempty), or "show" it even when nothing was sent.
    """

    type: str = ""
    name: str = ""
    properties: Mapping[str, "Schema"] = field(default_factory=dict)
    items: "Schema | None" = None
    additional: "Schema | None" = None
    required: tuple[str, ...] = ()
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    patch_strategy: tuple[str, ...] = ()
    patch_key: str = ""
    default: object = MISSING
    nullable: bool = False
    preserve_unknown: bool = False
    int_or_string: bool = False
    embedded: bool = False
    enum: tuple[object, ...] = ()
    format: str = ""
    zero: str = "keep"
    bounds: Bounds = NO_BOUNDS
    all_of: "tuple[Schema, ...]" = ()
    any_of: "tuple[Schema, ...]" = ()
    one_of: "tuple[Schema, ...]" = ()
    negated: "Schema | None" = None

    def child(self, key: str) -> "Schema | None":
        """The schema of the member `key`; None where the schema does not know it."""
        return self.properties.get(key, self.additional)


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason to refuse an object: where, which kind of fault, and the sentence that says so."""

    field: str
    reason: str
    message: str


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> Refused:
    """The 422 that lists `causes`, worded as Kubernetes words it."""
    said = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    listed = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    details: dict[str, object] = {
        "name": name,
        "group": group,
        "kind": kind,
        "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes],
    }
    qualified = f"{kind}.{group}" if group else kind
    message = f'{qualified} "{name}" is invalid: {listed}'
    details = {key: value for key, value in details.items() if value}
    return Refused(code=422, reason="Invalid", message=message, details=details)


def prune(obj: Manifest, schema: Schema) -> list[str]:
    """Drop, in place, what the schema does not know, and nulls that may not be.

    Returns the unknown fields' paths: `spec.ports[0].x`. An applied object is not pruned.
    """
    # A built-in's nulls are `builtin.canonical`'s business: Go has zero values for them.
    unknown = list(_pruned(obj, schema, "", drop_nulls=not schema.name))
    return unknown if schema.name else sorted(unknown)


def _pruned(value: object, schema: Schema, path: str, *, drop_nulls: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key in list(value):
            where, known = f"{path}.{key}" if path else key, schema.child(key)
            if known is None:
                yield from _unknown(value, key, where, schema)
            elif value[key] is not None:
                yield from _pruned(value[key], known, where, drop_nulls=drop_nulls)
            elif drop_nulls and not known.nullable and known.default is MISSING:
                del value[key]
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            yield from _pruned(item, schema.items, f"{path}[{index}]", drop_nulls=drop_nulls)


def _unknown(value: Manifest, key: str, path: str, schema: Schema) -> Iterator[str]:
    if not (schema.preserve_unknown or (schema.embedded and key in ROOT_FIELDS)):
        del value[key]
        yield path


ROOT_FIELDS = ("apiVersion", "kind", "metadata")


def fill_defaults(obj: Manifest, schema: Schema) -> None:
    """Set, in place, what a custom resource's schema gives as default, where nothing or a wrong null is."""
    _fill(obj, schema)


def _fill(value: object, schema: Schema) -> None:
    if isinstance(value, dict):
        for key, known in schema.properties.items():
            absent = key not in value or (value[key] is None and not known.nullable)
            if absent and known.default is not MISSING:
                value[key] = copy.deepcopy(known.default)
        for key, member in value.items():
            below = schema.child(key)
            if below is not None:
                _fill(member, below)
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            _fill(item, schema.items)
