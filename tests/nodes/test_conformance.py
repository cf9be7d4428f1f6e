"""Our own suites find nothing wrong with Isthmus on real clusters, where it runs as pods."""

import asyncio
from collections.abc import Callable

import pytest
import yaml

from isthmus.conformance.report import Report
from isthmus.conformance.run import Options, run
from tests.conformance.proofs import PARAMETERS, chosen, must_hold, proofs
from tests.conftest import NODES
from tests.real.nodes import Clusters

NAMES = ("east", "west")


@pytest.fixture(scope="session")
def report_of(
    node_clusters: Clusters, prod: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Report]:
    """The report of a suite, run once, with the checks that were asked for."""
    kubeconfig = tmp_path_factory.mktemp("conformance") / "kubeconfig"
    merged: dict[str, list[object]] = {"clusters": [], "users": [], "contexts": []}
    for cluster in node_clusters.get(*NAMES):
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        for part, entries in merged.items():
            entries.extend(config[part])
    kubeconfig.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **merged}))
    reports: dict[str, Report] = {}

    def report(suite: str) -> Report:
        if suite not in reports:
            options = Options(suite, NAMES, kubeconfig=kubeconfig, focus=chosen(request.session, NODES, suite))
            reports[suite] = asyncio.run(run(options))
        return reports[suite]

    return report


# The first of a suite waits for all of it.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(PARAMETERS, proofs(NODES))
def test_isthmus_passes(kind: str, suite: str, name: str, report_of: Callable[[str], Report]) -> None:
    must_hold(report_of(suite), name)
