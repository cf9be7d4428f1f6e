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
# Blocks of others that ours replaces stand behind this where they stood, line by line.
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

    def serves(self, zone: str) -> bool:
        """Whether it is for exactly that zone."""
        return any(name_of(each) == zone for each in self.zones)


def with_zone(
    corefile: str, zone: str, servers: Sequence[str], *, replace: bool = False, is_cache: bool = False
) -> str:
    """The Corefile that has `zone` answered by `servers`; one of ours that is there is made anew.

    With no servers it has no block for the zone at all. `is_cache` says that it is NodeLocal DNSCache's, which has
    few plugins and shares its node's addresses with others. Raises Invalid for a Corefile that cannot be read, and
    where another block has the zone: unless it is to be replaced, which sets it aside as a comment.
    """
    plain = _unmarked(corefile, give_back=False)
    blocks = read(plain)
    lines = plain.split("\n")
    for rival in blocks:
        if not rival.serves(zone):
            continue
        _demand_replaceable(rival, zone, replace=replace)
        span = slice(rival.first, rival.last + 1)
        lines[span] = [_ASIDE + line for line in lines[span]]
    if servers:
        # Before the rest: those who only append to the file, as some distributions do, find its end as it was.
        lines = [BEGIN, *_block(zone, servers, blocks, is_cache=is_cache), END, *lines]
    return "\n".join(lines)


def without(corefile: str) -> str:
    """The Corefile as it was before us, byte for byte. Raises Invalid where our marks do not match."""
    return _unmarked(corefile, give_back=True)


def multicluster_line(corefile: str, zone: str) -> int:
    """The line (from 1) where CoreDNS' own plugin `multicluster` is given the zone; 0 where it is not."""
    for block in read(corefile):
        for number, line in enumerate(block.body, start=block.last - len(block.body) + 1):
            words = list(_words(line))
            names = [word for word in words[1:] if word != "{"] or block.zones
            if words[:1] == ["multicluster"] and any(_is_within(zone, name_of(name)) for name in names):
                return number
    return 0


def read(corefile: str) -> list[Block]:
    """Its server blocks; raises Invalid for what is no Corefile."""
    if len(corefile) > _LARGEST:
        raise Invalid("Corefile: larger than 1 MiB; is it one?")
    found: list[Block] = []
    zones: list[str] = []
    first, depth = 0, 0
    body: list[str] = []
    for number, line in enumerate(corefile.split("\n")):
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
    for line in corefile.split("\n"):
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


def _is_within(zone: str, outer: str) -> bool:
    return outer == "." or zone == outer or zone.endswith(f".{outer}")


def _unmarked(corefile: str, *, give_back: bool) -> str:
    kept: list[str] = []
    inside = False
    for number, line in enumerate(corefile.split("\n"), start=1):
        if line.strip() in {BEGIN, END}:
            if inside == (line.strip() == BEGIN):
                raise Invalid(f"Corefile line {number}: the marks of Isthmus do not match; take the rest out by hand")
            inside = not inside
        elif line.startswith(_ASIDE):
            kept.append(line.removeprefix(_ASIDE) if give_back else line)
        elif not inside:
            kept.append(line)
    if inside:
        raise Invalid(f"Corefile: the mark {END!r} is missing; put it behind our block")
    return "\n".join(kept)


def _demand_replaceable(rival: Block, zone: str, *, replace: bool) -> None:
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


def _block(zone: str, servers: Sequence[str], blocks: Sequence[Block], *, is_cache: bool) -> list[str]:
    root = next((block for block in blocks if block.serves(".")), None)
    match = _PORT.search(next(each for each in root.zones if name_of(each) == ".")) if root else None
    port = match.group(1) if match else _USUAL_PORT
    if not is_cache:
        like = [*_lines_of(root, "bind"), "errors", "loadbalance", "cache 5", f"forward . {' '.join(servers)}"]
        return [f"{zone}:{port} {{", *(f"    {line}" for line in like), "}"]
    # Without `bind` it would take port 53 of the whole node, where others may listen.
    model = root or next((block for block in blocks if _lines_of(block, "bind")), None)
    # By TCP, as it asks the cluster's DNS: what crosses to a Service by UDP is lost where connection tracking is full.
    forward = [f"forward . {' '.join(servers)} {{", "    force_tcp", "}"]
    like = [*_lines_of(model, "bind"), "errors", "cache 5", *forward, *_lines_of(model, "prometheus")]
    return [f"{zone}:{port} {{", *(f"    {line}" for line in like), "}"]


def _lines_of(block: Block | None, plugin: str) -> list[str]:
    return [line for line in block.body if line.split()[:1] == [plugin]] if block else []
