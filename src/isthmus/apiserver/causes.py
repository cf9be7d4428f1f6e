"""The kinds of fault that an API server finds in an object, in its words."""

import json
from collections.abc import Iterable

from isthmus.apiserver.schema import Cause


def shown(value: object) -> str:
    """A value as messages quote it."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def go_value(value: object, *, quoted: bool = False) -> str:
    """A value as Go prints it, where messages show Go's own: `map[a:1]`."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case dict():
            return f"map[{' '.join(f'{key}:{go_value(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(map(go_value, value))}]"
        case str() if quoted:
            return shown(value)
    return str(value)


def under(path: str, name: str) -> str:
    """The path of a member."""
    return f"{path}.{name}" if path else name


def wrong(path: str, value: object, message: str) -> Cause:
    """The value is not what it has to be."""
    return Cause(path, "FieldValueInvalid", f"Invalid value: {shown(value)}: {message}")


def wrong_type(path: str, value: object, message: str) -> Cause:
    """The value has another type, or not the form its type asks for."""
    return Cause(path, "FieldValueTypeInvalid", f"Invalid value: {shown(value)}: {message}")


def required(path: str, message: str = "") -> Cause:
    """The value is missing."""
    return Cause(path, "FieldValueRequired", f"Required value: {message}" if message else "Required value")


def forbidden(path: str, message: str) -> Cause:
    """The value may not be there."""
    return Cause(path, "FieldValueForbidden", f"Forbidden: {message}")


def duplicate(path: str, value: object) -> Cause:
    """The value is there already."""
    return Cause(path, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def unsupported(path: str, value: object, allowed: Iterable[object]) -> Cause:
    """The value is none of those allowed."""
    names = ", ".join(json.dumps(item if isinstance(item, str) else shown(item)) for item in allowed)
    message = f"Unsupported value: {shown(value)}: supported values: {names}"
    return Cause(path, "FieldValueNotSupported", message)


def too_long(path: str, most: int) -> Cause:
    """The text is longer than `most` bytes."""
    size = "1 byte" if most == 1 else f"{most} bytes"
    return Cause(path, "FieldValueTooLong", f"Too long: may not be more than {size}")


def too_many(path: str, seen: int, most: int) -> Cause:
    """The list or map has more than `most` members."""
    items = "1 item" if most == 1 else f"{most} items"
    return Cause(path, "FieldValueTooMany", f"Too many: {seen}: must have at most {items}")
