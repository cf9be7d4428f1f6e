"""docs/joining.md: its commands are ones that we have. `tests/registry` runs what is to be tried there."""

import re
import shlex
from pathlib import Path

import click
import pytest

from isthmus.cli.main import cli

PAGE = (Path(__file__).parents[2] / "docs" / "joining.md").read_text()
COMMANDS = sorted(set(re.findall(r"(?m)^isthmus .*$", PAGE)))


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line: str) -> None:
    words = shlex.split(re.split(r" [<>] ", line)[0])[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    command.make_context(command.name or "", words)
