"""Label selectors as text: `app=web,tier in (a,b),!old`, read and refused in Kubernetes' words."""

import re

from isthmus.apiserver.builtin.names import key_faults, value_faults
from isthmus.apiserver.causes import shown
from isthmus.apiserver.selectors import Requirement
from isthmus.apiserver.status import bad_request

TOKEN = re.compile(r"\s*(?P<text>==|!=|[=!<>(),]|[^\s=!<>(),]+|$)")
SIGNS = frozenset({"==", "!=", "=", "!", "<", ">", "(", ")", ",", ""})
HOWS = {"in": "in", "notin": "notin", "=": "in", "==": "in", "!=": "notin", ">": ">", "<": "<"}
EXPECTED = "in, notin, =, ==, !=, gt, lt"
NEXT = "!, identifier, or 'end of string'"
MAX_REQUIREMENTS = 1000


class _Unreadable(Exception):  # never leaves this file
    """What the text lacks."""


class _Reader:
    """One pass over a selector's tokens."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def look(self) -> str:
        """The next token; empty at the end."""
        found = TOKEN.match(self._text, self._at)
        return found["text"] if found else ""

    def take(self) -> str:
        """The next token, which is then behind."""
        found = TOKEN.match(self._text, self._at)
        self._at = found.end() if found else len(self._text)
        return found["text"] if found else ""


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The requirements of a label selector. Raises Refused (400)."""
    try:
        return tuple(_requirements(_Reader(text)))
    except _Unreadable as fault:
        raise bad_request(str(fault)) from None


def _requirements(reader: _Reader) -> list[Requirement]:
    found: list[Requirement] = []
    while (seen := reader.look()) != "":
        if seen in SIGNS and seen != "!":
            raise _Unreadable(f"found '{seen}', expected: {NEXT}")
        if len(found) == MAX_REQUIREMENTS:
            raise _Unreadable(f"unable to parse requirement: more than {MAX_REQUIREMENTS} of them")
        try:
            found.append(_requirement(reader))
        except _Unreadable as fault:
            raise _Unreadable(f"unable to parse requirement: {fault}") from None
        seen = reader.take()
        if seen == ",":
            following = reader.look()
            if following in SIGNS and following != "!":
                raise _Unreadable(f"found '{following}', expected: identifier after ','")
        elif seen:
            raise _Unreadable(f"found '{seen}', expected: ',' or 'end of string'")
    return found


def _requirement(reader: _Reader) -> Requirement:
    absent = reader.look() == "!" and bool(reader.take())
    key = reader.take()
    if key in SIGNS:
        raise _Unreadable(f"found '{key}', expected: identifier")
    for fault in key_faults(key):
        raise _Unreadable(f"<nil>: Invalid value: {shown(key)}: {fault}")
    if absent:
        return Requirement(key, "absent")
    if reader.look() in {"", ","}:
        return Requirement(key, "exists")
    sign = reader.take()
    if sign not in HOWS:
        raise _Unreadable(f"found '{sign}', expected: {EXPECTED}")
    values = _several(reader) if sign in {"in", "notin"} else [_single(reader)]
    for index, value in enumerate(values):
        if sign in {">", "<"} and not re.fullmatch(r"[-+]?\d+", value):
            told = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _Unreadable(f"values[{index}]: Invalid value: {shown(value)}: {told}")
        for fault in value_faults(value):
            raise _Unreadable(f"values[{index}][{key}]: Invalid value: {shown(value)}: {fault}")
    return Requirement(key, HOWS[sign], frozenset(values))


def _single(reader: _Reader) -> str:
    if reader.look() in {"", ","}:
        return ""
    value = reader.take()
    if value in SIGNS:
        raise _Unreadable(f"found '{value}', expected: identifier")
    return value


def _several(reader: _Reader) -> list[str]:
    """The values in parentheses; what is empty between commas is the empty value."""
    opened = reader.take()
    if opened != "(":
        raise _Unreadable(f"found '{opened}' expected: '('")
    values, blank = [], True
    while (seen := reader.take()) != ")":
        if seen == ",":
            values += [""] if blank else []
            blank = True
        elif seen in SIGNS:
            raise _Unreadable(f"found '{seen}', expected: ',' or ')'")
        else:
            values.append(seen)
            blank = False
            if (following := reader.look()) not in {",", ")"}:
                raise _Unreadable(f"found '{following}', expected: ',' or ')'")
    return sorted({*values, *([""] if blank else [])})
