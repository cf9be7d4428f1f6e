"""Reads the protobuf bodies that Kubernetes' own clients send for built-in kinds; answers are JSON all the same.

`protobuf.json`, written by `tests/apiserver/protobuf_facts.py`, has the fields of every message: number,
JSON name (empty where a message's fields belong to the one around it), type. Types: `s` text, `b` bytes, `i`
integer, `B` truth, `d` number, else a message; `*` repeated, `%` map, `=` a message with JSON of its own.
"""

import base64
import functools
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TypeAlias

from isthmus.api.scheme import Manifest

MAGIC = b"k8s\x00"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_DEPTH = 50
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Value: TypeAlias = int | bytes
Field: TypeAlias = tuple[str, str]


class Malformed(Exception):  # never leaves the module that reads bodies
    """Not a protobuf body of a kind that is known here."""


@dataclass(frozen=True, slots=True)
class _Table:
    kinds: Mapping[str, str]
    messages: Mapping[str, Mapping[int, Field]]


@functools.cache
def _table() -> _Table:
    facts = json.loads(files(__package__).joinpath("protobuf.json").read_bytes())
    messages = {
        name: {int(number): (field[0], field[1]) for number, field in fields.items()}
        for name, fields in facts["messages"].items()
    }
    return _Table(facts["kinds"], messages)


def decode(body: bytes) -> Manifest:
    """The object in a body that starts with Kubernetes' magic number. Raises Malformed."""
    if not body.startswith(MAGIC):
        raise Malformed("the body does not start with k8s\\0")
    try:
        envelope = dict(_fields(body[len(MAGIC) :]))
        about = dict(_fields(_bytes(envelope.get(1, b""))))
        api_version, kind = _text(about.get(1, b"")), _text(about.get(2, b""))
        message = _table().kinds.get(f"{api_version}/{kind}") or _table().kinds.get(f"v1/{kind}")
        if message is None or envelope.get(3):
            raise Malformed(f"{kind} of {api_version} is not read as protobuf here")
        return {"apiVersion": api_version, "kind": kind} | _object(message, _bytes(envelope.get(2, b"")), 0)
    except (ValueError, IndexError, struct.error, OverflowError) as error:
        raise Malformed(f"the body is not valid protobuf: {error}") from error


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Every field of a message: number and raw value."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind, value = key & 7, 0
        if kind == VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        size = 8 if kind == FIXED64 else 4
        if kind == BYTES:
            size, position = _varint(data, position)
        elif kind not in {FIXED64, FIXED32}:
            raise Malformed(f"wire type {kind}")
        if position + size > len(data):
            raise Malformed("a field is cut short")
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise Malformed("a number of more than 64 bits")


def _object(message: str, data: bytes, depth: int) -> Manifest:
    if depth > MAX_DEPTH:
        raise Malformed(f"nested deeper than {MAX_DEPTH} levels")
    known = _table().messages[message]
    found: Manifest = {}
    for number, raw in _fields(data):
        name, kind = known.get(number, ("", ""))
        if not kind:
            continue
        if not name:
            found |= _object(kind, _bytes(raw), depth + 1)
        elif kind[0] == "*":
            found.setdefault(name, []).append(_value(kind[1:], raw, depth))
        elif kind[0] == "%":
            entry = dict(_fields(_bytes(raw)))
            empty = 0 if kind[1:] in {"i", "B"} else b""
            found.setdefault(name, {})[_text(entry.get(1, b""))] = _value(kind[1:], entry.get(2, empty), depth)
        else:
            found[name] = _value(kind, raw, depth)
    return found


def _value(kind: str, raw: Value, depth: int) -> object:
    if kind == "i":
        number = _number(raw)
        return number - (1 << 64) if number >> 63 else number
    if kind == "B":
        return bool(_number(raw))
    data = _bytes(raw)
    if kind == "s":
        return _text(data)
    if kind == "b":
        return base64.b64encode(data).decode()
    if kind == "d":
        return struct.unpack("<d", data)[0]
    if kind[0] == "=":
        return SPECIAL[kind[1:]](dict(_fields(data)), data)
    return _object(kind, data, depth + 1)


def _moment(fields: dict[int, Value]) -> datetime | None:
    seconds = _value("i", fields.get(1, 0), 0)
    # Go's zero time is the year 1: it stands for "not set".
    if not isinstance(seconds, int) or seconds <= -62135596800:
        return None
    return EPOCH + timedelta(seconds=seconds, microseconds=_number(fields.get(2, 0)) // 1000)


def _time(fields: dict[int, Value], data: bytes) -> object:
    moment = _moment(fields) if data else None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _micro_time(fields: dict[int, Value], data: bytes) -> object:
    moment = _moment(fields) if data else None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def _int_or_string(fields: dict[int, Value], _: bytes) -> object:
    return _text(fields.get(3, b"")) if fields.get(1) else _value("i", fields.get(2, 0), 0)


def _quantity(fields: dict[int, Value], _: bytes) -> object:
    return _text(fields.get(1, b"")) or "0"


def _raw(fields: dict[int, Value], _: bytes) -> object:
    text = _bytes(fields.get(1, b""))
    found: object = json.loads(text) if text else None
    return found


def _texts(_: dict[int, Value], data: bytes) -> object:
    return [_text(value) for number, value in _fields(data) if number == 1]


SPECIAL: Mapping[str, Callable[[dict[int, Value], bytes], object]] = {
    "Time": _time,
    "MicroTime": _micro_time,
    "IntOrString": _int_or_string,
    "Quantity": _quantity,
    "FieldsV1": _raw,
    "RawExtension": _raw,
    "ExtraValue": _texts,
}


def _bytes(raw: Value) -> bytes:
    if isinstance(raw, int):
        raise Malformed("a number where bytes belong")
    return raw


def _number(raw: Value) -> int:
    if not isinstance(raw, int):
        raise Malformed("bytes where a number belongs")
    return raw


def _text(raw: Value) -> str:
    return _bytes(raw).decode()
