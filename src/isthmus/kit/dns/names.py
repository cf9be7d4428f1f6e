"""Domain names: text inside, length-prefixed labels on the wire.

As text a name is lower-case, absolute, and without its last dot; the root is "". Octets other than letters,
digits, "-" and "_" are written as a backslash and three digits (RFC 1035, 5.1): a dot always parts labels.
"""

import functools
import re

from isthmus.errors import Invalid

MOST_OCTETS = 255
MOST_LABEL = 63

_PLAIN = re.compile(rb"[a-z0-9_.-]+")
_DOT = ord(".")
_ESCAPE = re.compile(rb"\\([0-9]{3})")
_POINTER = 0xC0
_MOST_HOPS = 127
# The same few suffixes and targets stand in most answers.
_KNOWN = 4096


@functools.lru_cache(maxsize=_KNOWN)
def to_wire(name: str) -> bytes:
    """The name as length-prefixed labels, case kept; raises Invalid when a label or the whole is too long."""
    if not name:
        return b"\0"
    wire = b"".join(_wire_label(label, name) for label in name.split(".")) + b"\0"
    if len(wire) > MOST_OCTETS:
        raise Invalid(f"the domain name {name!r} is longer than 253 characters")
    return wire


def _wire_label(label: str, name: str) -> bytes:
    try:
        octets = label.encode("ascii")
        if b"\\" in octets:
            octets = _ESCAPE.sub(lambda digits: bytes([int(digits[1])]), octets)
    except ValueError as error:
        raise Invalid(f"the domain name {name!r} has a character that DNS cannot carry") from error
    if not 0 < len(octets) <= MOST_LABEL:
        raise Invalid(f"the domain name {name!r} has a label that is not 1 to 63 characters long")
    return bytes([len(octets)]) + octets


def is_name(name: str) -> bool:
    """Whether DNS can carry this name: labels of 1 to 63 characters, 253 in all (MCS-101)."""
    try:
        to_wire(name)
    except Invalid:
        return False
    return True


def from_wire(packet: bytes, offset: int) -> tuple[str, int]:
    """The name that begins at `offset`, lower-cased, and where what follows it begins; raises Invalid.

    Each compression pointer has to point before the last one did, so none can make a loop; 127 are followed.
    """
    labels: list[bytes] = []
    length, end, barrier, hops = 1, 0, offset, 0
    while True:
        size = _octet(packet, offset)
        if size >= _POINTER:
            target = (size & 0x3F) << 8 | _octet(packet, offset + 1)
            hops += 1
            if target >= barrier or hops > _MOST_HOPS:
                raise Invalid("a compressed name points forward, or through too many others")
            end = end or offset + 2
            offset = barrier = target
            continue
        if size > MOST_LABEL:
            raise Invalid("a label is of an unknown kind")
        length += size + 1
        if size == 0:
            return _text(labels), end or offset + 1
        if length > MOST_OCTETS or offset + 1 + size > len(packet):
            raise Invalid("a name is too long, or cut off")
        labels.append(packet[offset + 1 : offset + 1 + size])
        offset += 1 + size


def _octet(packet: bytes, offset: int) -> int:
    if offset >= len(packet):
        raise Invalid("a name is cut off")
    return packet[offset]


def _text(labels: list[bytes]) -> str:
    joined = b".".join(labels).lower()
    if _PLAIN.fullmatch(joined) and joined.count(b".") < max(1, len(labels)):
        return joined.decode("ascii")
    return ".".join("".join(map(_character, label.lower())) for label in labels)


def _character(octet: int) -> str:
    return chr(octet) if _PLAIN.fullmatch(bytes([octet])) and octet != _DOT else f"\\{octet:03}"


def within(name: str, zone: str) -> bool:
    """Whether the name is the zone's, or below it."""
    return name == zone or not zone or name.endswith("." + zone)


def parents(name: str, zone: str) -> list[str]:
    """The names between `name` and `zone`, nearest first, with the zone and without the name."""
    found = []
    while name != zone and "." in name:
        name = name.partition(".")[2]
        found.append(name)
    return found
