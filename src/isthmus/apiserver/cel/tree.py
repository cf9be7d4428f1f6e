"""A compiled expression as the CEL library writes it down: the nodes of its syntax, read and made.

cel-spec, `syntax.proto` and `checked.proto`.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

# The numbers of a node's kinds, which are also its fields.
CONSTANT, IDENT, SELECT, CALL, LIST, STRUCT, LOOP = 3, 4, 5, 6, 7, 8, 9
_ID: Final = 2
_INNER: Final = {SELECT: {1}, CALL: {1, 3}, LIST: {1}, LOOP: {2, 4, 5, 6, 7}}
_VARINT, _EIGHT, _BYTES = 0, 1, 2
# Where a checked expression has its root.
_ROOT: Final = 4
_TYPE: Final = b"type.googleapis.com/cel.expr.CheckedExpr"
# Far from the library's own, which count from 1.
_ids: Final = itertools.count(1 << 20)

Fields: TypeAlias = list[tuple[int, int | bytes]]


def _number(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _read(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number, shift, at = number | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return number, at


def fields_of(message: bytes) -> Fields:
    """The fields of a message, in order; one of eight bytes has its wire type in its number."""
    fields: Fields = []
    at = 0
    while at < len(message):
        key, at = _read(message, at)
        if key & 7 == _VARINT:
            value, at = _read(message, at)
            fields.append((key >> 3, value))
            continue
        size, at = (8, at) if key & 7 == _EIGHT else _read(message, at)
        fields.append((-(key >> 3) if key & 7 == _EIGHT else key >> 3, message[at : at + size]))
        at += size
    return fields


def message_of(fields: Iterable[tuple[int, int | bytes]]) -> bytes:
    """The message with these fields."""
    out = bytearray()
    for name, value in fields:
        if isinstance(value, int):
            out += _number(name << 3 | _VARINT) + _number(value)
        elif name < 0:
            out += _number(-name << 3 | _EIGHT) + value
        else:
            out += _number(name << 3 | _BYTES) + _number(len(value)) + value
    return bytes(out)


def rewritten(serialized: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A serialized expression with another root in its place."""
    checked = dict(fields_of(serialized))[2]
    assert isinstance(checked, bytes)
    changed = [(name, change(value) if name == _ROOT else value) for name, value in fields_of(checked)]  # type: ignore[arg-type]  # a message
    return message_of([(1, _TYPE), (2, message_of(changed))])


def opened(node: bytes) -> tuple[int, Fields]:
    """A node's kind and its fields; kind 0 is a node without anything."""
    for name, value in fields_of(node):
        if name != _ID and isinstance(value, bytes):
            return name, fields_of(value)
    return 0, []


def with_inner(node: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The node with each of those directly inside of it changed."""

    def entry(fields: Fields) -> bytes:
        return message_of((name, change(value) if name in {3, 4} else value) for name, value in fields)  # type: ignore[arg-type]  # nodes

    def body(kind: int, fields: Fields) -> bytes:
        if kind == STRUCT:
            return message_of((name, entry(fields_of(value)) if name == 2 else value) for name, value in fields)  # type: ignore[arg-type]  # entries
        inner = _INNER.get(kind, set())
        return message_of((name, change(value) if name in inner else value) for name, value in fields)  # type: ignore[arg-type]  # nodes

    return message_of(
        (name, body(name, fields_of(value)) if name != _ID and isinstance(value, bytes) else value)
        for name, value in fields_of(node)
    )


def made(kind: int, fields: Iterable[tuple[int, int | bytes]]) -> bytes:
    """A new node."""
    return message_of([(_ID, next(_ids)), (kind, message_of(fields))])


NULL: Final = made(CONSTANT, [(1, 0)])
FALSE: Final = made(CONSTANT, [(2, 0)])
TRUE: Final = made(CONSTANT, [(2, 1)])
EMPTY_MAP: Final = made(STRUCT, [])
EMPTY_LIST: Final = made(LIST, [])


def whole(number: int) -> bytes:
    """A number, not negative."""
    return made(CONSTANT, [(3, number)])


def ident(name: str) -> bytes:
    """A variable."""
    return made(IDENT, [(1, name.encode())])


def call(function: str, *args: bytes, target: bytes | None = None) -> bytes:
    """A function of these."""
    receiver = [(1, target)] if target is not None else []
    return made(CALL, [*receiver, (2, function.encode()), *((3, arg) for arg in args)])


def either(condition: bytes, one: bytes, other: bytes) -> bytes:
    """One if the condition holds, else the other."""
    return call("_?_:_", condition, one, other)


def bound(name: str, value: bytes, result: bytes) -> bytes:
    """The result, in which the name stands for the value."""
    loop = [(1, b"#unused"), (2, EMPTY_LIST), (3, name.encode()), (4, value), (5, FALSE), (6, ident(name)), (7, result)]
    return made(LOOP, loop)
