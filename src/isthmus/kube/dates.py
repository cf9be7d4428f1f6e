"""How far our clock is from a server's, by the Date headers of its answers.

RFC 9110, section 6.6.1: a moment in whole seconds, cut off.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from isthmus.kit.clock import Clock

# Seconds. An answer that took longer says too little about the moment it was made at.
_QUICK: Final = 2.0


class Dates:
    """The last quick answer's date, and what our clock said then; read only when somebody asks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said = ""
        self._at: datetime | None = None

    def note(self, date: str, took: float) -> None:
        """An answer with this header has just begun to come, `took` seconds after it was asked for."""
        if date and took <= _QUICK:
            self._said = date
            self._at = self._clock.now() - timedelta(seconds=took / 2)

    @property
    def ahead(self) -> float | None:
        """Seconds by which we are ahead of the server, give or take one and a half; None if it never said."""
        if self._at is None:
            return None
        try:
            said = parsedate_to_datetime(self._said)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        # The fraction was cut off: half a second on average.
        return (self._at - said.replace(tzinfo=said.tzinfo or UTC)).total_seconds() - 0.5
