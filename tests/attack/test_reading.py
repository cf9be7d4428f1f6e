"""What a member writes about itself, and what the hub's admin then gets to read."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from click.testing import CliRunner

from isthmus.api.core import LEASES
from isthmus.api.isthmus import IMPORTS_ANNOTATION, MEMBERS, MEMBERS_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.cli.main import cli
from isthmus.kube.client import Client
from tests.attack.conftest import MALLORY, Row, Stage
from tests.install.conftest import BY_HAND, ROOT, SET

Act = Callable[[str], Awaitable[Client]]
LINES = "x\nHealth: Healthy\x1b[2J\u202e"


def said(moment: str) -> Manifest:
    probe = {"answered": False, "at": moment, "problem": LINES}
    return {"agentVersion": "1", "region": LINES, "properties": {"p": LINES}, "probe": probe, "clockDifference": 2**62}


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_the_hubs_admin_reads_on(act: Act, stage: Stage, kind: str, ledger: list[Row], moment: str) -> None:
    mallory = await act(MALLORY)
    await mallory.merge_patch(MEMBERS, MALLORY, {"status": said(moment)}, namespace=SET, subresource="status")
    beat: Manifest = {"metadata": {"name": MALLORY, "annotations": {IMPORTS_ANNOTATION: "9" * 5000}}}
    await mallory.apply(LEASES, beat, namespace=MEMBERS_NAMESPACE, options=BY_HAND)
    at = ["--kubeconfig", str(stage.secured.kubeconfig(ROOT)), "--set", SET]
    for command in ("clusters", "clusters -o wide", f"describe cluster {MALLORY}"):
        done = await asyncio.to_thread(CliRunner().invoke, cli, [*command.split(), *at])
        assert done.exit_code == 0, done.exception
        assert MALLORY in done.stdout
        assert all(line.isprintable() for line in done.stdout.split("\n"))
        assert "Health: Healthy" not in done.stdout.splitlines()
    ledger.append((kind, MALLORY, f"numbers, moments and text to read: {moment[:4]}", "shown as unknown, or escaped"))
