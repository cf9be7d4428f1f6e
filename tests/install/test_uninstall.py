"""Uninstalling takes what bears our mark, and nothing else, on a cluster that is hub and member."""

import pytest

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES
from isthmus.api.access import CLUSTER_ROLES
from isthmus.api.core import CRDS, ENDPOINT_SLICES, LEASES, MANAGED_BY_LABEL, NAMESPACES, SECRETS, SERVICES
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL, SYSTEM_NAMESPACE
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import NotFound
from isthmus.install.apply import install
from isthmus.install.kinds import whole
from isthmus.install.uninstall import uninstall
from isthmus.install.workloads import HUB, MEMBER
from isthmus.kube.client import Client
from isthmus.testing import objects
from isthmus.testing.cluster import TestCluster
from tests.clusters import cluster
from tests.conftest import EMBEDDED
from tests.install.conftest import BY_HAND, TEAM
from tests.install.test_apply import HUB as HUB_MANIFESTS
from tests.install.test_apply import MEMBER as MEMBER_MANIFESTS
from tests.install.test_apply import quiet

__all__ = ["cluster"]

# A control plane of the session would keep policies for other tests to stumble over.
pytestmark = pytest.mark.parametrize("kind", [EMBEDDED], indirect=True)
OURS = {MARKER_LABEL: MANAGED_BY}


async def is_there(client: Client, kind: Resource[Manifest], name: str, namespace: str = "") -> bool:
    try:
        await client.get(kind, name, namespace=namespace)
    except NotFound:
        return False
    return True


async def test_each_part_goes_by_itself_and_what_users_made_stays(cluster: TestCluster) -> None:
    client = cluster.client
    await install(client, HUB_MANIFESTS, say=quiet, wait=False)
    # Before there are policies, anybody may play the agent.
    await install(client, [each for each in MEMBER_MANIFESTS if each["kind"] == CRDS.kind], say=quiet)
    await _populate(cluster)
    await install(client, MEMBER_MANIFESTS, say=quiet, wait=False)
    for lease in ("isthmus-agent", "isthmus-hub-set-a"):
        await client.apply(whole(LEASES), {"metadata": {"name": lease}}, namespace=SYSTEM_NAMESPACE, options=BY_HAND)
    said: list[str] = []
    assert await uninstall(client, MEMBER, crds=False, say=said.append) > 20
    for kind, name in (
        (whole(SERVICE_IMPORTS), "shop"),
        (whole(ENDPOINT_SLICES), "imported"),
        (whole(SERVICES), "derived-1"),
    ):
        assert not await is_there(client, kind, name, TEAM), kind.kind
    assert not await is_there(client, whole(CLUSTER_PROPERTIES), CLUSTER_ID)
    assert not await is_there(client, SECRETS, "isthmus-hub", SYSTEM_NAMESPACE)
    assert not await is_there(client, whole(LEASES), "isthmus-agent", SYSTEM_NAMESPACE)
    assert await is_there(client, whole(LEASES), "isthmus-hub-set-a", SYSTEM_NAMESPACE)
    for kind, name, namespace in (
        (whole(SERVICES), "shop", TEAM),
        (whole(ENDPOINT_SLICES), "own", TEAM),
        (whole(SERVICE_EXPORTS), "shop", TEAM),
        (whole(CLUSTER_PROPERTIES), "team.example.com", ""),
        (whole(NAMESPACES), SYSTEM_NAMESPACE, ""),
        (CRDS, "serviceexports.multicluster.x-k8s.io", ""),
        (CLUSTER_ROLES, "isthmus-hub-set-a", ""),
    ):
        assert await is_there(client, kind, name, namespace), name
    assert [line.split(" ", 1)[1] for line in said[1:]] == [
        "serviceimports are gone",
        "endpointslices are gone",
        "services are gone",
        "clusterproperties are gone",
    ]
    await uninstall(client, HUB, crds=True, say=quiet)
    # At once: whoever installs again must not meet what is on its way out.
    assert not await is_there(client, whole(NAMESPACES), SYSTEM_NAMESPACE)
    assert not await is_there(client, CLUSTER_ROLES, "isthmus-hub-set-a")
    assert not await is_there(client, CRDS, "members.isthmus.dev")
    assert await is_there(client, CRDS, "serviceexports.multicluster.x-k8s.io")
    assert await uninstall(client, HUB, crds=False, say=quiet) == 0


async def _populate(cluster: TestCluster) -> None:
    """What the agent makes, and beside it what users make."""
    client = cluster.client
    await cluster.namespace(TEAM)
    slices: Manifest = {"addressType": "IPv4", "endpoints": []}
    for kind, manifest in (
        (whole(SERVICES), {"metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}]}}),
        (whole(SERVICES), {"metadata": {"name": "derived-1", "labels": OURS}, "spec": {"ports": [{"port": 80}]}}),
        (whole(ENDPOINT_SLICES), {"metadata": {"name": "own"}} | slices),
        (whole(ENDPOINT_SLICES), {"metadata": {"name": "imported", "labels": {MANAGED_BY_LABEL: MANAGED_BY}}} | slices),
        (whole(SERVICE_EXPORTS), objects.service_export(TEAM, "shop")),
        (
            whole(SERVICE_IMPORTS),
            {"metadata": {"name": "shop", "labels": OURS}, "spec": {"type": "ClusterSetIP", "ports": []}},
        ),
        (whole(CLUSTER_PROPERTIES), {"metadata": {"name": CLUSTER_ID, "labels": OURS}, "spec": {"value": "east"}}),
        (whole(CLUSTER_PROPERTIES), {"metadata": {"name": "team.example.com"}, "spec": {"value": "x"}}),
    ):
        await client.apply(kind, manifest, namespace=TEAM if kind.namespaced else "", options=BY_HAND)
