"""What all verbs share: one cluster's objects, kinds and clock."""

from dataclasses import dataclass
from datetime import UTC, datetime

from isthmus.apiserver.kinds import Kind, Kinds
from isthmus.apiserver.storage import Collection, Record, Storage
from isthmus.kit.clock import SYSTEM, Clock

NAMESPACES, SERVICES, PODS = "namespaces", "services", "pods"
CRDS = "customresourcedefinitions.apiextensions.k8s.io"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster as its API server knows it; `ca` is its authority's certificate, as PEM."""

    name: str
    storage: Storage
    kinds: Kinds
    clock: Clock = SYSTEM
    ca: str = ""

    def collection(self, kind: Kind) -> Collection:
        """Where the objects of `kind` are."""
        return self.storage.collection(kind.collection)

    def find(self, collection: str, name: str, namespace: str = "") -> Record | None:
        """One object of a collection."""
        return self.storage.collection(collection).get((namespace, name))

    def now(self) -> datetime:
        """The time, to the second, as Kubernetes writes it."""
        return self.clock.now().replace(microsecond=0)


def timestamp(moment: datetime) -> str:
    """RFC 3339 as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
