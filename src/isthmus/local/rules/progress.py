"""What a Deployment's status says: its counts, whether it is available, whether its rollout gets on.

Kubernetes' Deployment documentation, "Deployment status"; `kubectl rollout status` reads nothing else.
"""

from datetime import datetime, timedelta

import msgspec

from isthmus.api.apps import Deployment, DeploymentStatus, ReplicaSet, WorkloadCondition
from isthmus.local.rules.replicaset import REPLICA_FAILURE, wanted_replicas
from isthmus.local.rules.revisions import History
from isthmus.local.rules.rollout import bounds, deployment_replicas

_OURS = ("Available", "Progressing", REPLICA_FAILURE)
_DEADLINE_SECONDS = 600
_COMPLETE = "NewReplicaSetAvailable"
_TIMED_OUT = "ProgressDeadlineExceeded"
_PAUSED = "DeploymentPaused"


def deployment_status(deployment: Deployment, known: History, *, now: datetime) -> DeploymentStatus:
    """The status that these ReplicaSets make."""
    every = (*known.old, *([known.current] if known.current else []))
    available = sum(each.status.available_replicas for each in every)
    counted = DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(each.status.replicas for each in every),
        updated_replicas=known.current.status.replicas if known.current else 0,
        ready_replicas=sum(each.status.ready_replicas for each in every),
        available_replicas=available,
        unavailable_replicas=max(0, sum(map(wanted_replicas, every)) - available),
        collision_count=deployment.status.collision_count,
    )
    conditions = (
        _stamped(deployment, _availability(deployment, available), now, moved=False),
        _progress(deployment, known.current, counted, now),
        _failure(deployment, known.current, now),
    )
    kept = tuple(each for each in deployment.status.conditions if each.type not in _OURS)
    found = tuple(condition for condition in conditions if condition is not None)
    return msgspec.structs.replace(counted, conditions=found + kept)


def _failure(deployment: Deployment, current: ReplicaSet | None, now: datetime) -> WorkloadCondition | None:
    """What keeps the current ReplicaSet from making its pods, told where people look first."""
    found = (each for each in (current.status.conditions if current else ()) if each.type == REPLICA_FAILURE)
    failed = next(found, None)
    return _stamped(deployment, failed, now, moved=False) if failed else None


def deadline(deployment: Deployment, status: DeploymentStatus, *, now: datetime) -> timedelta | None:
    """How long until this rollout counts as stuck; None where it cannot, or already does."""
    seen = next((each for each in status.conditions if each.type == "Progressing"), None)
    if seen is None or seen.reason in {_COMPLETE, _TIMED_OUT, _PAUSED} or seen.last_update_time is None:
        return None
    return max(timedelta(), seen.last_update_time + _patience(deployment) - now)


def _patience(deployment: Deployment) -> timedelta:
    given = deployment.spec.progress_deadline_seconds
    return timedelta(seconds=_DEADLINE_SECONDS if given is None else given)


def _availability(deployment: Deployment, available: int) -> WorkloadCondition:
    if available >= deployment_replicas(deployment) - bounds(deployment).unavailable:
        reason, message = "MinimumReplicasAvailable", "Deployment has minimum availability."
        return WorkloadCondition(type="Available", status="True", reason=reason, message=message)
    reason, message = "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
    return WorkloadCondition(type="Available", status="False", reason=reason, message=message)


def _progress(
    deployment: Deployment, current: ReplicaSet | None, counted: DeploymentStatus, now: datetime
) -> WorkloadCondition | None:
    seen = _seen(deployment, "Progressing")
    if deployment.spec.paused:
        return _stamped(deployment, _progressing("Unknown", _PAUSED, "Deployment is paused"), now, moved=False)
    if current is None:
        return seen
    subject = f'ReplicaSet "{current.metadata.name}"'
    complete = _progressing("True", _COMPLETE, f"{subject} has successfully progressed.")
    if _is_complete(deployment, counted):
        return _stamped(deployment, complete, now, moved=False)
    ours = seen is not None and subject in seen.message
    if seen is not None and ours and seen.reason == _COMPLETE and counted.replicas == counted.updated_replicas:
        # Pods that fail, or more that are wanted, after a rollout ended well do not begin it anew.
        return seen
    moved = not ours or seen is None or seen.reason == _COMPLETE or _has_moved(deployment.status, counted)
    since = seen.last_update_time if seen else None
    if not moved and since is not None and now >= since + _patience(deployment):
        timed_out = _progressing("False", _TIMED_OUT, f"{subject} has timed out progressing.")
        return _stamped(deployment, timed_out, now, moved=False)
    going = _progressing("True", "ReplicaSetUpdated", f"{subject} is progressing.")
    return _stamped(deployment, going, now, moved=True) if moved else seen


def _progressing(status: str, reason: str, message: str) -> WorkloadCondition:
    return WorkloadCondition(type="Progressing", status=status, reason=reason, message=message)


def _is_complete(deployment: Deployment, counted: DeploymentStatus) -> bool:
    replicas = deployment_replicas(deployment)
    return counted.updated_replicas == counted.replicas == counted.available_replicas == replicas


def _has_moved(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    old_before, old_after = before.replicas - before.updated_replicas, after.replicas - after.updated_replicas
    return (
        after.updated_replicas > before.updated_replicas
        or old_after < old_before
        or after.ready_replicas > before.ready_replicas
        or after.available_replicas > before.available_replicas
    )


def _seen(deployment: Deployment, kind: str) -> WorkloadCondition | None:
    return next((each for each in deployment.status.conditions if each.type == kind), None)


def _stamped(deployment: Deployment, wanted: WorkloadCondition, now: datetime, *, moved: bool) -> WorkloadCondition:
    """`wanted` with its times: of transition when the status changed, of update when anything did."""
    now = now.replace(microsecond=0)
    seen = _seen(deployment, wanted.type)
    if seen is None:
        return msgspec.structs.replace(wanted, last_transition_time=now, last_update_time=now)
    same = (seen.status, seen.reason, seen.message) == (wanted.status, wanted.reason, wanted.message)
    return msgspec.structs.replace(
        wanted,
        last_transition_time=seen.last_transition_time if seen.status == wanted.status else now,
        last_update_time=seen.last_update_time if same and not moved else now,
    )
