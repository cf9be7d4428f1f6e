"""What should be true is made true: what differs is written, what is not wanted goes, and no more."""

import secrets

import pytest

from isthmus.api.core import CONFIG_MAPS, SERVICES, Service, ServicePort, ServiceSpec
from isthmus.api.meta import ObjectMeta
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict
from isthmus.kube.client import WriteOptions
from isthmus.kube.informer import Informer
from isthmus.runtime.converge import Converger
from isthmus.testing.cluster import TestCluster

HTTP = ServicePort(name="http", port=80, protocol="TCP", target_port=80)
DNS = ServicePort(name="dns", port=53, protocol="UDP", target_port=53)


@pytest.fixture
async def namespace(cluster: TestCluster) -> str:
    name = f"converge-{secrets.token_hex(3)}"
    await cluster.namespace(name)
    return name


@pytest.fixture
def converger(cluster: TestCluster) -> Converger:
    return Converger(cluster.client, manager="isthmus-test", force=True)


def wanted(namespace: str, name: str = "a", *, ports: tuple[ServicePort, ...] = (HTTP,), **labels: str) -> Service:
    return Service(metadata=ObjectMeta(namespace=namespace, name=name, labels=labels), spec=ServiceSpec(ports=ports))


async def seen(cluster: TestCluster, namespace: str) -> list[Service]:
    return list((await cluster.client.list(SERVICES, namespace=namespace)).items)


