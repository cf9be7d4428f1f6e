"""How lists and progress are shown: tables for people, JSON and YAML for programs, colour only on terminals.

What members, servers and their admins wrote reaches a terminal only as `printable` text.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import click
import yaml

from isthmus.api.scheme import Manifest
from isthmus.kit.text import printable

Row = TypeVar("Row", bound=Manifest)

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How to print the list.",
)
set_option = click.option(
    "--set",
    "set_name",
    default="isthmus",
    show_default=True,
    metavar="NAME",
    help="The cluster set on this machine.",
)


@dataclass(frozen=True)
class Column:
    """One column: its title, what it shows of an item, and whether only `-o wide` has it."""

    title: str
    show: Callable[[Manifest], object]
    wide: bool = False


def show_list(items: Sequence[Manifest], columns: Sequence[Column], output: str, *, empty: str) -> None:
    """Print items in the chosen form; `empty` says on stderr what to do when a table would have no row."""
    if output == "json":
        click.echo(json.dumps(list(items), indent=2))
    elif output == "yaml":
        click.echo(yaml.safe_dump(list(items), sort_keys=False), nl=False)
    elif not items:
        click.echo(empty, err=True)
    else:
        shown = [column for column in columns if output == "wide" or not column.wide]
        rows = [[_cell(column.show(item)) for column in shown] for item in items]
        click.echo(table([column.title for column in shown], rows))


def show_one(item: Manifest, output: str) -> None:
    """Print one item for programs: as JSON, or as a YAML document."""
    if output == "json":
        click.echo(json.dumps(item, indent=2))
    else:
        click.echo(yaml.safe_dump(item, sort_keys=False, explicit_start=True), nl=False)


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, a list one value a line; pairs without a value are left out."""
    for name, value in pairs:
        values = value if isinstance(value, list) else [value]
        for number, each in enumerate(values):
            if each not in {"", None}:
                title = f"{name}:" if name and not number else ""
                click.echo(f"{title:<12} {printable(str(each))}")


def table_of(columns: Sequence[Column], output: str) -> Callable[[Sequence[Row]], None]:
    """What prints a table that grows: each call adds lines below the first ones, in the same columns."""
    shown = [column for column in columns if output == "wide" or not column.wide]
    widths: list[int] = []

    def show(items: Sequence[Row]) -> None:
        lines = [[_cell(column.show(item)) for column in shown] for item in items]
        if not widths:
            lines.insert(0, [column.title for column in shown])
            widths.extend(max(len(line[index]) for line in lines) for index in range(len(shown)))
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            click.echo("   ".join(cells).rstrip())

    def print_each(items: Sequence[Row]) -> None:
        for item in items:
            show_one(item, output)

    return print_each if output in {"json", "yaml"} else show


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, three blanks apart, as kubectl prints them."""
    lines = [list(titles), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(titles))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(printable(str(item)) for item in value) or "<none>"
    return printable(str(value)) if value not in {"", None} else "<none>"


def progress(line: str) -> None:
    """One line of progress, on stderr, so that output stays clean."""
    click.secho(printable(line), err=True, dim=sys.stderr.isatty())


def heading(line: str) -> None:
    """A line that opens a part of a longer output."""
    click.secho(line, bold=True)
