"""What is being broken, and since when it is whole again."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# Parts: "hub", "verdicts" (the hub's controller), a member's name, "<member>:hub" (its agent's road to the hub),
# "<member>:dns".
HUB, VERDICTS = "hub", "verdicts"


def road(member: str) -> str:
    """The way of a member's agent to the hub."""
    return f"{member}:hub"


def name_server(member: str) -> str:
    """A member's DNS server."""
    return f"{member}:dns"


class Disturbances:
    """Parts that are broken now, and when the others were mended; seconds are those of the monotonic clock."""

    def __init__(self) -> None:
        self._broken: Counter[str] = Counter()
        self._mended: dict[str, float] = {}

    @contextmanager
    def broken(self, parts: Iterable[str]) -> Iterator[None]:
        """For as long as the block lasts, these parts are broken."""
        parts = tuple(parts)
        self._broken.update(parts)
        try:
            yield
        finally:
            self._broken.subtract(parts)
            self._mended.update(dict.fromkeys(parts, time.monotonic()))

    def whole_since(self, parts: Iterable[str]) -> float:
        """Since when all of these are whole; now, while one of them is not."""
        now = time.monotonic()
        return max((now if self._broken[part] > 0 else self._mended.get(part, 0.0) for part in parts), default=0.0)
