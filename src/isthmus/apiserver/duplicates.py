"""Fields that a body says twice: which, and where."""

import json
import re
from collections.abc import Iterator

import yaml

from isthmus.api.scheme import Manifest

MAX_NOTED = 100


class _Noted(dict[str, object]):
    """A JSON object that remembers its repeated members."""

    repeated: tuple[str, ...] = ()


def _noted(pairs: list[tuple[str, object]]) -> _Noted:
    found, repeated = _Noted(), []
    for key, value in pairs:
        if key in found:
            repeated.append(key)
        found[key] = value
    found.repeated = tuple(repeated)
    return found


def repeated_in_json(body: bytes, sent: Manifest) -> list[str]:
    """One sentence for each repeated field of a JSON body that was read as `sent`."""
    # Nearly always a body has as many colons after quotes as fields: then there is nothing to look for.
    if body.count(b'":') == _members(sent):
        return []
    found = json.loads(body, object_pairs_hook=_noted)
    return [f'duplicate field "{path}"' for path in _repeated(found, "")][:MAX_NOTED]


def _members(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_members, value.values()))
    return sum(map(_members, value)) if isinstance(value, list) else 0


def _repeated(value: object, path: str) -> Iterator[str]:
    if isinstance(value, _Noted):
        for key, member in value.items():
            where = f"{path}.{key}" if path else key
            yield from _repeated(member, where)
            if key in value.repeated:
                yield where
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _repeated(item, f"{path}[{index}]")


def repeated_in_yaml(body: bytes) -> list[str]:
    """One sentence for each repeated key of a YAML body, which can be read."""
    if not re.search(rb"[:\n]", body):
        return []
    return sorted(_repeated_keys(yaml.compose(body, yaml.CSafeLoader)))[:MAX_NOTED]


def _repeated_keys(node: object) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield f'line {key.start_mark.line + 1}: key "{key.value}" already set in map'
            seen.add(key.value)
            yield from _repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item)
