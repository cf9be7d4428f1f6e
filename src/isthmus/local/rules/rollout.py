"""How a Deployment goes from one template to the next: which ReplicaSet has how many pods.

Kubernetes' Deployment documentation: "Rolling Update Deployment", "Proportional scaling", "Recreate Deployment".
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from isthmus.api.apps import Deployment, ReplicaSet
from isthmus.api.scheme import Manifest
from isthmus.local.rules.replicaset import wanted_replicas

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
# No vowels, no digits that look like letters: no words by chance.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_HASH_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many pods more, and how many available pods less than wanted a rollout may have."""

    surge: int
    unavailable: int


def deployment_replicas(deployment: Deployment) -> int:
    """One where nothing is said."""
    return 1 if deployment.spec.replicas is None else deployment.spec.replicas


def bounds(deployment: Deployment) -> Bounds:
    """The Deployment's bounds in pods; a quarter each where nothing is said, and never both none."""
    if deployment.spec.strategy.type == "Recreate":
        return Bounds(0, 0)
    given = deployment.spec.strategy.rolling_update
    replicas = deployment_replicas(deployment)
    surge = share(given.max_surge if given else None, replicas, up=True)
    unavailable = share(given.max_unavailable if given else None, replicas, up=False)
    if not surge and not unavailable:
        unavailable = 1
    return Bounds(surge, min(unavailable, replicas))


def share(value: int | str | None, of: int, *, up: bool) -> int:
    """A number of pods, or `25%` of them rounded up or down; what is neither counts as 25%."""
    if isinstance(value, int):
        return value
    text = (value or "25%").removesuffix("%")
    per_cent = int(text) if text.isdecimal() else 25
    part = of * per_cent / 100
    return math.ceil(part) if up else math.floor(part)


def template_hash(template: Manifest, collisions: int | None) -> str:
    """The name of a template, the same for equal templates."""
    content = msgspec.json.encode([template, collisions or 0], order="deterministic")
    number = int.from_bytes(hashlib.sha256(content).digest()[:16], "big")
    letters = []
    for _ in range(_HASH_LENGTH):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return "".join(letters)


def by_age(sets: Sequence[ReplicaSet]) -> list[ReplicaSet]:
    """The oldest first; revisions break ties of one second."""
    return sorted(sets, key=lambda each: (each.metadata.creation_timestamp is None, _age(each), revision(each)))


def _age(each: ReplicaSet) -> float:
    return each.metadata.creation_timestamp.timestamp() if each.metadata.creation_timestamp else 0.0


def revision(item: ReplicaSet | Deployment) -> int:
    """Its place in the history of rollouts; 0 where it has none."""
    text = item.metadata.annotations.get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def sizes(deployment: Deployment, current: ReplicaSet | None, old: Sequence[ReplicaSet]) -> dict[str, int]:
    """The next step: how many pods each ReplicaSet, by name, shall have now. It is run until nothing changes."""
    seen = {each.metadata.name: wanted_replicas(each) for each in (*old, *([current] if current else []))}
    if _is_scaled(deployment, current, old):
        return seen | _scaled(deployment, current, old)
    if current is None or deployment.spec.paused:
        return seen
    if deployment.spec.strategy.type == "Recreate":
        return seen | _recreated(deployment, current, old)
    grown = _grown(deployment, current, old)
    if grown != wanted_replicas(current):
        return seen | {current.metadata.name: grown}
    return seen | _shrunk(deployment, current, old)


def is_rolled_out(deployment: Deployment, current: ReplicaSet, old: Sequence[ReplicaSet]) -> bool:
    """Whether only the current ReplicaSet has pods, and all of them."""
    return wanted_replicas(current) == deployment_replicas(deployment) and not any(map(wanted_replicas, old))


def _is_scaled(deployment: Deployment, current: ReplicaSet | None, old: Sequence[ReplicaSet]) -> bool:
    """Whether the wanted number changed since its ReplicaSets were last sized."""
    active = [each for each in (*old, *([current] if current else [])) if wanted_replicas(each) > 0]
    marks = (each.metadata.annotations.get(DESIRED_REPLICAS, "") for each in active)
    return any(mark and mark != str(deployment_replicas(deployment)) for mark in marks)


def _scaled(deployment: Deployment, current: ReplicaSet | None, old: Sequence[ReplicaSet]) -> dict[str, int]:
    """All active ReplicaSets grow or shrink in proportion; the biggest takes what rounding leaves over."""
    replicas = deployment_replicas(deployment)
    every = [*old, *([current] if current else [])]
    active = [each for each in every if wanted_replicas(each) > 0]
    if len(active) <= 1:
        only = active[0] if active else current
        return {only.metadata.name: replicas} if only else {}
    if current is not None and current in active and current.status.available_replicas >= replicas:
        gone = {each.metadata.name: 0 for each in active if each is not current}
        return gone | {current.metadata.name: replicas}
    total = sum(map(wanted_replicas, active))
    allowed = replicas + bounds(deployment).surge if replicas else 0
    left = allowed - total
    result: dict[str, int] = {}
    for each in sorted(active, key=lambda each: (-wanted_replicas(each), each.metadata.name)):
        size = wanted_replicas(each)
        part = _limited(round(size * allowed / total) - size, left)
        result[each.metadata.name] = size + part
        left -= part
    biggest = next(iter(result))
    result[biggest] = max(0, result[biggest] + left)
    return result


def _limited(part: int, left: int) -> int:
    """As much of `part` as `left` allows; nothing against its direction."""
    if left >= 0:
        return max(0, min(part, left))
    return min(0, max(part, left))


def _recreated(deployment: Deployment, current: ReplicaSet, old: Sequence[ReplicaSet]) -> dict[str, int]:
    gone = {each.metadata.name: 0 for each in old}
    still_there = any(each.status.replicas or (each.status.terminating_replicas or 0) for each in old)
    if still_there or any(map(wanted_replicas, old)):
        return gone
    return gone | {current.metadata.name: deployment_replicas(deployment)}


def _grown(deployment: Deployment, current: ReplicaSet, old: Sequence[ReplicaSet]) -> int:
    replicas = deployment_replicas(deployment)
    size = wanted_replicas(current)
    if size >= replicas:
        return replicas
    total = size + sum(map(wanted_replicas, old))
    room = replicas + bounds(deployment).surge - total
    return min(replicas, size + max(0, room))


def _shrunk(deployment: Deployment, current: ReplicaSet, old: Sequence[ReplicaSet]) -> dict[str, int]:
    """Old pods that are not available go at once; others only as far as enough available ones remain."""
    replicas = deployment_replicas(deployment)
    least = replicas - bounds(deployment).unavailable
    sized = {each.metadata.name: wanted_replicas(each) for each in old}
    current_unavailable = max(0, wanted_replicas(current) - current.status.available_replicas)
    total = wanted_replicas(current) + sum(sized.values())
    spare = max(0, total - least - current_unavailable)
    for each in by_age(old):
        sick = max(0, sized[each.metadata.name] - each.status.available_replicas)
        going = min(sick, spare)
        sized[each.metadata.name] -= going
        spare -= going
    available = current.status.available_replicas + sum(
        min(each.status.available_replicas, sized[each.metadata.name]) for each in old
    )
    spare = max(0, available - least)
    for each in by_age(old):
        going = min(sized[each.metadata.name], spare)
        sized[each.metadata.name] -= going
        spare -= going
    return sized
