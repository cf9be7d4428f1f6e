"""One task group for everything that a process runs over its clusters."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

from isthmus.kube.informer import Informer
from isthmus.runtime.controller import Controller
from isthmus.runtime.fleet import Cluster, Engagement, Fleet
from isthmus.runtime.recent import meta
from isthmus.runtime.reconcile import Request
from isthmus.runtime.source import Source, each

Watch: TypeAlias = Callable[[Controller, Cluster], None]


class Manager:
    """Runs a fleet's informers, its controllers, and whatever else lives as long as they do."""

    def __init__(self, fleet: Fleet | None = None) -> None:
        self.fleet = fleet or Fleet()
        self._controllers: list[Controller] = []
        self._others: list[tuple[str, Callable[[], Awaitable[None]]]] = []

    def add(self, controller: Controller, watch: Watch | None = None) -> None:
        """Run a controller; `watch` has it watch what matters to it in each cluster of the fleet."""
        self._controllers.append(controller)

        def engaged(cluster: Cluster) -> None:
            if watch is not None:
                watch(controller, cluster)

        def disengaged(name: str) -> None:
            controller.drop(lambda request: request.cluster == name)

        self.fleet.follow(Engagement(engaged, disengaged))

    def also(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        """Run something else beside the controllers, until everything ends."""
        self._others.append((name, job))

    @property
    def idle(self) -> bool:
        """Whether no controller has anything to do at once."""
        return all(controller.idle for controller in self._controllers)

    async def run(self) -> None:
        """Until cancelled, or until a part fails in a way it does not handle itself."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.fleet.run(), name="fleet")
            for controller in self._controllers:
                tasks.create_task(controller.run(), name=f"controller {controller.name}")
            for name, job in self._others:
                tasks.create_task(_wait(job), name=name)


def every_object(controller: Controller, cluster: Cluster) -> None:
    """A `watch` for `Manager.add`: each object of the cluster's informers is looked at under its own name.

    A cluster that does not answer keeps no other waiting.
    """
    for informer in cluster.informers:
        if isinstance(informer, Informer):
            controller.watch(Source(informer, each(_named_in(cluster.name)), required=False))


def _named_in(cluster: str) -> Callable[[object], Iterator[Request]]:
    def named(item: object) -> Iterator[Request]:
        yield Request(cluster, meta(item, "namespace"), meta(item, "name"))

    return named


async def _wait(job: Callable[[], Awaitable[None]]) -> None:
    await job()
