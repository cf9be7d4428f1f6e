"""What must be there before a hub can work."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.api.core import NAMESPACES
from isthmus.api.isthmus import MEMBERS, SET_LABEL
from isthmus.errors import Invalid, NotFound
from isthmus.hub.bootstrap import NewMember, bootstrap_hub
from isthmus.testing.cluster import EmbeddedHost, Host, TestCluster
from tests.fleets import REAL, RealHost


@pytest.fixture
async def hub(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[TestCluster]:
    host: Host
    if kind == REAL:
        host = RealHost(request.getfixturevalue("planes").get(0).kubeconfig)
    else:
        host = EmbeddedHost("hub", tmp_path, 0)
    async with TestCluster("hub", host) as hub:
        yield hub


@pytest.fixture
def cluster_set(hub: TestCluster) -> str:
    name = f"set-{secrets.token_hex(3)}"
    hub.cleared_later(name)
    return name


async def test_a_second_time_changes_nothing_and_keeps_joining_and_health(hub: TestCluster, cluster_set: str) -> None:
    await bootstrap_hub(hub.client, cluster_set, [NewMember("east", uid="u1", pod_ranges=("10.1.0.0/17",))])
    first = await hub.client.get(MEMBERS, "east", namespace=cluster_set)
    silent = {"spec": {"health": {"state": "Silent", "reason": "no heartbeat"}}}
    await hub.client.merge_patch(MEMBERS, "east", silent, namespace=cluster_set)
    await bootstrap_hub(
        hub.client, cluster_set, [NewMember("east", uid="u1", pod_ranges=("10.1.0.0/17",)), NewMember("west")]
    )
    again = await hub.client.get(MEMBERS, "east", namespace=cluster_set)
    assert first.spec is not None
    assert again.spec is not None
    assert (again.spec.id, again.spec.set, again.spec.uid) == ("east", cluster_set, "u1")
    assert again.spec.joined_at == first.spec.joined_at is not None
    assert again.spec.pod_ranges == ("10.1.0.0/17",)
    assert again.spec.health.state == "Silent"
    await hub.client.get(MEMBERS, "west", namespace=cluster_set)
    namespace = await hub.client.get(NAMESPACES, cluster_set)
    assert namespace.metadata.labels[SET_LABEL] == cluster_set
    assert namespace.metadata.labels["multicluster.x-k8s.io/clusterset"] == cluster_set
    assert namespace.metadata.labels["clusterset.multicluster.x-k8s.io"] == cluster_set


@pytest.mark.requirement("ABOUT-9", "ABOUT-30")
async def test_an_id_that_another_cluster_holds_is_not_given_away(hub: TestCluster, cluster_set: str) -> None:
    await bootstrap_hub(hub.client, cluster_set, [NewMember("east", uid="u1")])
    with pytest.raises(Invalid, match="another cluster"):
        await bootstrap_hub(hub.client, cluster_set, [NewMember("east", uid="u2")])
    member = await hub.client.get(MEMBERS, "east", namespace=cluster_set)
    assert member.spec is not None
    assert member.spec.uid == "u1"


async def test_a_namespace_that_is_not_ours_is_not_adopted(hub: TestCluster, cluster_set: str) -> None:
    await hub.namespace(cluster_set)
    with pytest.raises(Invalid, match="not ours"):
        await bootstrap_hub(hub.client, cluster_set, [NewMember("east")])
    with pytest.raises(NotFound):
        await hub.client.get(MEMBERS, "east", namespace=cluster_set)


@pytest.mark.parametrize(
    ("name", "member"),
    [
        pytest.param("Not A Set", "east", marks=pytest.mark.requirement("ABOUT-28"), id="a set that is no label"),
        pytest.param("", "hub", id="an id that is kept for ourselves"),
        pytest.param("", "e" * 51, id="an id that is too long"),
        pytest.param("", "east.one", id="an id of two labels"),
    ],
)
async def test_names_that_cannot_be_are_refused(hub: TestCluster, cluster_set: str, name: str, member: str) -> None:
    with pytest.raises(Invalid):
        await bootstrap_hub(hub.client, name or cluster_set, [NewMember(member)])
