"""The fixture that brings node clusters into tests."""

from collections.abc import Iterator

import pytest

from tests.real.nodes import Clusters, problem, running


@pytest.fixture(scope="session")
def node_clusters() -> Iterator[Clusters]:
    """Node clusters by name, kept for all tests of a session: whoever uses one leaves it as it was."""
    if reason := problem():
        pytest.skip(reason)
    with running() as clusters:
        yield clusters
