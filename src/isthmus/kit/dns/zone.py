"""A zone: who contributed which records, and what is true of any name below its origin.

RFC 1034 4.3.2, RFC 2308 (negative answers), RFC 8020 (empty non-terminals exist), RFC 8482 (ANY).
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from isthmus.kit.dns.message import Answer, Question, Rcode
from isthmus.kit.dns.names import parents, within
from isthmus.kit.dns.records import Address, Authority, Pointer, Record, Service, Type, can_be_sent

_MOST_ALIASES = 8


class Zone:
    """Records by name, each put there by an owner that may take it away again.

    Names between a record and the origin exist, with nothing at them. `ttl`, in seconds, is that of the
    zone's own records and of negative answers.
    """

    def __init__(self, origin: str, *, ttl: int, serial: int) -> None:
        self.origin = origin
        server = f"ns.dns.{origin}"
        start = Authority(server, f"hostmaster.{origin}", serial, ttl)
        self._authority = Record(origin, start, ttl)
        self._by_name: dict[str, dict[Hashable, tuple[Record, ...]]] = {}
        self._by_owner: dict[Hashable, dict[str, tuple[Record, ...]]] = {}
        self._below: Counter[str] = Counter()
        self.replace(Zone, (self._authority, Record(origin, Pointer(Type.NS, server), ttl)))

    def replace(self, owner: Hashable, records: Iterable[Record]) -> set[str]:
        """Let the owner's records be these and no others; the names about which something else is true now.

        Records outside the zone, or that no packet can carry, are not taken.
        """
        wanted = _by_name(record for record in records if self._can_hold(record))
        seen = self._by_owner.get(owner, {})
        if wanted == seen:
            return set()
        for name in seen:
            self._take(owner, name)
        for name, at in wanted.items():
            self._put(owner, name, at)
        if wanted:
            self._by_owner[owner] = wanted
        else:
            del self._by_owner[owner]
        changed = seen.keys() | wanted.keys()
        return changed.union(*(parents(name, self.origin) for name in changed))

    def _can_hold(self, record: Record) -> bool:
        return within(record.name, self.origin) and can_be_sent(record)

    def _put(self, owner: Hashable, name: str, records: tuple[Record, ...]) -> None:
        if name not in self._by_name:
            self._by_name[name] = {}
            self._below.update(parents(name, self.origin))
        self._by_name[name][owner] = records

    def _take(self, owner: Hashable, name: str) -> None:
        del self._by_name[name][owner]
        if not self._by_name[name]:
            del self._by_name[name]
            above = parents(name, self.origin)
            self._below.subtract(above)
            for parent in above:
                if not self._below[parent]:
                    del self._below[parent]

    def answer(self, question: Question) -> Answer | None:
        """What is true of a name; None for one outside this zone."""
        if not within(question.name, self.origin):
            return None
        found, name = [], question.name
        for _ in range(_MOST_ALIASES):
            matching = self._matching(name, question.type)
            found += matching
            alias = matching[0].data if matching else None
            if not isinstance(alias, Pointer) or alias.type != Type.CNAME or question.type in {Type.CNAME, Type.ANY}:
                break
            name = alias.target
        if matching or not within(name, self.origin):
            return Answer(answers=tuple(found), additional=tuple(self._additional(found)))
        rcode = Rcode.NOERROR if name in self._by_name or name in self._below else Rcode.NXDOMAIN
        return Answer(rcode, tuple(found), authority=(self._authority,))

    def _matching(self, name: str, kind: int) -> list[Record]:
        at = dict.fromkeys(record for records in self._by_name.get(name, {}).values() for record in records)
        if kind == Type.ANY:
            # RFC 8482: one set of records is answer enough, and of little use to those who forge the asker.
            kind = next((record.data.type for record in at), 0)
        return [record for record in at if record.data.type in {kind, Type.CNAME} and record.data.type]

    def _additional(self, answers: Iterable[Record]) -> Iterator[Record]:
        for target in dict.fromkeys(_host(record) for record in answers):
            yield from (
                record
                for records in self._by_name.get(target, {}).values()
                for record in records
                if isinstance(record.data, Address)
            )


def _by_name(records: Iterable[Record]) -> dict[str, tuple[Record, ...]]:
    names: dict[str, list[Record]] = {}
    for record in dict.fromkeys(records):
        names.setdefault(record.name, []).append(record)
    return {name: tuple(at) for name, at in names.items()}


def _host(record: Record) -> str:
    """The host that a record leads to, whose addresses the asker will want next."""
    if isinstance(record.data, Service) or (isinstance(record.data, Pointer) and record.data.type == Type.NS):
        return record.data.target
    return ""
