"""What a cluster's residents share: one client, one informer per kind, one clock."""

from typing import Protocol, TypeVar

from isthmus.api.core import ObjectReference
from isthmus.api.meta import Object
from isthmus.api.scheme import Resource
from isthmus.kit.clock import Clock
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer

T = TypeVar("T")

# As whom residents write.
MANAGER = "isthmus-local"


class Surroundings(Protocol):
    """The part of the node's process that controllers, proxy and name server ask for."""

    @property
    def client(self) -> Client:
        """The cluster's API server."""

    @property
    def clock(self) -> Clock:
        """The process's clock."""

    def informer(self, resource: Resource[T]) -> Informer[T]:
        """The one informer of this kind, over all namespaces; it runs by itself."""


def reference(item: Object, resource: Resource[T]) -> ObjectReference:
    """What Events point at; items of lists do not say themselves of which kind they are."""
    meta = item.metadata
    return ObjectReference(
        api_version=resource.api_version,
        kind=resource.kind,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )
