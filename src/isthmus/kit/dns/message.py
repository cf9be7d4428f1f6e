"""Packets: questions read from octets nobody vouches for, answers written within their asker's limit."""

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import takewhile

from isthmus.errors import Invalid
from isthmus.kit.dns.names import from_wire, to_wire
from isthmus.kit.dns.records import Empty, Record, Service, Type, read

# What is safe on any path without fragments (DNS flag day 2020), and what every asker takes (RFC 1035).
PAYLOAD = 1232
LEAST_PAYLOAD = 512
MOST = 65535

_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_IN = 1
_QR, _OPCODE, _AA, _TC, _RD, _CD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0010
_DNSSEC_OK = 0x8000
# Types that ask for something other than records: transfers, keys, signatures, mailboxes.
_META = range(249, 255)


class Rcode(IntEnum):
    """How it went."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a name, lower-cased, and a type. The class is always IN."""

    name: str
    type: int


@dataclass(frozen=True, slots=True)
class Query:
    """A question as it was sent.

    `wire` is its octets, whose case the answer keeps (MCS-100); `payload` the largest UDP answer that its
    sender takes; `fault` what is wrong with it, to be said instead of an answer.
    """

    id: int
    flags: int
    question: Question = Question("", 0)
    wire: bytes = b""
    payload: int = LEAST_PAYLOAD
    edns: bool = False
    dnssec_ok: bool = False
    fault: int = Rcode.NOERROR


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say. With `keep` the server may say it again, unasked, until it is told to forget the name."""

    rcode: int = Rcode.NOERROR
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authoritative: bool = True
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Forward:
    """Let one of these servers (address, port) answer, asked in turn, each for `seconds`."""

    servers: tuple[tuple[str, int], ...]
    seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said."""

    id: int
    question: Question
    rcode: int
    answers: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    authoritative: bool
    truncated: bool


def read_query(packet: bytes) -> Query | None:
    """The query in a packet, with its fault where it has one; None where silence is the only safe answer."""
    if len(packet) < _HEADER.size:
        return None
    ident, flags, questions, *counts = _HEADER.unpack_from(packet)
    if flags & _QR:
        return None
    if flags & _OPCODE:
        return Query(ident, flags, fault=Rcode.NOTIMP)
    if questions != 1:
        return Query(ident, flags, fault=Rcode.FORMERR)
    try:
        return _read_asked(packet, ident, flags, sum(counts))
    except (Invalid, struct.error):
        return Query(ident, flags, fault=Rcode.FORMERR)


def _read_asked(packet: bytes, ident: int, flags: int, records: int) -> Query:
    name, end = from_wire(packet, _HEADER.size)
    kind, cls = _QUESTION.unpack_from(packet, end)
    end += _QUESTION.size
    extension = _read_extension(packet, end, records)
    fault = Rcode.NOERROR
    if extension is not None and extension.version:
        fault = Rcode.BADVERS
    elif cls != _IN or kind in _META:
        fault = Rcode.REFUSED
    return Query(
        ident,
        flags,
        Question(name, kind),
        packet[_HEADER.size : end],
        payload=LEAST_PAYLOAD if extension is None else max(extension.payload, LEAST_PAYLOAD),
        edns=extension is not None,
        dnssec_ok=extension is not None and extension.dnssec_ok,
        fault=fault,
    )


@dataclass(frozen=True, slots=True)
class _Extension:
    """An OPT record (RFC 6891)."""

    payload: int
    version: int
    dnssec_ok: bool


def _read_extension(packet: bytes, offset: int, records: int) -> _Extension | None:
    found = None
    for _ in range(records):
        name, offset = from_wire(packet, offset)
        kind, payload, ttl, size = _RECORD.unpack_from(packet, offset)
        offset += _RECORD.size + size
        if kind == Type.OPT:
            if found is not None or name:
                raise Invalid("there is one OPT record, and it stands at the root")
            found = _Extension(payload, ttl >> 16 & 0xFF, bool(ttl & _DNSSEC_OK))
    if offset != len(packet):
        raise Invalid("the packet ends before or after its last record")
    return found


