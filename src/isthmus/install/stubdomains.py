"""kube-dns' stub domains with our zone among them, and without: every other byte of that JSON stays as it is.

Kubernetes, "Customizing DNS Service", kube-dns: an object of domains, each with a list of addresses to ask.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from isthmus.errors import Invalid

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_SCAN: Final = json.JSONDecoder().raw_decode


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """What we did to the text. It stands beside it, in an annotation: JSON has no comments.

    `aside` is the value of somebody else's entry, as it was written; `made` says that there was no object, and
    `absent` that there was not even an empty text.
    """

    servers: tuple[str, ...]
    aside: str = ""
    made: bool = False
    absent: bool = False


@dataclass(frozen=True)
class Stubs:
    """The text, None where there is none, and what we did to it."""

    text: str | None
    mark: Mark | None = None


@dataclass(frozen=True)
class _Entry:
    domain: str
    servers: tuple[str, ...]
    start: int
    value: int
    end: int


def with_domain(seen: Stubs, zone: str, servers: Sequence[str], *, replace_others: bool = False) -> Stubs:
    """The stub domains that have `zone` answered by `servers`.

    Raises Invalid for what kube-dns would not read, and where somebody else's entry has the zone: unless it is to be
    replaced, which keeps its value in the mark.
    """
    wanted, value = tuple(servers), json.dumps(list(servers), separators=(",", ":"))
    text = seen.text or ""
    if not text.strip():
        made = f"{{{json.dumps(zone)}:{value}}}{text}"
        return Stubs(made, Mark(wanted, made=True, absent=seen.text is None))
    entries = _entries(text)
    mine = _of_zone(entries, zone)
    if mine is None:
        at = entries[-1].end if entries else text.index("{") + 1
        comma = "," if entries else ""
        return Stubs(f"{text[:at]}{comma}{json.dumps(zone)}:{value}{text[at:]}", Mark(wanted))
    if mine.servers == wanted:
        return seen
    there = text[mine.value : mine.end]
    changed = text[: mine.value] + value + text[mine.end :]
    if seen.mark is not None and mine.servers == seen.mark.servers:
        return Stubs(changed, msgspec.structs.replace(seen.mark, servers=wanted))
    if not replace_others and (seen.mark is None or seen.mark.aside != there):
        raise Invalid(
            f"stubDomains: {zone} is answered by {', '.join(mine.servers) or 'nobody'} already; "
            "to set that aside (undone by --undo) type: isthmus dns configure --replace"
        )
    return Stubs(changed, Mark(wanted, aside=there))


def without_domain(seen: Stubs, zone: str, servers: Sequence[str] = ()) -> Stubs:
    """The stub domains as they were before us; an entry that has nothing but `servers` is ours without a mark too.

    Raises Invalid for what kube-dns would not read.
    """
    text, mark = seen.text or "", seen.mark
    if not text.strip() or (mark is None and zone not in text):
        return Stubs(seen.text)
    entries = _entries(text)
    mine = _of_zone(entries, zone)
    ours = {tuple(servers), mark.servers if mark is not None else ()} - {()}
    if mine is None or mine.servers not in ours:
        return Stubs(seen.text)
    if mark is not None and mark.aside:
        return Stubs(text[: mine.value] + mark.aside + text[mine.end :])
    if mark is not None and mark.made and len(entries) == 1:
        return Stubs(None if mark.absent else text[text.rindex("}") + 1 :])
    return Stubs(_cut(text, entries, entries.index(mine)))


def _cut(text: str, entries: Sequence[_Entry], place: int) -> str:
    mine = entries[place]
    if place:
        return text[: entries[place - 1].end] + text[mine.end :]
    return text[: mine.start] + text[entries[1].start if len(entries) > 1 else mine.end :]


def _of_zone(entries: Sequence[_Entry], zone: str) -> _Entry | None:
    found = [entry for entry in entries if entry.domain.lower().rstrip(".") == zone]
    if len(found) > 1:
        raise Invalid(f"stubDomains: {zone} is there twice; take one out")
    return found[0] if found else None


def _entries(text: str) -> list[_Entry]:
    _demand_readable(text)
    found: list[_Entry] = []
    at = text.index("{") + 1
    while text[at := _after_space(text, at)] != "}":
        start = _after_space(text, at + 1) if found else at
        domain, at = _SCAN(text, start)
        # Past the colon.
        value = _after_space(text, _after_space(text, at) + 1)
        servers, at = _SCAN(text, value)
        found.append(_Entry(domain, tuple(servers), start, value, at))
    return found


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _demand_readable(text: str) -> None:
    try:
        # Read by the same scanner that the places of its entries are found with.
        found = json.loads(text)
        msgspec.convert(found, dict[str, list[str]])
    except (ValueError, RecursionError, msgspec.ValidationError) as problem:
        raise Invalid(
            f"stubDomains: not an object of domains with lists of addresses ({problem}), and kube-dns cannot read it "
            "either; mend it first"
        ) from problem
