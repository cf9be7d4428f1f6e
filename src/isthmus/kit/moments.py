"""Moments and counts as others write them: what cannot be read, or has no place in UTC, is unknown and no error."""

from datetime import UTC, datetime

# Whoever counts further has lost count: Python itself refuses to read more than some thousands of digits.
_DIGITS = 9


def in_utc(said: str | datetime | None) -> datetime | None:
    """The moment in UTC; one without a zone is read as UTC."""
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else said
        if moment is None:
            return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def count_in(said: str) -> int | None:
    """The number that the text is, of up to nine digits."""
    return int(said) if said.isascii() and said.isdecimal() and len(said) <= _DIGITS else None
