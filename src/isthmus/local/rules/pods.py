"""What controllers ask of a pod: is it alive, ready, available; who goes first; how is one made."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from isthmus.api.apps import Pod, WorkloadCondition
from isthmus.api.meta import OwnerReference
from isthmus.api.scheme import Manifest

_ENDED = ("Succeeded", "Failed")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def is_terminal(pod: Pod) -> bool:
    """Whether its containers have ended for good."""
    return pod.status.phase in _ENDED


def is_terminating(pod: Pod) -> bool:
    """Whether it was told to go."""
    return pod.metadata.deletion_timestamp is not None


def is_active(pod: Pod) -> bool:
    """Whether it counts as a replica: neither ended nor going."""
    return not is_terminal(pod) and not is_terminating(pod)


def is_ready(pod: Pod) -> bool:
    """Whether its condition Ready is True."""
    condition = ready_condition(pod)
    return condition is not None and condition.status == "True"


def ready_condition(pod: Pod) -> WorkloadCondition | None:
    """Its condition Ready, if the node has spoken."""
    return next((condition for condition in pod.status.conditions if condition.type == "Ready"), None)


def available_after(pod: Pod, min_ready_seconds: int, *, now: datetime) -> timedelta | None:
    """How long until it has been ready for `min_ready_seconds`; zero when it has, None when it is not ready."""
    condition = ready_condition(pod)
    if condition is None or condition.status != "True":
        return None
    since = condition.last_transition_time or now
    if min_ready_seconds == 0:
        return timedelta()
    return max(timedelta(), since + timedelta(seconds=min_ready_seconds) - now)


def is_available(pod: Pod, min_ready_seconds: int, *, now: datetime) -> bool:
    """Whether it has been ready for long enough."""
    return available_after(pod, min_ready_seconds, now=now) == timedelta()


def next_availability(pods: Iterable[Pod], min_ready_seconds: int, *, now: datetime) -> timedelta | None:
    """When, if nothing else happens, the next of these pods becomes available."""
    waits = (available_after(pod, min_ready_seconds, now=now) for pod in pods if is_active(pod))
    return min((wait for wait in waits if wait), default=None)


def first_to_go(pods: Iterable[Pod]) -> list[Pod]:
    """Pods in the order in which a smaller workload gives them up.

    As Kubernetes' ActivePods: without a node, in an early phase, not ready, ready for a shorter time, restarted
    more often, younger. Its deletion cost and its spread over nodes have no meaning on one node.
    """

    def rank(pod: Pod) -> tuple[bool, int, bool, float, int, float, str]:
        condition = ready_condition(pod)
        ready_since = condition.last_transition_time if condition and is_ready(pod) else None
        restarts = max((status.restart_count for status in pod.status.container_statuses), default=0)
        return (
            bool(pod.spec.node_name),
            _PHASES.get(pod.status.phase, 0),
            is_ready(pod),
            -(ready_since or _LONG_AGO).timestamp(),
            -restarts,
            -(pod.metadata.creation_timestamp or _LONG_AGO).timestamp(),
            pod.metadata.name,
        )

    return sorted(pods, key=rank)


def from_template(template: Manifest, owner: OwnerReference, *, namespace: str) -> Manifest:
    """A pod of this template that belongs to `owner`; its name is still to be given."""
    metadata: Mapping[str, object] = template.get("metadata") or {}
    kept = {key: metadata[key] for key in ("labels", "annotations", "finalizers") if metadata.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**kept, "namespace": namespace, "ownerReferences": [msgspec.to_builtins(owner)]},
        "spec": dict(template.get("spec") or {}),
    }
