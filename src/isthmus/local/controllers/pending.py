"""Pods that we made or deleted, and of which the informer has not yet heard.

Names of pods are drawn by the server, so a controller that counted on a store behind its own writes would make
them twice. What the server answered counts until the store has reached that version.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from isthmus.api.scheme import Manifest
from isthmus.kit.clock import Clock
from isthmus.kube.store import Store

# Seconds. A store that has not caught up by then may never do: its server may have gone back in time.
_TRUSTED_FOR = 10.0


@dataclass
class PendingPods:
    """Reads pods from a store as if it had heard of our writes."""

    store: Store[Manifest]
    clock: Clock
    _made: dict[str, tuple[Manifest, float]] = field(default_factory=dict)
    _deleted: dict[str, float] = field(default_factory=dict)

    def made(self, pod: Manifest) -> None:
        """The server answered a creation or change of ours with `pod`."""
        self._made[pod["metadata"]["uid"]] = (pod, self.clock.monotonic())

    def deleted(self, uid: str) -> None:
        """The server took our deletion of the pod with this uid."""
        self._made.pop(uid, None)
        self._deleted[uid] = self.clock.monotonic()

    def all(self, namespace: str) -> list[Manifest]:
        """The namespace's pods; those that we deleted are left out at once."""
        found = {pod["metadata"]["uid"]: pod for pod in self.store.all(namespace)}
        self._forget()
        for uid, (pod, _) in self._made.items():
            if pod["metadata"].get("namespace") == namespace:
                found[uid] = pod
        return [pod for uid, pod in found.items() if uid not in self._deleted]

    def _forget(self) -> None:
        now = self.clock.monotonic()
        heard = _number(self.store.resource_version)
        overtaken = [
            uid
            for uid, (pod, since) in self._made.items()
            if now - since > _TRUSTED_FOR or heard >= _number(pod["metadata"]["resourceVersion"])
        ]
        for uid in overtaken:
            del self._made[uid]
        for uid in self._gone(self._deleted, now):
            del self._deleted[uid]

    def _gone(self, deleted: Iterable[str], now: float) -> list[str]:
        return [uid for uid in deleted if now - self._deleted[uid] > _TRUSTED_FOR]


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else -1
