"""Events are forgotten an hour after they were last written, as on the real server."""

from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.housekeeping import Housekeeper
from isthmus.apiserver.storage import DELETED, Change, Key

LIFETIME = 3600.0
EVERY = 60.0


class Expiry:
    """Knows when each Event was written last; after a restart all count as just written."""

    def __init__(self, cluster: Cluster, housekeeper: Housekeeper) -> None:
        self._cluster = cluster
        self._housekeeper = housekeeper
        self._written: dict[Key, float] = {}

    def seen(self, change: Change) -> None:
        """Keep in step with the Events."""
        # Taken out and put in again, so that the oldest come first.
        self._written.pop(change.record.key, None)
        if change.type != DELETED:
            self._written[change.record.key] = self._cluster.clock.monotonic()

    async def run(self) -> None:
        """Have what is old forgotten, every minute, until cancelled."""
        while True:
            await self._cluster.clock.sleep(EVERY)
            self._housekeeper.soon(self.forget)

    def forget(self) -> None:
        """Delete what has been there for too long."""
        events, oldest = self._cluster.storage.collection("events"), self._cluster.clock.monotonic() - LIFETIME
        for key in [key for key, written in self._written.items() if written < oldest]:
            self._cluster.storage.remove(events, key)
