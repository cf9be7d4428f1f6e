"""The table of default roles in the repository is what a real server makes today."""

import json
from pathlib import Path

import pytest

from tests.apiserver.pair import Sender, read_kubeconfig
from tests.conftest import Planes
from tests.real.build import binary
from tests.real.roles import TARGET, roles


def test_the_table_is_what_the_server_makes(planes: Planes, tmp_path: Path) -> None:
    if not binary().exists():
        pytest.skip("no real control plane here. Type: make real")
    made = roles(Sender(read_kubeconfig(planes.get(0).kubeconfig), tmp_path))
    table = json.loads(TARGET.read_text())
    for plural, wanted in table.items():
        seen = {each["metadata"]["name"]: each for each in made[plural]}
        # Other tests make roles of their own there.
        assert [seen.get(each["metadata"]["name"]) for each in wanted] == wanted
    defaults = [each["metadata"]["name"] for each in made["clusterroles"] if "bootstrapping" in str(each["metadata"])]
    assert defaults == [each["metadata"]["name"] for each in table["clusterroles"]]