async def test_what_is_missing_is_made_and_what_is_not_wanted_goes(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    made = await converger.converge(SERVICES, [wanted(namespace, "a"), wanted(namespace, "b")], [])
    assert (made.applied, made.deleted) == (2, 0)
    assert made.objects[namespace, "a"].spec.cluster_ip
    now = await seen(cluster, namespace)
    left = await converger.converge(SERVICES, [wanted(namespace, "b")], now)
    assert (left.applied, left.deleted) == (0, 1)
    assert [item.metadata.name for item in await seen(cluster, namespace)] == ["b"]


async def test_nothing_is_written_where_nothing_differs(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    await converger.converge(SERVICES, [wanted(namespace, app="x")], [])
    before = await seen(cluster, namespace)
    again = await converger.converge(SERVICES, [wanted(namespace, app="x")], before)
    assert (again.applied, again.deleted) == (0, 0)
    assert again.objects[namespace, "a"] == before[0]


async def test_dropped_labels_and_ports_are_removed(cluster: TestCluster, namespace: str, converger: Converger) -> None:
    await converger.converge(SERVICES, [wanted(namespace, ports=(HTTP, DNS), app="x", tier="y")], [])
    await converger.converge(SERVICES, [wanted(namespace, app="x")], await seen(cluster, namespace))
    (now,) = await seen(cluster, namespace)
    assert now.metadata.labels == {"app": "x"}
    assert [port.name for port in now.spec.ports] == ["http"]


async def test_a_label_that_is_dropped_alone_is_removed(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    await converger.converge(SERVICES, [wanted(namespace, app="x", tier="y")], [])
    await converger.converge(SERVICES, [wanted(namespace, app="x")], await seen(cluster, namespace))
    (now,) = await seen(cluster, namespace)
    assert now.metadata.labels == {"app": "x"}


async def test_a_new_process_still_removes_what_the_last_one_set(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    await converger.converge(SERVICES, [wanted(namespace, app="x", tier="y")], [])
    next_process = Converger(cluster.client, manager="isthmus-test", force=True)
    await next_process.converge(SERVICES, [wanted(namespace, app="x")], await seen(cluster, namespace))
    (now,) = await seen(cluster, namespace)
    assert now.metadata.labels == {"app": "x"}


async def test_what_others_added_stays_and_is_asked_about_once(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    await converger.converge(SERVICES, [wanted(namespace, app="x")], [])
    await cluster.client.merge_patch(SERVICES, "a", {"metadata": {"labels": {"team": "web"}}}, namespace=namespace)
    fresh = Converger(cluster.client, manager="isthmus-test", force=True)
    first = await fresh.converge(SERVICES, [wanted(namespace, app="x")], await seen(cluster, namespace))
    now = await seen(cluster, namespace)
    second = await fresh.converge(SERVICES, [wanted(namespace, app="x")], now)
    assert (first.applied, second.applied) == (1, 0)
    assert now[0].metadata.labels == {"app": "x", "team": "web"}


async def test_a_change_by_others_to_what_we_set_is_undone(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    await converger.converge(SERVICES, [wanted(namespace, app="x")], [])
    await cluster.client.merge_patch(SERVICES, "a", {"metadata": {"labels": {"app": "z"}}}, namespace=namespace)
    outcome = await converger.converge(SERVICES, [wanted(namespace, app="x")], await seen(cluster, namespace))
    assert outcome.objects[namespace, "a"].metadata.labels == {"app": "x"}


async def test_without_force_a_field_of_another_manager_is_a_conflict(cluster: TestCluster, namespace: str) -> None:
    await cluster.client.apply(
        CONFIG_MAPS, config_map(namespace, "theirs"), namespace=namespace, options=WriteOptions(manager="them")
    )
    polite = Converger(cluster.client, manager="isthmus-test", force=False)
    now = await cluster.client.get(CONFIG_MAPS, "c", namespace=namespace)
    with pytest.raises(Conflict):
        await polite.converge(CONFIG_MAPS, [config_map(namespace, "ours")], [now])
    assert (await cluster.client.get(CONFIG_MAPS, "c", namespace=namespace))["data"] == {"key": "theirs"}


async def test_an_object_that_took_the_name_is_not_deleted(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    await converger.converge(SERVICES, [wanted(namespace)], [])
    stale = await seen(cluster, namespace)
    await cluster.client.delete(SERVICES, "a", namespace=namespace)
    await cluster.serve(namespace, "a", ["10.77.0.5"])
    outcome = await converger.converge(SERVICES, [], stale)
    assert outcome.deleted == 0
    assert [item.metadata.name for item in await seen(cluster, namespace)] == ["a"]


async def test_what_is_gone_already_needs_no_deleting(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    await converger.converge(SERVICES, [wanted(namespace)], [])
    stale = await seen(cluster, namespace)
    await cluster.client.delete(SERVICES, "a", namespace=namespace)
    assert (await converger.converge(SERVICES, [], stale)).deleted == 1
    assert (await converger.converge(SERVICES, [], stale)).deleted == 0


async def test_one_write_that_fails_does_not_stop_the_others(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    bad = wanted(namespace, "Not_A_Name")
    with pytest.raises(Exception, match="Not_A_Name"):
        await converger.converge(SERVICES, [bad, wanted(namespace, "good")], [])
    assert [item.metadata.name for item in await seen(cluster, namespace)] == ["good"]


def behind(cluster: TestCluster, version: str) -> Informer[Service]:
    """An informer that was listed once, and has not heard of any write since."""
    informer = Informer(cluster.client, SERVICES)
    informer.store.resource_version = version
    return informer


async def test_a_store_that_lags_behind_causes_no_second_write(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    listed = await cluster.client.list(SERVICES, namespace=namespace)
    converger.follow(SERVICES, behind(cluster, listed.resource_version))
    first = await converger.converge(SERVICES, [wanted(namespace, app="x")], [])
    second = await converger.converge(SERVICES, [wanted(namespace, app="x")], [])
    assert (first.applied, second.applied) == (1, 0)
    current = converger.current(SERVICES, None, name="a", namespace=namespace)
    assert current is not None
    assert current.spec.cluster_ip
    gone = await converger.converge(SERVICES, [], [current])
    assert gone.deleted == 1
    assert (await converger.converge(SERVICES, [], [current])).deleted == 0


async def test_what_others_deleted_is_made_again_once_the_store_has_heard(
    cluster: TestCluster, namespace: str, converger: Converger
) -> None:
    informer = behind(cluster, "1")
    converger.follow(SERVICES, informer)
    await converger.converge(SERVICES, [wanted(namespace)], [])
    await cluster.client.delete(SERVICES, "a", namespace=namespace)
    listed = await cluster.client.list(SERVICES, namespace=namespace)
    informer.store.resource_version = listed.resource_version
    assert (await converger.converge(SERVICES, [wanted(namespace)], [])).applied == 1
    assert len(await seen(cluster, namespace)) == 1


def config_map(namespace: str, value: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": "c"},
        "data": {"key": value},
    }
