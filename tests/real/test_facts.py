"""The table of built-in kinds in the repository is what a real server says today."""

import json
from pathlib import Path

import pytest

from tests.apiserver.pair import Sender, read_kubeconfig
from tests.conftest import Planes
from tests.real.build import binary
from tests.real.facts import TARGET, GoTypes, documents, facts, module_cache


def test_the_table_is_what_the_server_says(planes: Planes, tmp_path: Path) -> None:
    if not binary().exists():
        pytest.skip("no real control plane here. Type: make real")
    try:
        types = GoTypes(module_cache())
    except FileNotFoundError:
        pytest.skip("no Go here, and so none of the types behind the server. Type: make real")
    server = Sender(read_kubeconfig(planes.get(0).kubeconfig), tmp_path)
    assert facts(documents(server), types) == json.loads(TARGET.read_text())
