"""Clusters that come and go while control loops run."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from isthmus.kube.client import Client
from isthmus.runtime.source import Following

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cluster:
    """One cluster as control loops see it: its name, a client, and the informers they share."""

    name: str
    client: Client
    informers: tuple[Following, ...] = ()


@dataclass(frozen=True)
class Engagement:
    """What to call when a cluster is there, and when it is no longer."""

    engaged: Callable[[Cluster], None]
    disengaged: Callable[[str], None]


class Fleet:
    """The clusters that control loops serve at the moment; each one's informers run below `run`."""

    def __init__(self) -> None:
        self._clusters: dict[str, Cluster] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._followers: list[Engagement] = []

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """The engaged clusters by name."""
        return self._clusters

    def follow(self, engagement: Engagement) -> None:
        """Tell `engagement` of each cluster, those already here included."""
        self._followers.append(engagement)
        for cluster in self._clusters.values():
            engagement.engaged(cluster)

    def engage(self, cluster: Cluster) -> None:
        """Take a cluster in; one of the same name is let go first."""
        self.disengage(cluster.name)
        self._clusters[cluster.name] = cluster
        for follower in self._followers:
            follower.engaged(cluster)
        if self._tasks is not None:
            self._start(cluster, self._tasks)

    def disengage(self, name: str) -> None:
        """Let a cluster go: its informers stop, its requests are dropped. Unknown names are nothing to do."""
        if self._clusters.pop(name, None) is None:
            return
        if (task := self._running.pop(name, None)) is not None:
            task.cancel()
        for follower in self._followers:
            follower.disengaged(name)

    async def run(self) -> None:
        """Run the informers of all clusters, present and to come, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for cluster in self._clusters.values():
                self._start(cluster, tasks)
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None
                self._running.clear()

    def _start(self, cluster: Cluster, tasks: asyncio.TaskGroup) -> None:
        self._running[cluster.name] = tasks.create_task(_inform(cluster), name=f"cluster {cluster.name}")
        log.info("cluster engaged", extra={"cluster": cluster.name})


async def _inform(cluster: Cluster) -> None:
    async with asyncio.TaskGroup() as tasks:
        for informer in cluster.informers:
            tasks.create_task(informer.run(), name=f"informer {cluster.name}")
