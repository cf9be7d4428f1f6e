"""Agents of two commits with different rules: a change of rules waits for the last of them."""

import io
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from isthmus.api.isthmus import RULES_VERSION
from isthmus.testing import objects
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually
from tests.faults.processes import ROOT, Unit
from tests.versions.conftest import USUAL, MakeMixed

# The last commit whose rules are of version 1: there the two names of one distribution are a conflict.
FORMER = "f677acd"
SHOP = "shop"


@pytest.fixture(scope="session")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of that commit."""
    folder = tmp_path_factory.mktemp("former")
    packed = subprocess.run(["git", "archive", FORMER, "src"], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode != 0:
        pytest.skip(f"the history here does not reach back to {FORMER}. Type: git fetch --unshallow")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


@pytest.mark.requirement("MCS-50")
async def test_all_merge_by_the_older_rules_until_the_last_agent_is_upgraded(
    make_mixed: MakeMixed, former: Path, tmp_path: Path
) -> None:
    async with make_mixed(USUAL, {"east": USUAL, "west": USUAL}) as fleet:
        await fleet.agents["east"].kill()
        async with _agent(fleet, "east", tmp_path, sources=former):
            await _wait_rules(fleet, "east", 1)
            for name, distribution in (("east", "PreferClose"), ("west", "PreferSameZone")):
                service = objects.service(fleet.namespace, SHOP, trafficDistribution=distribution)
                await fleet[name].serve(fleet.namespace, SHOP, ["10.77.0.5"], service=service)
                await fleet[name].export(fleet.namespace, SHOP)
            for name in fleet.members:
                conflict = "True/TrafficDistributionConflict"
                await fleet[name].wait_condition(fleet.namespace, SHOP, "Conflict", conflict)
            await _wait_rules(fleet, "west", RULES_VERSION)
        fleet.agents["east"] = await fleet.start_agent("east")
        await _wait_rules(fleet, "east", RULES_VERSION)
        for name in fleet.members:
            await fleet[name].wait_condition(fleet.namespace, SHOP, "Conflict", "False/NoConflicts")


@asynccontextmanager
async def _agent(fleet: Fleet, name: str, folder: Path, *, sources: Path) -> AsyncIterator[None]:
    """An agent of other sources, for the length of the block."""
    words = (
        *("agent", f"--kubeconfig={fleet[name].host.kubeconfig}", f"--hub-kubeconfig={fleet.hub.host.kubeconfig}"),
        *(f"--cluster={name}", f"--set={fleet.set}"),
    )
    async with AsyncExitStack() as stack:
        unit = Unit(f"{name}-agent", words, folder / "agent.log", environment={"PYTHONPATH": str(sources)})
        stack.callback(unit.stop)
        unit.start()
        yield


async def _rules_of(fleet: Fleet, name: str) -> int:
    member = await fleet.member(name)
    return member.status.rules_version if member.status is not None else 0


async def _wait_rules(fleet: Fleet, name: str, version: int) -> None:
    async def spoken() -> bool:
        return await _rules_of(fleet, name) == version

    await eventually(spoken, within=40, what=f"the agent of {name} merges by version {version}")
