"""What the README and docs/ tell people to type is there: every command, file, option and make target."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
ISTHMUS = Path(sys.executable).parent / "isthmus"


def said(pattern: str) -> set[str]:
    return {found for page in PAGES for found in re.findall(pattern, page.read_text())}


def test_every_command_named_in_the_docs_exists() -> None:
    named = said(r"\bisthmus ([a-z]+)\b(?=[^a-z]*[`\n-]| [a-z-])") & said(r"(?m)(?:^|`)isthmus ([a-z]+)")
    assert named
    assert named <= set(COMMANDS), f"no such command: {named - set(COMMANDS)}"


def test_every_make_target_named_in_the_docs_exists() -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    assert said(r"(?m)(?:^|`)make ([a-z]+)") <= targets


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_helps_with_an_example(command: str) -> None:
    done = subprocess.run([ISTHMUS, command, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert "Example:" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str) -> None:
    done = subprocess.run([ISTHMUS, "completion", shell], capture_output=True, text=True, timeout=60, check=True)
    assert "_ISTHMUS_COMPLETE" in done.stdout
