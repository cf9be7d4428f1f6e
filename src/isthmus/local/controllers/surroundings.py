"""What a cluster's residents share: one client, one informer per kind, one clock."""

from typing import Protocol, TypeVar

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
