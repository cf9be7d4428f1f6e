from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from isthmus.api.apps import Pod, PodSpec, PodStatus, ReplicaSet, ReplicaSetSpec, WorkloadCondition
from isthmus.api.meta import ObjectMeta
from isthmus.local.rules.replicaset import replica_set_status, scaling

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def replica_set(replicas: int | None, *, going: bool = False) -> ReplicaSet:
    return ReplicaSet(
        metadata=ObjectMeta(name="web-1", generation=4, deletion_timestamp=NOW if going else None),
        spec=ReplicaSetSpec(replicas=replicas, template={"metadata": {"labels": {"app": "web", "v": "2"}}}),
    )


def pod(name: str, *, ready: bool = True, going: bool = False, phase: str = "Running") -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, labels={"app": "web", "v": "2"}, deletion_timestamp=NOW if going else None),
        spec=PodSpec(node_name="n"),
        status=PodStatus(
            phase=phase, conditions=(WorkloadCondition(type="Ready", status="True" if ready else "False"),)
        ),
    )


@pytest.mark.parametrize(
    ("wanted", "pods", "create", "delete"),
    [
        pytest.param(replica_set(2), [], 2, [], id="none there"),
        pytest.param(replica_set(None), [], 1, [], id="not said is one"),
        pytest.param(replica_set(2), [pod("a"), pod("b")], 0, [], id="as wanted"),
        pytest.param(replica_set(1), [pod("a"), pod("b", ready=False)], 0, ["b"], id="the one that is not ready goes"),
        pytest.param(replica_set(0), [pod("a"), pod("b")], 0, ["a", "b"], id="none wanted"),
        pytest.param(replica_set(2), [pod("a"), pod("b", going=True)], 1, [], id="one that goes is replaced at once"),
        pytest.param(replica_set(1), [pod("a", phase="Failed")], 1, [], id="one that failed is replaced"),
        pytest.param(replica_set(2, going=True), [], 0, [], id="a set that goes makes none"),
        pytest.param(replica_set(0, going=True), [pod("a")], 0, [], id="and leaves deleting to the owner's collector"),
        pytest.param(replica_set(2000), [], 500, [], id="not more than a burst at once"),
    ],
)
def test_as_many_pods_are_made_or_deleted_as_differ(
    wanted: ReplicaSet, pods: list[Pod], create: int, delete: list[str]
) -> None:
    found = scaling(wanted, pods)
    assert (found.create, [each.metadata.name for each in found.delete]) == (create, delete)


def test_the_status_counts_pods() -> None:
    other = msgspec.structs.replace(pod("d"), metadata=ObjectMeta(name="d", labels={"app": "web"}))
    pods = [pod("a"), pod("b", ready=False), pod("c", going=True), other, pod("e", phase="Succeeded")]
    status = replica_set_status(replica_set(3), pods, now=NOW)
    assert (status.replicas, status.fully_labeled_replicas, status.terminating_replicas) == (3, 2, 1)
    assert (status.ready_replicas, status.available_replicas, status.observed_generation) == (2, 2, 4)


def test_a_failure_stays_told_with_its_first_time_until_there_is_none() -> None:
    failing = replica_set(3)
    first = replica_set_status(failing, [], now=NOW, failure="refused").conditions
    assert [(each.type, each.status, each.message) for each in first] == [("ReplicaFailure", "True", "refused")]
    again = msgspec.structs.replace(failing, status=msgspec.structs.replace(failing.status, conditions=first))
    later = NOW + timedelta(hours=1)
    assert replica_set_status(again, [], now=later, failure="refused once more").conditions == first
    assert replica_set_status(again, [pod("a")], now=later).conditions == ()
