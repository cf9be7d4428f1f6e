"""One bare cluster of either kind, for tests that ask an API server what it takes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.testing.cluster import EmbeddedHost, Host, TestCluster
from tests.conftest import CONTROL_PLANE, Planes
from tests.fleets import RealHost


@pytest.fixture
async def cluster(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[TestCluster]:
    """A cluster to write to; namespaces made with `cluster.namespace` are cleared away."""
    host: Host = EmbeddedHost("one", tmp_path, 1)
    if kind == CONTROL_PLANE:
        planes: Planes = request.getfixturevalue("planes")
        host = RealHost(planes.get(0).kubeconfig)
    async with TestCluster("one", host) as running:
        yield running
