"""How many pods a ReplicaSet makes or ends, and what its status says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from isthmus.api.apps import Pod, ReplicaSet, ReplicaSetStatus, WorkloadCondition
from isthmus.local.rules.pods import first_to_go, is_active, is_available, is_ready, is_terminating

REPLICA_FAILURE = "ReplicaFailure"
# Pods made in one go: as many as Kubernetes makes at most.
_BURST = 500


@dataclass(frozen=True, slots=True)
class Scaling:
    """So many pods to make; these to delete."""

    create: int
    delete: tuple[Pod, ...]


def wanted_replicas(replica_set: ReplicaSet) -> int:
    """One where nothing is said."""
    return 1 if replica_set.spec.replicas is None else replica_set.spec.replicas


def scaling(replica_set: ReplicaSet, pods: Sequence[Pod]) -> Scaling:
    """What brings the number of active pods, all owned, to the wanted one; nothing while it is being deleted."""
    if replica_set.metadata.deletion_timestamp is not None:
        return Scaling(0, ())
    active = [pod for pod in pods if is_active(pod)]
    surplus = len(active) - wanted_replicas(replica_set)
    if surplus <= 0:
        return Scaling(min(-surplus, _BURST), ())
    return Scaling(0, tuple(first_to_go(active)[:surplus]))


def replica_set_status(
    replica_set: ReplicaSet, pods: Sequence[Pod], *, now: datetime, failure: str = ""
) -> ReplicaSetStatus:
    """The status that these owned pods make; `failure` says why one could not be made or deleted just now."""
    active = [pod for pod in pods if is_active(pod)]
    labels: dict[str, str] = (replica_set.spec.template.get("metadata") or {}).get("labels") or {}
    seconds = replica_set.spec.min_ready_seconds
    return ReplicaSetStatus(
        replicas=len(active),
        fully_labeled_replicas=sum(labels.items() <= pod.metadata.labels.items() for pod in active),
        ready_replicas=sum(is_ready(pod) for pod in active),
        available_replicas=sum(is_available(pod, seconds, now=now) for pod in active),
        terminating_replicas=sum(is_terminating(pod) for pod in pods),
        observed_generation=replica_set.metadata.generation,
        conditions=(_failed(replica_set, failure, now),) if failure else (),
    )


def _failed(replica_set: ReplicaSet, message: str, now: datetime) -> WorkloadCondition:
    # The first failure stays until there is none: its time tells since when nothing works.
    seen = next((each for each in replica_set.status.conditions if each.type == REPLICA_FAILURE), None)
    return seen or WorkloadCondition(
        type=REPLICA_FAILURE,
        status="True",
        reason="FailedCreate",
        message=message,
        last_transition_time=now.replace(microsecond=0),
    )
