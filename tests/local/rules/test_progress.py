from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from isthmus.api.apps import (
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    WorkloadCondition,
)
from isthmus.api.meta import ObjectMeta
from isthmus.local.rules.progress import deadline, deployment_status
from isthmus.local.rules.revisions import History

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WEB = Deployment(metadata=ObjectMeta(name="web", generation=3), spec=DeploymentSpec(replicas=3))


def replica_set(name: str, size: int, ready: int) -> ReplicaSet:
    return ReplicaSet(
        metadata=ObjectMeta(name=name),
        spec=ReplicaSetSpec(replicas=size),
        status=ReplicaSetStatus(replicas=size, ready_replicas=ready, available_replicas=ready),
    )


def after(deployment: Deployment, known: History, *, seconds: float = 0) -> Deployment:
    """The Deployment with the status that its controller would write then."""
    status = deployment_status(deployment, known, now=NOW + timedelta(seconds=seconds))
    return msgspec.structs.replace(deployment, status=status)


def condition(deployment: Deployment, kind: str) -> WorkloadCondition:
    return next(each for each in deployment.status.conditions if each.type == kind)


ROLLING = History(replica_set("web-b", 2, 1), (replica_set("web-a", 2, 2),))
DONE = History(replica_set("web-b", 3, 3), (replica_set("web-a", 0, 0),))


def test_the_status_counts_pods_of_all_replica_sets() -> None:
    status = after(WEB, ROLLING).status
    assert (status.replicas, status.updated_replicas, status.ready_replicas) == (4, 2, 3)
    assert (status.available_replicas, status.unavailable_replicas, status.observed_generation) == (3, 1, 3)


@pytest.mark.parametrize(
    ("ready", "want"), [(3, "True"), pytest.param(2, "False", id="a quarter of three, rounded down, is none")]
)
def test_a_deployment_is_available_while_enough_pods_are(ready: int, want: str) -> None:
    assert condition(after(WEB, History(replica_set("web-a", 3, ready), ())), "Available").status == want


def test_a_rollout_that_moves_is_progressing_and_then_done() -> None:
    rolling = after(WEB, ROLLING)
    assert condition(rolling, "Progressing").reason == "ReplicaSetUpdated"
    done = condition(after(rolling, DONE, seconds=5), "Progressing")
    assert (done.status, done.reason) == ("True", "NewReplicaSetAvailable")
    assert done.message == 'ReplicaSet "web-b" has successfully progressed.'
    assert done.last_transition_time == NOW
    assert done.last_update_time == NOW + timedelta(seconds=5)


def test_a_rollout_that_stands_still_exceeds_its_deadline() -> None:
    stuck = after(WEB, ROLLING)
    assert condition(after(stuck, ROLLING, seconds=599), "Progressing").status == "True"
    late = condition(after(stuck, ROLLING, seconds=600), "Progressing")
    assert (late.status, late.reason) == ("False", "ProgressDeadlineExceeded")


def test_one_that_moves_late_has_its_time_again() -> None:
    further = History(replica_set("web-b", 3, 2), (replica_set("web-a", 1, 1),))
    moved = after(after(WEB, ROLLING), further, seconds=500)
    assert condition(after(moved, further, seconds=900), "Progressing").status == "True"
    assert deadline(moved, moved.status, now=NOW + timedelta(seconds=900)) == timedelta(seconds=200)


def test_pods_that_fail_later_do_not_begin_the_rollout_anew() -> None:
    done = after(after(WEB, ROLLING), DONE)
    failing = after(done, History(replica_set("web-b", 3, 1), ()), seconds=9999)
    assert condition(failing, "Progressing").reason == "NewReplicaSetAvailable"
    assert condition(failing, "Available").status == "False"
    assert deadline(failing, failing.status, now=NOW) is None


def test_another_template_begins_it_anew() -> None:
    done = after(WEB, DONE)
    again = after(done, History(replica_set("web-c", 1, 0), (replica_set("web-b", 3, 3),)), seconds=9999)
    found = condition(again, "Progressing")
    assert (found.reason, found.last_update_time) == ("ReplicaSetUpdated", NOW + timedelta(seconds=9999))


def test_old_pods_that_come_back_begin_it_anew() -> None:
    done = after(WEB, DONE)
    again = after(done, History(replica_set("web-b", 3, 3), (replica_set("web-a", 1, 0),)), seconds=9999)
    found = condition(again, "Progressing")
    assert (found.reason, found.last_update_time) == ("ReplicaSetUpdated", NOW + timedelta(seconds=9999))


def test_a_paused_rollout_says_so() -> None:
    paused = msgspec.structs.replace(WEB, spec=DeploymentSpec(replicas=3, paused=True))
    found = condition(after(paused, ROLLING), "Progressing")
    assert (found.status, found.reason) == ("Unknown", "DeploymentPaused")


def test_nothing_changes_while_nothing_moves() -> None:
    rolling = after(WEB, ROLLING)
    assert after(rolling, ROLLING, seconds=30).status == rolling.status


def test_conditions_of_others_are_kept() -> None:
    other = WorkloadCondition(type="Other", status="True")
    found = after(msgspec.structs.replace(WEB, status=DeploymentStatus(conditions=(other,))), DONE)
    assert other in found.status.conditions


def test_what_keeps_its_replica_set_from_making_pods_is_told() -> None:
    failed = WorkloadCondition(type="ReplicaFailure", status="True", reason="FailedCreate", message="refused")
    current = replica_set("web-a", 0, 0)
    failing = msgspec.structs.replace(current, status=ReplicaSetStatus(conditions=(failed,)))
    told = after(WEB, History(failing, ()))
    assert condition(told, "ReplicaFailure").message == "refused"
    assert "ReplicaFailure" not in {each.type for each in after(told, History(current, ())).status.conditions}
