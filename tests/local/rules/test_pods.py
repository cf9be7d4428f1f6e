from datetime import UTC, datetime, timedelta

import pytest

from isthmus.api.apps import ContainerStatus, Pod, PodSpec, PodStatus, WorkloadCondition, pods_of
from isthmus.api.meta import ObjectMeta, OwnerReference
from isthmus.local.rules.pods import available_after, first_to_go, from_template, is_active, next_availability

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def pod(
    name: str = "p",
    *,
    ready_for: float | None = 60,
    phase: str = "Running",
    age: float = 100,
    restarts: int = 0,
    node: str = "n",
) -> Pod:
    ready = WorkloadCondition(
        type="Ready",
        status="False" if ready_for is None else "True",
        last_transition_time=None if ready_for is None else NOW - timedelta(seconds=ready_for),
    )
    return Pod(
        metadata=ObjectMeta(name=name, creation_timestamp=NOW - timedelta(seconds=age)),
        spec=PodSpec(node_name=node),
        status=PodStatus(
            phase=phase, conditions=(ready,), container_statuses=(ContainerStatus(restart_count=restarts),)
        ),
    )


@pytest.mark.parametrize(
    ("one", "seconds", "want"),
    [
        pytest.param(pod(ready_for=None), 0, None, id="not ready, not available"),
        pytest.param(pod(ready_for=0), 0, 0, id="ready is available where no time is asked"),
        pytest.param(pod(ready_for=3), 10, 7, id="ready, but not for long enough"),
        pytest.param(pod(ready_for=10), 10, 0, id="ready for long enough"),
        pytest.param(Pod(), 0, None, id="the node has not spoken"),
    ],
)
def test_a_pod_is_available_when_it_has_been_ready_for_a_while(one: Pod, seconds: int, want: float | None) -> None:
    found = available_after(one, seconds, now=NOW)
    assert (found.total_seconds() if found is not None else None) == want


def test_the_next_availability_is_the_soonest() -> None:
    pods = [pod(ready_for=3), pod(ready_for=8), pod(ready_for=20), pod(ready_for=None)]
    assert next_availability(pods, 10, now=NOW) == timedelta(seconds=2)
    assert next_availability(pods[2:], 10, now=NOW) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(pod(node=""), pod(), id="without a node"),
        pytest.param(pod(phase="Pending"), pod(), id="still pending"),
        pytest.param(pod(ready_for=None), pod(), id="not ready"),
        pytest.param(pod(ready_for=5), pod(ready_for=50), id="ready for a shorter time"),
        pytest.param(pod(restarts=3), pod(), id="restarted more often"),
        pytest.param(pod(age=5), pod(age=50), id="younger"),
        pytest.param(pod(node="", age=50), pod(ready_for=None, age=5), id="a node counts more than readiness"),
    ],
)
def test_who_goes_first(first: Pod, second: Pod) -> None:
    assert first_to_go([second, first])[0] is first
    assert first_to_go([first, second])[0] is first


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_what_has_ended_is_no_replica(phase: str) -> None:
    assert not is_active(pod(phase=phase))


def test_a_pod_is_made_from_its_template() -> None:
    template = {
        "metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}, "name": "no", "creationTimestamp": None},
        "spec": {"containers": [{"name": "c", "unknownHere": 1}]},
    }
    owner = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="web-1", uid="u", controller=True)
    made = from_template(template, owner, namespace="prod")
    assert made["metadata"] == {
        "labels": {"app": "web"},
        "annotations": {"a": "b"},
        "namespace": "prod",
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u", "controller": True}
        ],
    }
    assert made["spec"] == {"containers": [{"name": "c", "unknownHere": 1}]}


def test_a_pod_that_cannot_be_read_does_not_spoil_the_others() -> None:
    good = {"metadata": {"name": "good"}, "spec": {}, "status": {}}
    bad = {"metadata": {"name": "bad"}, "status": {"conditions": "none"}}
    assert [each.metadata.name for each in pods_of([bad, good])] == ["good"]
