"""One cluster, of either kind, to converge in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.testing.cluster import EmbeddedHost, Host, TestCluster
from tests.fleets import REAL, RealHost


@pytest.fixture
async def cluster(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[TestCluster]:
    host: Host
    if kind == REAL:
        host = RealHost(request.getfixturevalue("planes").get(0).kubeconfig)
    else:
        host = EmbeddedHost("one", tmp_path, 1)
    async with TestCluster("one", host) as cluster:
        yield cluster
