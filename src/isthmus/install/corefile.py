"""A Corefile with a block of ours in it, and without: only what lies between our marks is ever changed.

CoreDNS, manual, "Configuration": server blocks are zones and a body in braces; `#` begins a comment.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from isthmus.errors import Invalid

BEGIN: Final = "# BEGIN isthmus: `isthmus dns configure --undo` takes this away"
END: Final = "# END isthmus"
# Blocks of others that ours replaces stand behind this, line by line.
_ASIDE: Final = "#isthmus-aside "
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s]+')
_PORT: Final = re.compile(r":(\d+)$")
_USUAL_PORT: Final = "53"
_LARGEST: Final = 1 << 20


@dataclass(frozen=True)
class Block:
    """One server block: its zones as they are written, and its first and last line (counted from 0)."""

    zones: tuple[str, ...]
    first: int
    last: int
    body: tuple[str, ...]


def with_zone(corefile: str, zone: str, servers: Sequence[str], *, replace: bool = False) -> str:
    """The Corefile that has `zone` answered by `servers`; one of ours that is there is made anew.

    Raises Invalid for a Corefile that cannot be read, and where another block has the zone: unless it is to be
    replaced, which sets it aside as a comment.
    """
    plain = without(corefile)
    blocks = read(plain)
    lines = plain.splitlines()
    rivals = [block for block in blocks if any(name_of(each) == zone for each in block.zones)]
    aside: list[str] = []
    for rival in reversed(rivals):
        if len(rival.zones) > 1:
            raise Invalid(
                f"Corefile line {rival.first + 1}: the block serves {zone} together with other zones; "
                f"give {zone} a block of its own, or take it out there"
            )
        if not replace:
            raise Invalid(
                f"Corefile line {rival.first + 1}: another block serves {zone} already; "
                "to set it aside (undone by --undo) type: isthmus dns configure --replace"
            )
        aside = [_ASIDE + line for line in lines[rival.first : rival.last + 1]] + aside
        del lines[rival.first : rival.last + 1]
    root = next((block for block in blocks if any(name_of(each) == "." for each in block.zones)), None)
    ours = [BEGIN, *aside, *_block(zone, servers, root), END]
    # Before the rest: those who only append to the file, as some distributions do, find its end as it was.
    return "\n".join([*ours, *lines]) + "\n"


def without(corefile: str) -> str:
    """The Corefile as it was before us. Raises Invalid where our marks do not match."""
    kept: list[str] = []
    inside = False
    for number, line in enumerate(corefile.splitlines(), start=1):
        if line.strip() in {BEGIN, END}:
            if inside == (line.strip() == BEGIN):
                raise Invalid(f"Corefile line {number}: the marks of Isthmus do not match; take the rest out by hand")
            inside = not inside
        elif inside and line.startswith(_ASIDE):
            kept.append(line.removeprefix(_ASIDE))
        elif not inside:
            kept.append(line)
    if inside:
        raise Invalid(f"Corefile: the mark {END!r} is missing; put it behind our block")
    return "\n".join(kept) + ("\n" if kept else "")


def read(corefile: str) -> list[Block]:
    """Its server blocks; raises Invalid for what is no Corefile."""
    if len(corefile) > _LARGEST:
        raise Invalid("Corefile: larger than 1 MiB; is it one?")
    found: list[Block] = []
    zones: list[str] = []
    first, depth = 0, 0
    body: list[str] = []
    for number, line in enumerate(corefile.splitlines()):
        words = list(_words(line))
        if depth == 0:
            if not zones:
                first = number
            if words[:1] == ["import"]:
                continue
            if "{" in words[:-1] or "}" in words:
                raise Invalid(f"Corefile line {number + 1}: a brace where none is expected: {line.strip()[:80]!r}")
            zones += [word.rstrip(",") for word in words if word != "{"]
            # Zones may go on in the next line, after a comma.
            if words and words[-1] == "{":
                depth, body = 1, []
            continue
        depth += (words[-1:] == ["{"]) - (words == ["}"])
        if depth == 0:
            found.append(Block(tuple(zones), first, number, tuple(body)))
            zones = []
        else:
            body.append(line.strip())
    if depth or zones:
        raise Invalid(f"Corefile line {first + 1}: the block is not closed")
    return found


def imports(corefile: str) -> str:
    """The pattern of files with further server blocks that it takes in, as AKS and k3s have it; or nothing."""
    depth = 0
    for line in corefile.splitlines():
        words = list(_words(line))
        if depth == 0 and words[:1] == ["import"] and len(words) == 2 and words[1].endswith("/*.server"):
            return words[1]
        depth += (words[-1:] == ["{"]) - (words == ["}"])
    return ""


def name_of(zone: str) -> str:
    """A zone as it is compared: without protocol and port, in lower case."""
    return _PORT.sub("", zone.removeprefix("dns://").lower()).rstrip(".") or "."


def _words(line: str) -> Iterator[str]:
    for word in _TOKEN.findall(line):
        if word.startswith("#"):
            return
        yield word


def _block(zone: str, servers: Sequence[str], root: Block | None) -> list[str]:
    port = _USUAL_PORT
    binds: list[str] = []
    if root is not None:
        match = _PORT.search(next(each for each in root.zones if name_of(each) == "."))
        port = match.group(1) if match else _USUAL_PORT
        binds = [f"    {line}" for line in root.body if line.split()[:1] == ["bind"]]
    return [
        f"{zone}:{port} {{",
        *binds,
        "    errors",
        "    loadbalance",
        "    cache 5",
        f"    forward . {' '.join(servers)}",
        "}",
    ]
