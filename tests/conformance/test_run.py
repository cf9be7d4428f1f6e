"""A run: what it refuses, what it leaves out and says why, and that it leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from isthmus.api.core import NAMESPACES
from isthmus.api.scheme import Manifest
from isthmus.conformance.report import Outcome
from isthmus.conformance.run import Options, run, selected
from isthmus.errors import Invalid, Unreachable
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.waiting import eventually
from tests.conformance.agents import CLUSTERS, Set

ISTHMUS = Path(sys.executable).parent / "isthmus"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(Options("mcs", ()), "no contexts", id="no contexts"),
        pytest.param(Options("mcs", ("a",), focus=("C-99",)), "no check", id="a focus that fits nothing"),
        pytest.param(Options("mcs", ("a",), skip={"C-99": "why not"}), "C-99", id="an unknown id"),
        pytest.param(Options("mcs", ("a",), skip={"C-1": ""}), "REASON", id="a skip without a reason"),
    ],
)
def test_options_that_cannot_be_are_refused(options: Options, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        selected(options)


@pytest.mark.parametrize(
    ("focus", "ids"),
    [
        pytest.param(("C-1",), ["C-1"], id="an id, whole"),
        pytest.param(("ExternalName service",), ["C-14"], id="part of a title"),
        pytest.param(("strictportconflict",), ["C-20", "C-21"], id="a label"),
        pytest.param(("C-5", "C-4"), ["C-4", "C-5"], id="several, in the suite's order"),
    ],
)
def test_checks_are_chosen_by_focus(focus: tuple[str, ...], ids: list[str]) -> None:
    assert [check.id for check in selected(Options("mcs", ("a",), focus=focus))] == ids


def test_a_level_chooses_its_checks_alone() -> None:
    assert {check.level for check in selected(Options("mcs", ("a",), focus=("required",)))} == {"Required"}


async def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    config: Manifest = {
        "clusters": [{"name": "gone", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "gone", "context": {"cluster": "gone"}}],
    }
    kubeconfig.write_text(yaml.safe_dump(config))
    with pytest.raises(Unreachable, match="context gone"):
        await run(Options("about", ("gone",), kubeconfig=kubeconfig))


def test_with_one_cluster_what_takes_two_is_left_out_with_the_reason(judged: Set) -> None:
    report = judged.run(Options("mcs", CLUSTERS[:1], kubeconfig=judged.files.kubeconfig, focus=("C-3", "C-9")))
    assert [result.outcome for result in report.results] == [Outcome.SKIPPED, Outcome.PASSED]
    assert report.of("C-3").reason == "needs 2 clusters; 1 given"


def test_a_skip_stands_in_the_report_with_its_reason(judged: Set) -> None:
    options = Options(
        "mcs", CLUSTERS, kubeconfig=judged.files.kubeconfig, focus=("C-9",), skip={"C-9": "known, see issue 7"}
    )
    (entry,) = judged.run(options).as_manifest()["tests"]
    assert (entry["result"], entry["reason"]) == ("skipped", "known, see issue 7")


def test_the_same_cluster_twice_is_refused(judged: Set, tmp_path: Path) -> None:
    config = yaml.safe_load(judged.files.kubeconfig.read_text())
    again = {"name": "again", "context": {"cluster": "east", "user": "east"}}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config | {"contexts": [*config["contexts"], again]}))
    with pytest.raises(Invalid, match="east and again are the same cluster"):
        judged.run(Options("mcs", ("east", "again"), kubeconfig=kubeconfig))


def test_a_cluster_without_the_kinds_is_refused_with_the_next_step(judged: Set) -> None:
    with pytest.raises(Invalid, match=r"context hub: no serviceexports.*install"):
        judged.run(Options("mcs", ("hub",), kubeconfig=judged.files.kubeconfig))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_a_run_that_is_broken_off_deletes_its_namespaces(judged: Set, sent: signal.Signals) -> None:
    words = ["conformance", "mcs", "--contexts=east,west", "--focus=C-26", f"--kubeconfig={judged.files.kubeconfig}"]
    # Whoever runs the tests in the background of a shell has SIGINT ignored, and passes that on.
    command = ["env", "--default-signal=INT", str(ISTHMUS), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    async with Client(load_kubeconfig([judged.files.kubeconfig], context="west")) as client:

        async def made() -> list[str]:
            return [
                item.metadata.name
                for item in (await client.list(NAMESPACES)).items
                if item.metadata.name.startswith("mcs-conformance-") and not item.metadata.deletion_timestamp
            ]

        async def two() -> bool:
            return len(await made()) == 2

        async def none() -> bool:
            return not await made()

        await eventually(two, within=60, what="the run's namespaces are there")
        process.send_signal(sent)
        assert process.wait(60) == 130
        assert b"broken off" in process.communicate()[1]
        await eventually(none, what="the namespaces are being deleted")
