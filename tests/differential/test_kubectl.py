"""kubectl says the same to both servers."""

import difflib
from pathlib import Path

import pytest

from tests.differential.conftest import Pair
from tests.differential.kubectl import SEQUENCES, run


@pytest.mark.parametrize("name", SEQUENCES)
def test_commands_say_the_same(pair: Pair, name: str, tmp_path: Path) -> None:
    namespace = f"kubectl-{name}"
    for server in (pair.ours, pair.theirs):
        server.make(namespace)
        server.furnished(namespace)
    told = []
    for command in SEQUENCES[name]:
        said = [
            pair.pool.submit(run, server, tmp_path / server.kubeconfig.parent.name, namespace, command)
            for server in (pair.ours, pair.theirs)
        ]
        ours, theirs = (each.result() for each in said)
        if ours != theirs:
            lines = difflib.unified_diff(ours.splitlines(), theirs.splitlines(), "embedded", "real", n=1, lineterm="")
            told.append("\n".join([f"kubectl {command.line}", *list(lines)[:60]]))
    if told:
        pytest.fail("\n\n".join(told), pytrace=False)
