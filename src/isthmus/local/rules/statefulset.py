"""A StatefulSet's next step: which pod to make, which to end, and what its status says.

Kubernetes' StatefulSet documentation: "Deployment and Scaling Guarantees", "Pod Management Policies",
"Update strategies". Volume claims are not made: embedded clusters have no volumes to claim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from isthmus.api.apps import ControllerRevision, Pod, StatefulSet, StatefulSetStatus
from isthmus.api.scheme import Manifest
from isthmus.local.rules.ownership import owner_reference
from isthmus.local.rules.pods import from_template, is_available, is_ready, is_terminal, is_terminating
from isthmus.local.rules.rollout import template_hash

REVISION_LABEL = "controller-revision-hash"
NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now; the pods' own changes bring the next step."""

    create: tuple[int, ...] = ()
    delete: tuple[Pod, ...] = field(default=())


def wanted_ordinals(stateful_set: StatefulSet) -> range:
    """The numbers of its pods; one pod where nothing is said."""
    return range(1 if stateful_set.spec.replicas is None else stateful_set.spec.replicas)


def revision_name(stateful_set: StatefulSet) -> str:
    """The name of its template as it is now."""
    return f"{stateful_set.metadata.name}-{template_hash(stateful_set.spec.template, None)}"


def ordinal(stateful_set: StatefulSet, pod: Pod) -> int | None:
    """The number in a pod's name; None for a name that is not of this set."""
    head, _, number = pod.metadata.name.rpartition("-")
    return int(number) if head == stateful_set.metadata.name and number.isdecimal() else None


def step(stateful_set: StatefulSet, pods: Sequence[Pod], *, now: datetime) -> Step:
    """The next step with these owned pods; nothing while the set is being deleted."""
    if stateful_set.metadata.deletion_timestamp is not None:
        return Step()
    by_number = _by_number(stateful_set, pods)
    wanted = wanted_ordinals(stateful_set)
    ended = tuple(pod for n, pod in by_number.items() if n in wanted and is_terminal(pod) and not is_terminating(pod))
    missing = tuple(n for n in wanted if n not in by_number)
    surplus = tuple(by_number[n] for n in sorted(by_number, reverse=True) if n not in wanted)
    if stateful_set.spec.pod_management_policy == "Parallel":
        going = ended + tuple(pod for pod in surplus if not is_terminating(pod))
        return Step(missing, going) if missing or going else _update(stateful_set, by_number, now)
    return _in_order(stateful_set, by_number, surplus, now)


def _by_number(stateful_set: StatefulSet, pods: Sequence[Pod]) -> dict[int, Pod]:
    return {n: pod for pod in pods if (n := ordinal(stateful_set, pod)) is not None}


def _in_order(stateful_set: StatefulSet, by_number: Mapping[int, Pod], surplus: Sequence[Pod], now: datetime) -> Step:
    """One pod at a time: up when all before it are there and well, down from the last one."""
    for number in wanted_ordinals(stateful_set):
        pod = by_number.get(number)
        if pod is None:
            return Step(create=(number,))
        if is_terminal(pod) and not is_terminating(pod):
            return Step(delete=(pod,))
        if not _is_well(stateful_set, pod, now):
            return _mend(stateful_set, pod)
    if surplus:
        return Step() if any(map(is_terminating, surplus)) else Step(delete=(surplus[0],))
    return _update(stateful_set, by_number, now)


def _is_well(stateful_set: StatefulSet, pod: Pod, now: datetime) -> bool:
    return not is_terminating(pod) and is_available(pod, stateful_set.spec.min_ready_seconds, now=now)


def _mend(stateful_set: StatefulSet, pod: Pod) -> Step:
    """Wait for a pod that is not well; unless its template is an old one, for then it may never be (OURS).

    Kubernetes waits for ever and tells people to delete the pod by hand.
    """
    if is_terminating(pod) or not _is_outdated(stateful_set, pod):
        return Step()
    return Step(delete=(pod,))


def _update(stateful_set: StatefulSet, by_number: Mapping[int, Pod], now: datetime) -> Step:
    """From the last pod to the first, the next one when the one before is well again."""
    if stateful_set.spec.update_strategy.type == "OnDelete":
        return Step()
    for number in reversed(wanted_ordinals(stateful_set)):
        pod = by_number[number]
        if _is_outdated(stateful_set, pod) and not is_terminating(pod):
            return Step(delete=(pod,))
        if not _is_well(stateful_set, pod, now):
            return Step()
    return Step()


def _is_outdated(stateful_set: StatefulSet, pod: Pod) -> bool:
    rolling = stateful_set.spec.update_strategy.rolling_update
    number = ordinal(stateful_set, pod)
    kept = stateful_set.spec.update_strategy.type == "OnDelete" or (
        rolling is not None and number is not None and number < rolling.partition
    )
    return not kept and pod.metadata.labels.get(REVISION_LABEL) != revision_name(stateful_set)


def new_pod(stateful_set: StatefulSet, number: int, revisions: Sequence[ControllerRevision] = ()) -> Manifest:
    """The pod with that number: its name is also its hostname, below the set's service.

    Below the partition it is made of the template that the set had before, as long as `revisions` knows it.
    """
    meta = stateful_set.metadata
    revision, template = _template(stateful_set, number, revisions)
    pod = from_template(template, owner_reference(stateful_set, kind="StatefulSet"), namespace=meta.namespace)
    name = f"{meta.name}-{number}"
    own = {REVISION_LABEL: revision, NAME_LABEL: name, INDEX_LABEL: str(number)}
    pod["metadata"] |= {"name": name, "labels": {**pod["metadata"].get("labels", {}), **own}}
    pod["spec"] |= {"hostname": name}
    if stateful_set.spec.service_name:
        pod["spec"] |= {"subdomain": stateful_set.spec.service_name}
    return pod


def _template(stateful_set: StatefulSet, number: int, revisions: Sequence[ControllerRevision]) -> tuple[str, Manifest]:
    rolling = stateful_set.spec.update_strategy.rolling_update
    before = stateful_set.status.current_revision
    kept = next((each for each in revisions if each.metadata.name == before), None)
    if kept is None or rolling is None or number >= rolling.partition:
        return revision_name(stateful_set), stateful_set.spec.template
    template = {key: value for key, value in kept.data["spec"]["template"].items() if key != "$patch"}
    return before, template


def stateful_set_status(stateful_set: StatefulSet, pods: Sequence[Pod], *, now: datetime) -> StatefulSetStatus:
    """The status that these owned pods make."""
    there = [pod for pod in pods if not is_terminal(pod)]
    latest = revision_name(stateful_set)
    updated = sum(pod.metadata.labels.get(REVISION_LABEL) == latest and not is_terminating(pod) for pod in there)
    ready = sum(is_ready(pod) and not is_terminating(pod) for pod in there)
    done = updated == len(wanted_ordinals(stateful_set)) == ready == len(there)
    current = latest if done or not stateful_set.status.current_revision else stateful_set.status.current_revision
    seconds = stateful_set.spec.min_ready_seconds
    return StatefulSetStatus(
        observed_generation=stateful_set.metadata.generation,
        replicas=len(there),
        ready_replicas=ready,
        current_replicas=sum(pod.metadata.labels.get(REVISION_LABEL) == current for pod in there),
        updated_replicas=updated,
        available_replicas=sum(is_available(pod, seconds, now=now) and not is_terminating(pod) for pod in there),
        current_revision=current,
        update_revision=latest,
        collision_count=0,
    )
