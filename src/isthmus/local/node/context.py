"""What everything that lives in a node's process shares: client, clock, one informer per kind, Events."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar, cast

from isthmus.api.scheme import Resource
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer
from isthmus.local.node.config import NodeConfig

T = TypeVar("T")


class Context:
    """Handed to every resident of the process."""

    def __init__(self, config: NodeConfig, client: Client, tasks: asyncio.TaskGroup, *, clock: Clock = SYSTEM) -> None:
        self.config = config
        self.client = client
        self.clock = clock
        self._tasks = tasks
        self._informers: dict[tuple[str, str, type], object] = {}

    def informer(
        self, resource: Resource[T], *, indexes: Mapping[str, Callable[[T], Iterable[str]]] = {}
    ) -> Informer[T]:
        """The one informer of a kind as one type, over all namespaces; it runs by itself from the first call on.

        `indexes` count for the first caller only.
        """
        key = (resource.api_version, resource.plural, resource.type)
        if key not in self._informers:
            made = Informer(self.client, resource, indexes=indexes, clock=self.clock)
            self._informers[key] = made
            self._tasks.create_task(made.run(), name=f"informer of {resource.plural}")
        return cast("Informer[T]", self._informers[key])