@dataclass(slots=True)
class _Writer:
    """A packet that grows, and remembers where each name stands, to write it once (RFC 1035, 4.1.4)."""

    octets: bytearray
    room: int
    places: dict[str, int] = field(default_factory=dict)

    def add(self, record: Record) -> bool:
        """Append the record; False, and nothing appended, when there is no room for it."""
        start = len(self.octets)
        name = self._compressed(record.name)
        data = record.data.wire()
        head = _RECORD.pack(record.data.type, _IN, record.ttl, len(data))
        if start + len(name) + len(head) + len(data) > self.room:
            return False
        self.octets += name + head + data
        self.learn(record.name, start)
        if isinstance(record.data, Service):
            self.learn(record.data.target, len(self.octets) - len(to_wire(record.data.target)))
        return True

    def learn(self, name: str, offset: int) -> None:
        """The name stands in full, or up to a pointer, at `offset`."""
        while name and name not in self.places and offset < 0x4000:
            self.places[name] = offset
            label, _, name = name.partition(".")
            offset += len(to_wire(label)) - 1

    def _compressed(self, name: str) -> bytes:
        rest, labels = name, []
        while rest and rest not in self.places:
            label, _, rest = rest.partition(".")
            labels.append(to_wire(label)[:-1])
        end = struct.pack("!H", 0xC000 | self.places[rest]) if rest else b"\0"
        return b"".join(labels) + end


def write_answer(query: Query, answer: Answer, limit: int) -> bytes:
    """The answer in at most `limit` octets.

    Answers and authority that do not fit are cut after a whole record, with TC set (MCS-106); additional
    records that do not fit are left out in silence (RFC 2181, 9).
    """
    extension = _extension(query, answer.rcode) if query.edns else b""
    writer = _Writer(bytearray(_HEADER.size) + query.wire, limit - len(extension))
    writer.learn(query.question.name, _HEADER.size)
    sections = [
        [record for record in section if not isinstance(record.data, Empty)]
        for section in (answer.answers, answer.authority, answer.additional)
    ]
    counts = [0, 0, 0]
    for place, section in enumerate(sections):
        counts[place] = sum(1 for _ in takewhile(writer.add, section))
        if counts[place] < len(section):
            break
    cut = counts[:2] != [len(section) for section in sections[:2]]
    flags = _QR | query.flags & (_OPCODE | _RD | _CD) | answer.rcode & 0xF
    flags |= (_AA if answer.authoritative else 0) | (_TC if cut else 0)
    counts[2] += bool(extension)
    _HEADER.pack_into(writer.octets, 0, query.id, flags, bool(query.wire), *counts)
    return bytes(writer.octets + extension)


def _extension(query: Query, rcode: int) -> bytes:
    ttl = rcode >> 4 << 24 | (_DNSSEC_OK if query.dnssec_ok else 0)
    return b"\0" + _RECORD.pack(Type.OPT, PAYLOAD, ttl, 0)


def write_query(ident: int, question: Question, *, payload: int = PAYLOAD) -> bytes:
    """A packet that asks, with EDNS and recursion desired; raises Invalid when the name cannot be sent."""
    header = _HEADER.pack(ident, _RD, 1, 0, 0, 1)
    asked = to_wire(question.name) + _QUESTION.pack(question.type, _IN)
    return header + asked + b"\0" + _RECORD.pack(Type.OPT, payload, 0, 0)


def read_reply(packet: bytes) -> Reply:
    """The reply in a packet; raises Invalid when it is none."""
    try:
        ident, flags, questions, *counts = _HEADER.unpack_from(packet)
        if not flags & _QR or questions > 1:
            raise Invalid("the packet is a question, not a reply")
        offset, question = _HEADER.size, Question("", 0)
        if questions:
            name, offset = from_wire(packet, offset)
            question = Question(name, _QUESTION.unpack_from(packet, offset)[0])
            offset += _QUESTION.size
        answers, offset = _read_records(packet, offset, counts[0])
        authority, offset = _read_records(packet, offset, counts[1])
        additional, offset = _read_records(packet, offset, counts[2])
    except struct.error as error:
        raise Invalid("the reply is cut off") from error
    return Reply(
        ident,
        question,
        flags & 0xF,
        answers,
        authority,
        additional,
        authoritative=bool(flags & _AA),
        truncated=bool(flags & _TC),
    )


def _read_records(packet: bytes, offset: int, count: int) -> tuple[tuple[Record, ...], int]:
    records = []
    for _ in range(count):
        name, offset = from_wire(packet, offset)
        kind, _, ttl, size = _RECORD.unpack_from(packet, offset)
        offset += _RECORD.size
        if offset + size > len(packet):
            raise Invalid("a record is cut off")
        if kind != Type.OPT:
            records.append(Record(name, read(packet, kind, offset, offset + size), ttl))
        offset += size
    return tuple(records), offset
