"""A fleet that follows an inventory: clusters engage when their profiles say that they are healthy, and go with that.

KEP-4322, "Overview": consumers take only what the profile says; who manages the clusters does not matter.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

from isthmus.api.inventory import CLUSTER_PROFILES, AccessProvider, ClusterProfile, ClusterProfileStatus
from isthmus.errors import IsthmusError
from isthmus.inventory.access import is_ready
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer
from isthmus.runtime.fleet import Cluster, Fleet
from isthmus.runtime.source import Following

log = logging.getLogger(__name__)

Connect: TypeAlias = Callable[[ClusterProfile], Client]
Informers: TypeAlias = Callable[[Client], tuple[Following, ...]]
_Ways: TypeAlias = tuple[AccessProvider, ...]


class Inventory:
    """The ClusterProfiles of one namespace on a hub, or of all, and the clients and informers of the healthy ones.

    A cluster is called like its profile; `namespace/name` where all namespaces are followed. `connect` makes a client
    (`access.client_for`), `informers` what is to be followed with it. While the hub does not answer, nobody goes.
    """

    def __init__(
        self, hub: Client, connect: Connect, informers: Informers, *, namespace: str = "", clock: Clock = SYSTEM
    ) -> None:
        self.profiles = Informer(hub, CLUSTER_PROFILES, namespace=namespace, clock=clock)
        self.profiles.relist_when_unknown = True
        self._connect = connect
        self._informers = informers
        self._in_one_namespace = bool(namespace)
        self._engaged: dict[str, tuple[Client, _Ways]] = {}
        self._refused: dict[str, _Ways] = {}

    async def feed(self, fleet: Fleet) -> None:
        """Engage clusters with `fleet`, and disengage them, until cancelled; then all of them go."""
        stirred = asyncio.Event()
        self.profiles.subscribe(lambda _: stirred.set())
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.profiles.run(), name="profiles")
                while True:
                    await stirred.wait()
                    stirred.clear()
                    await self._look(fleet)
        finally:
            for name in list(self._engaged):
                await self._let_go(fleet, name)

    async def _look(self, fleet: Fleet) -> None:
        healthy = {self._name(profile): profile for profile in self.profiles.store.all() if is_ready(profile)}
        for name, (_, ways) in list(self._engaged.items()):
            if name not in healthy or _ways(healthy[name]) != ways:
                await self._let_go(fleet, name)
        self._refused = {name: ways for name, ways in self._refused.items() if name in healthy}
        for name, profile in sorted(healthy.items()):
            if name not in self._engaged and self._refused.get(name) != _ways(profile):
                self._take_in(fleet, name, profile)

    def _take_in(self, fleet: Fleet, name: str, profile: ClusterProfile) -> None:
        try:
            client = self._connect(profile)
        except IsthmusError as error:
            # It is tried again when the profile says something else about how to reach it.
            log.warning("cluster not engaged", extra={"cluster": name, "problem": str(error)})
            self._refused[name] = _ways(profile)
            return
        self._refused.pop(name, None)
        self._engaged[name] = (client, _ways(profile))
        fleet.engage(Cluster(name, client, self._informers(client)))

    async def _let_go(self, fleet: Fleet, name: str) -> None:
        client, _ = self._engaged.pop(name)
        fleet.disengage(name)
        await client.close()
        log.info("cluster disengaged", extra={"cluster": name})

    def _name(self, profile: ClusterProfile) -> str:
        name = profile.metadata.name
        return name if self._in_one_namespace else f"{profile.metadata.namespace}/{name}"


def _ways(profile: ClusterProfile) -> _Ways:
    """All that decides how the cluster is reached."""
    status = profile.status or ClusterProfileStatus()
    return (*status.access_providers, *status.credential_providers)
