"""JSONPath as printer columns use it: members, indices, wildcards, slices and simple filters."""

import functools
import json
import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

Step: TypeAlias = Callable[[object], Iterator[object]]

TOKEN = re.compile(
    r"\.(?P<member>[A-Za-z0-9_\-/$]+|\*)"
    r"|\.\.(?P<deep>[A-Za-z0-9_\-]+)"
    r"|\[\?\(\s*@(?P<path>(?:\.[\w\-/]+|\['[^']*'\])*)\s*(?:(?P<how>==|!=)\s*(?P<value>'[^']*'|\"[^\"]*\"|[\w.\-]+))?\s*\)\]"
    r"|\[(?P<index>-?\d+)\]|\[(?P<start>-?\d*):(?P<end>-?\d*)\]"
    r"|\[(?P<all>\*)\]|\['(?P<quoted>[^']*)'\]|\[\"(?P<double>[^\"]*)\"\]"
)


def find(path: str, value: object) -> list[object]:
    """Everything that `path` leads to; nothing for paths that are not understood."""
    found = [value]
    for step in _steps(path):
        found = [below for each in found for below in step(each)]
    return found


def printed(value: object) -> str:
    """A value as text, as kubectl prints it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


@functools.lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[Step, ...]:
    # `.metadata.annotations.a\.b` escapes the dot of a key.
    text = re.sub(r"\.((?:[A-Za-z0-9_\-/]|\\\.)*\\\.(?:[A-Za-z0-9_\-/]|\\\.)*)", _unescaped, path.strip().strip("{}"))
    text = text if text.startswith((".", "[")) else f".{text}"
    steps, position = [], 0
    while position < len(text):
        token = TOKEN.match(text, position)
        if token is None:
            return (lambda _: iter(()),)
        steps.append(_step(token))
        position = token.end()
    return tuple(steps)


def _unescaped(match: re.Match[str]) -> str:
    return "['" + match[1].replace("\\.", ".") + "']"


def _step(token: re.Match[str]) -> Step:
    names = token.groupdict()
    member = next((names[each] for each in ("member", "quoted", "double") if names[each] is not None), None)
    if member == "*" or names["all"]:
        return _all
    if member is not None:
        return functools.partial(_member, member)
    if names["deep"]:
        return functools.partial(_deep, names["deep"])
    if names["index"] is not None:
        return functools.partial(_index, int(names["index"]))
    if names["path"] is not None:
        return functools.partial(_filter, names["path"], names["how"] or "", names["value"] or "")
    start, end = (int(names[each]) if names[each] else None for each in ("start", "end"))
    return functools.partial(_slice, slice(start, end))


def _member(name: str, value: object) -> Iterator[object]:
    if isinstance(value, dict) and name in value:
        yield value[name]


def _all(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _deep(name: str, value: object) -> Iterator[object]:
    yield from _member(name, value)
    for below in _all(value):
        yield from _deep(name, below)


def _index(index: int, value: object) -> Iterator[object]:
    if isinstance(value, list) and -len(value) <= index < len(value):
        yield value[index]


def _slice(part: slice, value: object) -> Iterator[object]:
    if isinstance(value, list):
        yield from value[part]


def _filter(path: str, how: str, wanted: str, value: object) -> Iterator[object]:
    for item in _all(value):
        found = find(path, item) if path else [item]
        if found and (not how or (printed(found[0]) == wanted.strip("'\"")) is (how == "==")):
            yield item
