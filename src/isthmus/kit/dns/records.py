"""What can stand at a name: the record types that are served, and their data on the wire."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from isthmus.errors import Invalid
from isthmus.kit.dns.names import from_wire, to_wire


class Type(IntEnum):
    """Record types by their number."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    ANY = 255


@dataclass(frozen=True, slots=True)
class Address:
    """A or AAAA."""

    address: IPv4Address | IPv6Address

    @property
    def type(self) -> int:
        """A for IPv4, AAAA for IPv6."""
        return Type.A if self.address.version == 4 else Type.AAAA

    def wire(self) -> bytes:
        """Four or sixteen octets."""
        return self.address.packed


@dataclass(frozen=True, slots=True)
class Service:
    """SRV: where a service listens (RFC 2782). `priority` and `weight` are OURS (MCS-92)."""

    port: int
    target: str
    priority: int = 0
    weight: int = 100

    @property
    def type(self) -> int:
        """SRV."""
        return Type.SRV

    def wire(self) -> bytes:
        """Priority, weight, port, target; the target is never compressed."""
        return struct.pack("!HHH", self.priority, self.weight, self.port) + to_wire(self.target)


@dataclass(frozen=True, slots=True)
class Text:
    """TXT: one text."""

    value: str

    @property
    def type(self) -> int:
        """TXT."""
        return Type.TXT

    def wire(self) -> bytes:
        """Strings of up to 255 octets each, with their lengths."""
        octets = self.value.encode()
        parts = [octets[start : start + 255] for start in range(0, len(octets), 255)] or [b""]
        return b"".join(bytes([len(part)]) + part for part in parts)


@dataclass(frozen=True, slots=True)
class Pointer:
    """NS, CNAME or PTR: another name."""

    type: int
    target: str

    def wire(self) -> bytes:
        """The target, uncompressed."""
        return to_wire(self.target)


@dataclass(frozen=True, slots=True)
class Authority:
    """SOA: who answers for a zone. `minimum` bounds, in seconds, how long "none" may be kept (RFC 2308)."""

    server: str
    mailbox: str
    serial: int
    minimum: int
    refresh: int = 7200
    retry: int = 1800
    expire: int = 86400

    @property
    def type(self) -> int:
        """SOA."""
        return Type.SOA

    def wire(self) -> bytes:
        """Both names, then five numbers."""
        numbers = struct.pack("!5I", self.serial, self.refresh, self.retry, self.expire, self.minimum)
        return to_wire(self.server) + to_wire(self.mailbox) + numbers


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing: the name exists all the same, so that every question about it has an empty answer."""

    @property
    def type(self) -> int:
        """No type that could be asked for."""
        return 0

    def wire(self) -> bytes:
        """No octets."""
        return b""


@dataclass(frozen=True, slots=True)
class Opaque:
    """Data of a type that is not served here, as it came."""

    type: int
    octets: bytes

    def wire(self) -> bytes:
        """The octets."""
        return self.octets


Data: TypeAlias = Address | Service | Text | Pointer | Authority | Empty | Opaque


@dataclass(frozen=True, slots=True)
class Record:
    """One record of class IN; `ttl` in seconds."""

    name: str
    data: Data
    ttl: int


def can_be_sent(record: Record) -> bool:
    """Whether a packet can carry it: names within their limits, numbers within theirs."""
    try:
        to_wire(record.name)
        return len(record.data.wire()) <= 0xFFFF and 0 <= record.ttl < 1 << 31
    except (Invalid, struct.error):
        return False


def read(packet: bytes, kind: int, start: int, end: int) -> Data:
    """The record data between two offsets of a packet; raises Invalid when it is not what its type says."""
    try:
        data, stop = _read(packet, kind, start, end)
    except (ValueError, struct.error, IndexError) as error:
        raise Invalid(f"a record of type {kind} holds {end - start} octets that do not fit") from error
    if stop != end:
        raise Invalid(f"a record of type {kind} is shorter or longer than its data")
    return data


def _read(packet: bytes, kind: int, start: int, end: int) -> tuple[Data, int]:
    octets = packet[start:end]
    match kind:
        case Type.A:
            return Address(IPv4Address(octets)), end
        case Type.AAAA:
            return Address(IPv6Address(octets)), end
        case Type.SRV:
            priority, weight, port = struct.unpack_from("!HHH", octets)
            target, stop = from_wire(packet, start + 6)
            return Service(port, target, priority, weight), stop
        case Type.NS | Type.CNAME | Type.PTR:
            target, stop = from_wire(packet, start)
            return Pointer(kind, target), stop
        case Type.TXT:
            return _read_text(octets), end
        case Type.SOA:
            server, stop = from_wire(packet, start)
            mailbox, stop = from_wire(packet, stop)
            serial, refresh, retry, expire, minimum = struct.unpack_from("!5I", packet, stop)
            return Authority(server, mailbox, serial, minimum, refresh, retry, expire), stop + 20
        case _:
            return Opaque(kind, octets), end


def _read_text(octets: bytes) -> Text:
    parts, offset = [], 0
    while offset < len(octets):
        size = octets[offset]
        parts.append(octets[offset + 1 : offset + 1 + size])
        offset += 1 + size
    if offset != len(octets):
        raise ValueError("a string is cut off")
    return Text(b"".join(parts).decode(errors="replace"))
