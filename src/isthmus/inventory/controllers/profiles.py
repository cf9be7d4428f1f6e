"""Keeps one ClusterProfile per Member, quietly: written when something really changed, and not too often (KEP-4322)."""

import logging

from isthmus.api.inventory import CLUSTER_PROFILES, ClusterProfile
from isthmus.api.isthmus import Member
from isthmus.api.meta import Object
from isthmus.inventory.rules.budget import Budget
from isthmus.inventory.rules.profile import is_urgent, manager_of, profile, troubles
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.events import Recorder
from isthmus.kube.informer import Change, Informer
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.difference import is_same
from isthmus.runtime.reconcile import After, Done, Request
from isthmus.runtime.source import Source, each

log = logging.getLogger(__name__)

# A field manager of its own: helpers may add to the status under other names (INV-28).
MANAGER = "isthmus-hub-profiles"
# Seconds for which changes of a Member are gathered into one write.
_BATCH = 0.2


class Profiles:
    """Writes the profiles of one set, by what its Members say."""

    def __init__(
        self,
        client: Client,
        cluster_set: str,
        members: Informer[Member],
        published: Informer[ClusterProfile],
        *,
        clock: Clock,
    ) -> None:
        self._set = cluster_set
        self._manager = manager_of(cluster_set)
        self._members = members
        self._published = published
        self._writer = Converger(client, manager=MANAGER, force=True, clock=clock)
        self._recorder = Recorder(client, "isthmus-hub", clock)
        self._clock = clock
        self._budgets: dict[str, Budget] = {}
        self._told: dict[str, tuple[tuple[str, str], ...]] = {}
        self._left: set[str] = set()
        self._writer.follow(CLUSTER_PROFILES, published)

    def watch(self, controller: Controller) -> None:
        """Members, and what became of their profiles."""
        self._members.subscribe(self._departed)
        controller.watch(Source(self._members, each(lambda item: [self._request(item)])))
        controller.watch(Source(self._published, each(lambda item: [self._request(item)])))

    async def reconcile(self, request: Request) -> Done | After:
        """Make one profile say what is so, or take it away with its Member."""
        name = request.name
        member = self._members.store.get(name, self._set)
        stored = self._published.store.get(name, self._set)
        seen = self._writer.current(CLUSTER_PROFILES, stored, name=name, namespace=self._set)
        if member is None:
            return await self._leave(name, seen)
        if seen is not None and seen.spec.cluster_manager.name != self._manager:
            manager = seen.spec.cluster_manager.name
            await self._tell(name, member, (("ProfileOfAnother", f"cluster manager {manager} has a profile {name}"),))
            return Done()
        wanted = profile(member, seen, now=self._clock.now())
        writes = self._writes(wanted, seen)
        now = self._clock.monotonic()
        budget = self._budgets.get(name, Budget(at=now))
        if writes and (wait := budget.wait(now, writes, urgent=is_urgent(wanted, seen))):
            return After(wait)
        outcome = await self._writer.converge(CLUSTER_PROFILES, [wanted], [seen] if seen is not None else [])
        current = outcome.objects[self._set, name]
        written = outcome.applied + await self._writer.converge_status(CLUSTER_PROFILES, wanted, current)
        if written:
            self._budgets[name] = budget.spent(now, written)
            log.info("profile written", extra={"cluster": name, "set": self._set})
        await self._tell(name, current, troubles(member))
        return Done()

    def _writes(self, wanted: ClusterProfile, seen: ClusterProfile | None) -> int:
        if seen is None:
            return 2
        parts = ("", "status")
        return sum(not is_same(CLUSTER_PROFILES, wanted, seen, subresource=part) for part in parts)

    async def _leave(self, name: str, seen: ClusterProfile | None) -> Done:
        """A Member whose deletion was seen takes its profile along; of any other absence the garbage collector judges.

        It looks for the Member itself, by the UID that the profile names as its owner's.
        """
        self._budgets.pop(name, None)
        self._told.pop(name, None)
        if name in self._left and seen is not None and seen.spec.cluster_manager.name == self._manager:
            await self._writer.converge(CLUSTER_PROFILES, [], [seen])
            log.info("profile deleted, its cluster has left", extra={"cluster": name, "set": self._set})
        self._left.discard(name)
        return Done()

    async def _tell(self, name: str, about: Object, told: tuple[tuple[str, str], ...]) -> None:
        for reason, message in told:
            if (reason, message) not in self._told.get(name, ()):
                await self._recorder.emit(about, type="Warning", reason=reason, message=message)
                log.warning("profile is not all it could be", extra={"cluster": name, "problem": message})
        self._told[name] = told

    def _departed(self, change: Change[Member]) -> None:
        if change.before is not None and change.after is None and change.seen:
            self._left.add(change.before.metadata.name)
        elif change.after is not None:
            self._left.discard(change.after.metadata.name)

    def _request(self, item: Object) -> Request:
        return Request("hub", item.metadata.namespace, item.metadata.name)


def profiles(
    client: Client, cluster_set: str, members: Informer[Member], *, clock: Clock = SYSTEM
) -> tuple[Controller, Informer[ClusterProfile]]:
    """The control loop that publishes a set's profiles, and the informer that is to run beside `members`."""
    published = Informer(client, CLUSTER_PROFILES, namespace=cluster_set, clock=clock)
    publishing = Profiles(client, cluster_set, members, published, clock=clock)
    controller = Controller("profiles", publishing.reconcile, batch=_BATCH, clock=clock)
    publishing.watch(controller)
    return controller, published
