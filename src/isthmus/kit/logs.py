"""Logs for machines and for people: one event and its facts on a line, on stderr."""

import json as jsonlib
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}


def configure(*, json: bool, level: int | str = logging.INFO) -> None:
    """Send all logs of this process to stderr: as JSON lines, or as text (in colour on a terminal)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONLines() if json else TextLines(colour=sys.stderr.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class JSONLines(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line: dict[str, object] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return jsonlib.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Time, level, event, then the facts as key=value."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of text; what holds blanks, quotes or line breaks is quoted."""
        facts = "".join(f" {key}={_plain(str(value))}" for key, value in _facts(record).items())
        level = record.levelname.ljust(7)
        if self._colour and record.levelname in _COLOURS:
            level = f"\x1b[{_COLOURS[record.levelname]}m{level}\x1b[0m"
        line = f"{_moment(record)} {level} {record.name}: {_escaped(record.getMessage())}{facts}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _escaped(text: str) -> str:
    # What comes from elsewhere must not be able to forge a line, nor to steer a terminal.
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _plain(text: str) -> str:
    if text and text.isprintable() and not any(char in ' "=' for char in text):
        return text
    return jsonlib.dumps(text, ensure_ascii=not text.isprintable())
