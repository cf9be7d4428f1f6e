"""Whether a custom resource is what its schema says, in the words of kube-apiserver."""

import itertools
from collections.abc import Iterator, Mapping
from decimal import Decimal

from isthmus.api.scheme import Manifest
from isthmus.apiserver.causes import (
    required,
    shown,
    too_long,
    too_many,
    under,
    unsupported,
    wrong,
    wrong_type,
)
from isthmus.apiserver.formats import fits
from isthmus.apiserver.merge import same
from isthmus.apiserver.pattern import matches
from isthmus.apiserver.schema import MISSING, Cause, Schema

MAX_CAUSES = 100
# Where Kubernetes' validator cannot name the field, its Status says this.
NOWHERE = "<nil>"


def validate(obj: Manifest, schema: Schema, old: Manifest | None = None) -> list[Cause]:
    """Every reason to refuse the object; none where it may stand.

    What an update leaves as it was is not judged again (KEP-4008, ratcheting).
    """
    causes = list(itertools.islice(_faults(obj, schema, "", MISSING if old is None else old), MAX_CAUSES))
    if old is None or not any(_repeats(old, schema, "")):
        causes += itertools.islice(_repeats(obj, schema, ""), MAX_CAUSES)
    return causes[:MAX_CAUSES]


def default_faults(value: object, schema: Schema) -> list[Cause]:
    """Every reason why a default may not stand, by paths below the default."""
    return list(itertools.islice(_faults(value, schema, "", MISSING), MAX_CAUSES))


def _body(path: str) -> str:
    return f"{path} in body"


def _faults(value: object, schema: Schema, path: str, old: object) -> Iterator[Cause]:
    if (old is not MISSING and same(value, old)) or (value is None and schema.nullable):
        return
    yield from _type_fault(value, schema, path)
    yield from _junctor_faults(value, schema, path)
    if isinstance(value, str):
        yield from itertools.islice(_string_faults(value, schema, path), 1)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number_faults(value, schema, path)
    elif isinstance(value, list):
        yield from _list_faults(value, schema, path, old)
    yield from _enum_fault(value, schema, path)
    if isinstance(value, dict):
        yield from _map_faults(value, schema, path, old)


def _name_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case list():
            return "array"
    return "object"


def _type_fault(value: object, schema: Schema, path: str) -> Iterator[Cause]:
    allowed = ("integer", "string") if schema.int_or_string else (schema.type,) if schema.type else ()
    seen = _name_of(value)
    if not allowed or seen in allowed or (seen == "integer" and "number" in allowed):
        return
    yield wrong_type(path, seen, f'{_body(path)} must be of type {",".join(allowed)}: "{seen}"')


def _junctor_faults(value: object, schema: Schema, path: str) -> Iterator[Cause]:
    def broken(word: str, rest: str = "") -> Cause:
        return wrong(NOWHERE, "", f'"{path}" must {rest or "validate"} {word}')

    if schema.any_of:
        faults = [_branch(value, branch, path) for branch in schema.any_of]
        if all(faults):
            yield broken("at least one schema (anyOf)")
            yield from min(faults, key=len)
    if schema.one_of:
        faults = [_branch(value, branch, path) for branch in schema.one_of]
        valid = faults.count([])
        if valid != 1:
            found = f"{valid} valid alternatives" if valid else "none valid"
            yield broken(f"one and only one schema (oneOf). Found {found}")
            yield from () if valid else min(faults, key=len)
    failed = [fault for branch in schema.all_of for fault in _branch(value, branch, path)]
    if failed:
        yield from failed
        yield broken("all the schemas (allOf)")
    if schema.negated is not None and not _branch(value, schema.negated, path):
        yield broken("the schema (not)", "not validate")


def _branch(value: object, schema: Schema, path: str) -> list[Cause]:
    return list(itertools.islice(_faults(value, schema, path, MISSING), MAX_CAUSES))


