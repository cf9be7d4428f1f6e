"""What an agent tells of its cluster as others see it: whether its published address answers, and its clock.

Both are in a Member's status, which every agent of the set reads: only what matters is news.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from isthmus.api.isthmus import Probe

# Probes of one outcome in a row that change what is told: a single one that is lost on the way does not.
_IN_A_ROW: Final = 2
# Seconds. Below it clocks agree, as far as dates in whole seconds can tell.
_SAME: Final = 2.0
# As many characters as the field holds.
_LONGEST: Final = 1024


@dataclass(frozen=True)
class Probing:
    """What was told of the probes so far, and how many since then said otherwise."""

    told: Probe | None = None
    against: int = 0

    @classmethod
    def inherited(cls, told: Probe | None) -> "Probing":
        """What another agent told, perhaps long ago: the first look of one's own decides (INV-32)."""
        return cls(told, against=_IN_A_ROW - 1)

    def after(self, problem: str, now: datetime) -> "Probing":
        """After one more probe; an empty `problem` is an answer."""
        answered = not problem
        if self.told is not None and self.told.answered == answered:
            return replace(self, against=0)
        if self.told is not None and self.against + 1 < _IN_A_ROW:
            return replace(self, against=self.against + 1)
        return Probing(Probe(answered=answered, at=now.replace(microsecond=0), problem=problem[:_LONGEST]))


def told_difference(told: int | None, measured: float | None) -> int | None:
    """The clock difference to tell, in seconds, after one told and one `measured`: the same, unless it has moved."""
    if measured is None or (told is not None and abs(measured - told) < _SAME):
        return told
    return 0 if abs(measured) < _SAME else round(measured)
