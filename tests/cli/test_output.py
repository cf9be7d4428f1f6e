import json

import pytest

from isthmus.cli.output import Column, fields, progress, show_list, table, table_of

ITEMS = [{"name": "shop", "ips": ["10.0.0.1", "fd00::1"], "note": ""}]
COLUMNS = (Column("NAME", lambda item: item["name"]), Column("IPS", lambda item: item["ips"], wide=True))


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(["A", "LONG"], [["wide cell", "x"]]) == "A           LONG\nwide cell   x"


def test_a_table_shows_wide_columns_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    show_list(ITEMS, COLUMNS, "table", empty="")
    assert capsys.readouterr().out == "NAME\nshop\n"
    show_list(ITEMS, COLUMNS, "wide", empty="")
    assert capsys.readouterr().out == "NAME   IPS\nshop   10.0.0.1,fd00::1\n"


def test_nothing_that_others_wrote_moves_a_terminal_or_forges_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    forged = "x\nHealth: Healthy\x1b[2J"
    show_list([{"name": forged, "ips": [forged]}], COLUMNS, "wide", empty="")
    table_of(COLUMNS, "wide")([{"name": forged, "ips": [forged]}])
    fields([("Properties", [forged]), ("Region", forged)])
    progress(forged)
    said = capsys.readouterr()
    assert (said.out.count("x\\nHealth: Healthy\\x1b[2J"), said.err) == (6, "x\\nHealth: Healthy\\x1b[2J\n")
    assert all(line.isprintable() for line in said.out.split("\n"))


def test_programs_get_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_list(ITEMS, COLUMNS, "json", empty="")
    assert json.loads(capsys.readouterr().out) == ITEMS


def test_an_empty_list_is_json_for_programs_and_a_hint_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    show_list([], COLUMNS, "json", empty="Type: isthmus up")
    assert json.loads(capsys.readouterr().out) == []
    show_list([], COLUMNS, "table", empty="Type: isthmus up")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Type: isthmus up\n")