def _string_faults(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    bounds = schema.bounds
    if bounds.max_length is not None and len(value) > bounds.max_length:
        yield too_long(path, bounds.max_length)
    if bounds.min_length is not None and len(value) < bounds.min_length:
        yield wrong(path, value, f"{_body(path)} should be at least {bounds.min_length} chars long")
    if bounds.pattern and not matches(bounds.pattern, value):
        yield wrong(path, value, f"{_body(path)} should match '{bounds.pattern}'")
    if schema.format and schema.type in {"", "string"} and not fits(value, schema.format):
        message = f"{_body(path)} must be of type {schema.format}: {shown(value)}"
        yield wrong_type(path, value, message)


def _number_faults(value: int | float, schema: Schema, path: str) -> Iterator[Cause]:
    bounds = schema.bounds
    if schema.type == "integer" and isinstance(value, float) and not value.is_integer():
        yield wrong(NOWHERE, "", f"Checked value must be of type integer (default format) in {path}")
    elif schema.type == "integer" and not -(1 << 63) <= value < (1 << 63):
        yield wrong(NOWHERE, "", f"Checked value must be of type integer with format int64 in {path}")
    elif schema.type == "integer" and schema.format == "int32" and not -(1 << 31) <= value < (1 << 31):
        yield wrong(NOWHERE, "", f"Checked value must be of type integer with format int32 in {path}")
    if bounds.multiple_of and Decimal(str(value)) % Decimal(str(bounds.multiple_of)):
        yield wrong(path, value, f"{_body(path)} should be a multiple of {_plain(bounds.multiple_of)}")
    top, bottom = bounds.maximum, bounds.minimum
    if top is not None and (value > top or (bounds.exclusive_maximum and value == top)):
        than = "less than" if bounds.exclusive_maximum else "less than or equal to"
        yield wrong(path, value, f"{_body(path)} should be {than} {_plain(top)}")
    if bottom is not None and (value < bottom or (bounds.exclusive_minimum and value == bottom)):
        than = "greater than" if bounds.exclusive_minimum else "greater than or equal to"
        yield wrong(path, value, f"{_body(path)} should be {than} {_plain(bottom)}")


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _list_faults(value: list[object], schema: Schema, path: str, old: object) -> Iterator[Cause]:
    bounds = schema.bounds
    if bounds.min_items is not None and len(value) < bounds.min_items:
        yield wrong(path, len(value), f"{_body(path)} should have at least {bounds.min_items} items")
    if bounds.max_items is not None and len(value) > bounds.max_items:
        yield too_many(path, len(value), bounds.max_items)
    if schema.items is None:
        return
    before = _by_keys(old, schema)
    for index, item in enumerate(value):
        was = before.get(_keys_of(item, schema), MISSING) if before else MISSING
        yield from _faults(item, schema.items, f"{path}[{index}]", was)


def _by_keys(old: object, schema: Schema) -> dict[str, object]:
    # Only items of a keyed list are known to be the same ones as before.
    if schema.list_type != "map" or not isinstance(old, list):
        return {}
    return {_keys_of(item, schema): item for item in old}


def _keys_of(item: object, schema: Schema) -> str:
    keys = {key: item[key] for key in schema.list_keys if key in item} if isinstance(item, dict) else item
    return shown(keys)


def _enum_fault(value: object, schema: Schema, path: str) -> Iterator[Cause]:
    if schema.enum and not any(same(value, allowed) for allowed in schema.enum):
        yield unsupported(path, value, schema.enum)


def _map_faults(value: Manifest, schema: Schema, path: str, old: object) -> Iterator[Cause]:
    bounds = schema.bounds
    needed = (*schema.required, "apiVersion", "kind") if schema.embedded else schema.required
    for name in dict.fromkeys(needed):
        if name not in value:
            yield required(under(path, name))
    if bounds.min_properties is not None and len(value) < bounds.min_properties:
        yield wrong(path, len(value), f"{_body(path)} should have at least {bounds.min_properties} properties")
    if bounds.max_properties is not None and len(value) > bounds.max_properties:
        yield too_many(path, len(value), bounds.max_properties)
    before: Mapping[str, object] = old if isinstance(old, dict) else {}
    for name, member in value.items():
        known = schema.child(name)
        if known is not None and not (name == "metadata" and known.name):
            yield from _faults(member, known, under(path, name), before.get(name, MISSING))


def _repeats(value: object, schema: Schema, path: str) -> Iterator[Cause]:
    """Items that lists of type set and map hold twice."""
    if isinstance(value, dict):
        for name, member in value.items():
            known = schema.child(name)
            if known is not None and not known.name:
                yield from _repeats(member, known, under(path, name))
    elif isinstance(value, list):
        yield from _own_repeats(value, schema, path)
        for index, item in enumerate(value):
            if schema.items is not None:
                yield from _repeats(item, schema.items, f"{path}[{index}]")


def _own_repeats(value: list[object], schema: Schema, path: str) -> Iterator[Cause]:
    if schema.list_type not in {"set", "map"}:
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if schema.list_type == "map" and not isinstance(item, dict):
            yield wrong(where, item, "must be an object for an array of list-type map")
            continue
        identity = _keys_of(item, schema) if schema.list_type == "map" else shown(item)
        if identity in seen:
            yield Cause(where, "FieldValueDuplicate", f"Duplicate value: {identity}")
        seen.add(identity)
