"""Answers that were written once and may be given again, found by the very octets of the question."""

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

# A question whose case or options differ is another one, so this many is some way above the names in use.
_MOST = 16384
# Who sends much in one question is not to fill the memory with it.
_LONGEST = 512


class Body(NamedTuple):
    """A packet without its id, its first two octets; `address` is where it stands while this object lives.

    `given` is a cell, shared by answers of one kind: who sends a kept body adds one to it.
    """

    address: int
    size: int
    octets: bytes
    given: list[int]


NO_BODY = Body(0, 0, b"", [0])


def body(packet: bytes, given: list[int] | None = None) -> Body:
    """The body of a packet; without `given`, of one that is counted already."""
    octets = packet[2:]
    address = ctypes.cast(ctypes.c_char_p(octets), ctypes.c_void_p).value
    return Body(address or 0, len(octets), octets, NO_BODY.given if given is None else given)


@dataclass(slots=True)
class Kept:
    """Bodies of answers by bodies of questions; when there are too many, all are dropped."""

    bodies: dict[bytes, Body] = field(default_factory=dict)
    _asked: dict[str, list[bytes]] = field(default_factory=dict)

    def put(self, name: str, asked: bytes, answer: Body) -> None:
        """Keep the answer to the packet `asked`, whose question is about `name`."""
        if len(asked) > _LONGEST:
            return
        if len(self.bodies) >= _MOST:
            self.clear()
        self.bodies[asked[2:]] = answer
        self._asked.setdefault(name, []).append(asked[2:])

    def forget(self, names: Iterable[str]) -> None:
        """Drop what was said about these names."""
        for name in names:
            for asked in self._asked.pop(name, ()):
                del self.bodies[asked]

    def clear(self) -> None:
        """Drop all."""
        self.bodies.clear()
        self._asked.clear()
