"""What docs/inventory.md shows is so: its snippets run."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from isthmus.api.isthmus import CLUSTER_SET_LABELS
from isthmus.inventory.rules.access import parsed
from isthmus.inventory.rules.profile import SUFFIX
from tests.fleets import MakeFleet
from tests.inventory.access import Consumer
from tests.inventory.controllers.test_profiles import QUICK, profile_of, properties, publish, wait_healthy

PAGE = (Path(__file__).parents[2] / "docs" / "inventory.md").read_text()


def snippet(language: str) -> str:
    """The one block of that language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.mark.requirement("CRED-2", "CRED-8")
async def test_the_provider_file_and_the_program_work(
    embedded_fleet: MakeFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with embedded_fleet(["east"], QUICK) as fleet:
        consumer = Consumer(fleet, tmp_path)
        await consumer.settle()
        await publish(fleet, "east")
        await consumer.granted("east")
        await wait_healthy(fleet, "east")
        provider_file = tmp_path / "clusterprofile-provider-file.json"
        provider_file.write_text(snippet("json"))
        monkeypatch.setenv("KUBECONFIG", str(consumer.kubeconfig))
        monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
        program: dict[str, object] = {}
        exec(snippet("python"), program)
        config_maps = program["config_maps"]
        assert callable(config_maps)
        found = await config_maps(fleet.hub.host.kubeconfig, provider_file, fleet.set)
        assert list(found) == ["east"]
        facts = {name for name in properties(await profile_of(fleet, "east")) if name.endswith(SUFFIX)}
        assert facts
        assert all(f"`{name}`" in PAGE for name in facts)


def test_the_provider_file_is_one() -> None:
    (entry,) = parsed(snippet("json").encode(), origin="docs/inventory.md")
    assert entry.name == "secretreader"
    assert json.loads(snippet("json"))["providers"][0]["execConfig"]["provideClusterInfo"] is True


def test_the_labels_are_named() -> None:
    assert all(f"`{key}`" in PAGE for key in CLUSTER_SET_LABELS)
