"""Looking at the world until it is as it should be, within a bound, and keeping what was seen as evidence."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from isthmus.conformance.declared import Failed, Hindered
from isthmus.errors import IsthmusError
from isthmus.kit.clock import Clock

T = TypeVar("T")

_LONGEST = 600
_MOST = 40


@dataclass(frozen=True)
class Bound:
    """How long to look, and how often, in seconds; what fails to come in a `setup` hinders, but condemns nobody."""

    within: float
    every: float = 0.2
    setup: bool = False


# Upstream's suite (MCS-46): imports, conditions and removal; slices; answers; what must stay as it is.
SOON, SLICE, ANSWER, STEADY = Bound(20), Bound(60), Bound(20, 1.0), Bound(5)
POD = Bound(60, 0.5, setup=True)
PREPARED = Bound(20, setup=True)


class Witness:
    """What one check has seen; `patience` stretches the bounds within which something has to come."""

    def __init__(self, clock: Clock, patience: float = 1.0) -> None:
        self.clock = clock
        self.patience = patience
        self.evidence: list[str] = []

    def note(self, line: str) -> None:
        """Keep one line as evidence; of very many, the last ones stay."""
        self.evidence.append(line)
        del self.evidence[:-_MOST]

    async def until(
        self, what: str, observe: Callable[[], Awaitable[T | None]], holds: Callable[[T], bool], bound: Bound = SOON
    ) -> T:
        """The first observation that holds; None never does. Raises Failed, or Hindered for a setup, with the last.

        A server that does not answer is asked again; if that was the last that was seen, nothing can be judged.
        """
        start = self.clock.monotonic()
        within = bound.within * (1.0 if bound.setup else self.patience)
        seen, lost = "nothing", False
        while True:
            try:
                observed = await observe()
            except IsthmusError as error:
                if isinstance(error, Failed | Hindered):
                    raise
                seen, lost = str(error), True
            else:
                seen, lost = shown(observed), False
                if observed is not None and holds(observed):
                    self.note(f"{what}: after {self.clock.monotonic() - start:.1f} s: {seen}")
                    return observed
            if self.clock.monotonic() - start > within:
                verdict = Hindered if bound.setup or lost else Failed
                raise verdict(f"not within {within:g} s: {what}; last seen: {seen}")
            await self.clock.sleep(bound.every)

    async def throughout(
        self, what: str, observe: Callable[[], Awaitable[T]], holds: Callable[[T], bool], bound: Bound = STEADY
    ) -> None:
        """Hold all observations to be so. Raises Failed with the first that is not."""
        start = self.clock.monotonic()
        looks = 0
        while self.clock.monotonic() - start <= bound.within:
            observed = await observe()
            looks += 1
            if not holds(observed):
                after = self.clock.monotonic() - start
                raise Failed(f"not throughout {bound.within:g} s: {what}; after {after:.1f} s: {shown(observed)}")
            await self.clock.sleep(bound.every)
        self.note(f"{what}: in {looks} looks within {bound.within:g} s")

    def require(self, true: bool, what: str, seen: object) -> None:
        """Hold something to be so at once; raises Failed with what was seen."""
        if not true:
            raise Failed(f"{what}; seen: {shown(seen)}")
        self.note(f"{what}: {shown(seen)}")


def shown(value: object) -> str:
    """A value as a person reads it in a report, shortened."""
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."
