"""Putting manifests onto a cluster and taking them off again, on both kinds of cluster."""

import logging

import pytest

from isthmus.api.access import POLICIES, POLICY_BINDINGS
from isthmus.errors import NotFound
from isthmus.install.admission import Check, Scope, policy
from isthmus.install.kinds import PRIORITY_CLASSES
from isthmus.install.manifests import apply, remove
from isthmus.install.workloads import priority
from isthmus.testing.cluster import TestCluster
from tests.clusters import cluster
from tests.conftest import CONTROL_PLANE

__all__ = ["cluster"]

# The policy looks at nothing that any other test writes.
HARMLESS = (
    *policy("isthmus-test", Scope("test.isthmus.dev", ("things",)), (Check("true", "never said"),)),
    priority(),
)


async def test_what_a_server_serves_is_made_and_removed_and_the_rest_left_out(
    cluster: TestCluster, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="isthmus.install")
    for _ in range(2):
        await apply(cluster.client, HARMLESS)
    made = await cluster.client.get(POLICY_BINDINGS, "isthmus-test")
    assert made["spec"]["policyName"] == "isthmus-test"
    if kind == CONTROL_PLANE:
        assert (await cluster.client.get(PRIORITY_CLASSES, "isthmus"))["value"] == 100_000_000
        assert not caplog.records
    else:
        assert not await cluster.client.serves(PRIORITY_CLASSES)
        assert caplog.records[0].__dict__["kinds"] == "PriorityClass"
    for _ in range(2):
        await remove(cluster.client, HARMLESS)
    with pytest.raises(NotFound):
        await cluster.client.get(POLICIES, "isthmus-test")
