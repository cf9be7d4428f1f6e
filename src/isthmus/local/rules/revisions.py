"""A Deployment's ReplicaSets as its history: which is current, how it is made, which are too old to keep."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from isthmus.api.apps import Deployment, ReplicaSet
from isthmus.api.scheme import Manifest
from isthmus.local.rules.ownership import owner_reference
from isthmus.local.rules.replicaset import wanted_replicas
from isthmus.local.rules.rollout import (
    DESIRED_REPLICAS,
    HASH_LABEL,
    MAX_REPLICAS,
    REVISION,
    bounds,
    by_age,
    deployment_replicas,
    is_rolled_out,
    revision,
    template_hash,
)

_HISTORY_LIMIT = 10
_PREFIX = "deployment.kubernetes.io/"
_NOT_COPIED = ("kubectl.kubernetes.io/last-applied-configuration", "deprecated.deployment.rollback.to")


@dataclass(frozen=True, slots=True)
class History:
    """The ReplicaSet of the template as it is now, if there is one, and those of earlier templates."""

    current: ReplicaSet | None
    old: tuple[ReplicaSet, ...]


def history(deployment: Deployment, owned: Sequence[ReplicaSet]) -> History:
    """What of these is current: the one that carries the template's hash."""
    mark = template_hash(deployment.spec.template, deployment.status.collision_count)
    current = next((each for each in by_age(owned) if each.metadata.labels.get(HASH_LABEL) == mark), None)
    return History(current, tuple(each for each in by_age(owned) if each is not current))


def next_revision(known: History) -> int:
    """The current ReplicaSet's revision: past all others, and never going back."""
    highest = max((revision(each) for each in known.old), default=0) + 1
    return max(highest, revision(known.current)) if known.current else highest


def annotations(deployment: Deployment, number: int) -> dict[str, str]:
    """What the current ReplicaSet is annotated with; the Deployment's own among them, for `rollout history`."""
    given = deployment.metadata.annotations
    copied = {key: given[key] for key in given if key not in _NOT_COPIED and not key.startswith(_PREFIX)}
    return copied | {REVISION: str(number)} | size_marks(deployment)


def size_marks(deployment: Deployment) -> dict[str, str]:
    """With which a ReplicaSet remembers for which number of replicas it was sized."""
    replicas = deployment_replicas(deployment)
    most = replicas + bounds(deployment).surge
    return {DESIRED_REPLICAS: str(replicas), MAX_REPLICAS: str(most)}


def first_size(deployment: Deployment, old: Sequence[ReplicaSet]) -> int:
    """With how many pods a new ReplicaSet begins."""
    replicas = deployment_replicas(deployment)
    there = sum(map(wanted_replicas, old))
    if deployment.spec.strategy.type == "Recreate":
        busy = there or any(each.status.replicas or (each.status.terminating_replicas or 0) for each in old)
        return 0 if busy else replicas
    return max(0, min(replicas, replicas + bounds(deployment).surge - there))


def new_replica_set(deployment: Deployment, known: History) -> Manifest:
    """The ReplicaSet of the template as it is now; its name follows from the template, so it is made once."""
    mark = template_hash(deployment.spec.template, deployment.status.collision_count)
    selector: Manifest = msgspec.to_builtins(deployment.spec.selector)
    template = dict(deployment.spec.template)
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {**(metadata.get("labels") or {}), HASH_LABEL: mark}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment.metadata.name}-{mark}",
            "namespace": deployment.metadata.namespace,
            "labels": metadata["labels"],
            "annotations": annotations(deployment, next_revision(known)),
            "ownerReferences": [msgspec.to_builtins(owner_reference(deployment, kind="Deployment"))],
        },
        "spec": {
            "replicas": first_size(deployment, known.old),
            "minReadySeconds": deployment.spec.min_ready_seconds,
            "selector": selector | {"matchLabels": {**selector.get("matchLabels", {}), HASH_LABEL: mark}},
            "template": template | {"metadata": metadata},
        },
    }


def too_old(deployment: Deployment, known: History) -> tuple[ReplicaSet, ...]:
    """The ReplicaSets that a finished rollout no longer keeps for `rollout undo`."""
    limit = deployment.spec.revision_history_limit
    keep = _HISTORY_LIMIT if limit is None else limit
    if known.current is None or not is_rolled_out(deployment, known.current, known.old):
        return ()
    empty = [
        each
        for each in sorted(known.old, key=revision)
        if not wanted_replicas(each) and not each.status.replicas and each.metadata.deletion_timestamp is None
    ]
    return tuple(empty[: max(0, len(empty) - keep)])
