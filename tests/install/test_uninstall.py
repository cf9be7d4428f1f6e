"""Uninstalling takes what bears our mark, and nothing else, on a cluster that is hub and member."""

import pytest

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES
from isthmus.api.access import CLUSTER_ROLES, POLICIES
from isthmus.api.core import (
    CRDS,
    ENDPOINT_SLICES,
    LEASES,
    MANAGED_BY_LABEL,
    NAMESPACES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL, MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Invalid, NotFound
from isthmus.install.apply import install
from isthmus.install.hub import HubOptions, hub_manifests
from isthmus.install.kinds import IN_ORDER, whole
from isthmus.install.uninstall import uninstall, uninstall_set
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


async def test_a_hub_serves_several_sets_and_one_can_go_alone(cluster: TestCluster) -> None:
    client = cluster.client
    for cluster_set, members in (("set-a", ("east",)), ("set-b", ())):
        await install(client, hub_manifests(HubOptions(cluster_set, members)), say=quiet, wait=False)
        lease = {"metadata": {"name": f"isthmus-hub-{cluster_set}"}}
        await client.apply(whole(LEASES), lease, namespace=SYSTEM_NAMESPACE, options=BY_HAND)
    with pytest.raises(Invalid, match="cluster east is in set set-a of this hub, nothing was written"):
        await install(client, hub_manifests(HubOptions("set-b", ("east", "west"))), say=quiet, wait=False)
    with pytest.raises(Invalid, match="hub of no set set-c; its sets: set-a, set-b"):
        await uninstall_set(client, "set-c", say=quiet)
    with pytest.raises(Invalid, match="set set-a has members, nothing was deleted: east"):
        await uninstall_set(client, "set-a", say=quiet)
    before = {cluster_set: await of_set(client, cluster_set) for cluster_set in ("set-a", "set-b")}
    assert {each.split()[0] for each in before["set-b"]} >= {"Namespace", "Deployment", "ClusterRole", "Role", "Lease"}
    # The Lease goes uncounted: nobody installed it.
    assert await uninstall_set(client, "set-b", say=quiet) == len(before["set-b"]) - 1
    assert await of_set(client, "set-b") == set()
    assert await of_set(client, "set-a") == before["set-a"]
    for kind, name, namespace in (
        (SERVICE_ACCOUNTS, "isthmus-hub", SYSTEM_NAMESPACE),
        (CLUSTER_ROLES, "isthmus-inventory-view", ""),
        (POLICIES, "isthmus-members-stay-who-they-are", ""),
        (whole(NAMESPACES), MEMBERS_NAMESPACE, ""),
    ):
        assert await is_there(client, kind, name, namespace), name


async def of_set(client: Client, cluster_set: str) -> set[str]:
    """All objects that name a set, but what Kubernetes makes by itself."""
    kinds = [whole(kind) for kind in (*IN_ORDER, whole(LEASES)) if await client.serves(kind)]
    found = [(kind, item["metadata"]) for kind in kinds for item in (await client.list(kind)).items]
    named = {f"{kind.kind} {metadata.get('namespace', '')}/{metadata['name']}" for kind, metadata in found}
    return {each for each in named if cluster_set in each and not each.endswith("/default")}


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
