"""What docs/conformance.md tells people to type works."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conformance.agents import Set

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
COMMANDS = [
    line
    for block in re.findall(r"(?s)```sh\n(.*?)```", PAGE.read_text())
    for line in block.splitlines()
    if line.startswith("isthmus ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_documented_commands_run(command: str, judged: Set, tmp_path: Path) -> None:
    # The whole of the suites runs elsewhere.
    words = shlex.split(command)
    if not {"--focus", "--list"} & set(words):
        words += ["--focus=C-9", "--focus=A-11"]
    done = subprocess.run(
        [Path(sys.executable).parent / words[0], *words[1:]],
        cwd=tmp_path,
        env=os.environ | {"KUBECONFIG": str(judged.files.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "--report" in words:
        assert yaml.safe_load((tmp_path / "report.yaml").read_text())["conformant"] is True


def test_the_documented_report_has_the_fields_of_a_real_one(judged: Set) -> None:
    (text,) = re.findall(r"(?s)```yaml\n(.*?)```", PAGE.read_text())
    told, real = yaml.safe_load(text), judged.judge("C-8").as_manifest()
    assert set(told) <= set(real)
    assert set(told["tests"][0]) == set(real["tests"][0])
