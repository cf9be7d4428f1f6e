"""Logs for machines and for people."""

import json
import logging

import pytest

from isthmus.kit import logs


def record(event: str, **facts: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "isthmus.test", "msg": event, "levelname": "INFO", "created": 0.0})
    vars(made).update(facts)
    return made


def test_a_json_line_holds_the_event_and_its_facts() -> None:
    line = json.loads(logs.JSONLines().format(record("import merged", service="prod/shop", ports=2)))
    assert line == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "info",
        "logger": "isthmus.test",
        "event": "import merged",
        "service": "prod/shop",
        "ports": 2,
    }


def test_a_text_line_shows_facts_as_key_and_value() -> None:
    line = logs.TextLines(colour=False).format(record("import merged", service="prod/shop", why="two words"))
    assert line == (
        '1970-01-01T00:00:00.000+00:00 INFO    isthmus.test: import merged service=prod/shop why="two words"'
    )


@pytest.mark.parametrize("hostile", ["a\nb", "\x1b[2J", 'quo"te', "\u202egnp", "\x9b31m"])
def test_a_fact_from_elsewhere_can_neither_forge_a_line_nor_steer_a_terminal(hostile: str) -> None:
    line = logs.TextLines(colour=True).format(record(hostile, fact=hostile))
    assert line.isprintable()


def test_colour_is_for_terminals_only() -> None:
    warning = record("late")
    warning.levelname = "WARNING"
    assert "\x1b[33m" in logs.TextLines(colour=True).format(warning)
    assert "\x1b" not in logs.TextLines(colour=False).format(warning)


def test_configured_logs_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:]
    try:
        logs.configure(json=True, level="INFO")
        logging.getLogger("isthmus.test").info("hello", extra={"n": 1})
        captured = capsys.readouterr()
    finally:
        logging.getLogger().handlers[:] = before
    assert json.loads(captured.err)["n"] == 1
    assert captured.out == ""
