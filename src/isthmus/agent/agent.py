"""All that one agent runs, put together: two views, four control loops, one heartbeat."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from isthmus.about.controllers.identity import Identity, Registration
from isthmus.agent.needs import served_properties
from isthmus.agent.outlook import Outlook
from isthmus.agent.report import Facts, Report
from isthmus.api.about import CLUSTER_PROPERTIES, ClusterProperty
from isthmus.api.core import NAMESPACES
from isthmus.api.isthmus import AGENT_MANAGER, HAS_LEFT, IMPORTS_ANNOTATION, MEMBERS_NAMESPACE, Member
from isthmus.errors import IsthmusError
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer
from isthmus.kube.lease import FAREWELL, Heartbeat, sign_off
from isthmus.mcs.controllers.kinds import KNOWN, Kinds, served_kinds
from isthmus.mcs.controllers.leaving import withdraw
from isthmus.mcs.controllers.place import Place
from isthmus.mcs.controllers.services import Services
from isthmus.mcs.controllers.views import HubView, MemberView, Views, Writers
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.fleet import Cluster
from isthmus.runtime.manager import Manager

log = logging.getLogger(__name__)

# Seconds for which changes of the Member's status are gathered into one write.
REPORT_EVERY = 0.3
# Seconds in which the hub has our first report, unless something is amiss: then the heartbeat waits no longer.
FIRST_WORD = 10.0


@dataclass(frozen=True)
class Duty:
    """Which cluster an agent works for, in which set, and how often it says that it is there, in seconds."""

    cluster: str
    set: str
    identity: str
    heartbeat: float = 10.0


class Agent:
    """One agent while it leads; everything it knows is read anew from its two clusters."""

    def __init__(self, duty: Duty, *, member: Client, hub: Client, clock: Clock = SYSTEM) -> None:
        self._duty = duty
        self._clock = clock
        self._clients = (member, hub)
        self._manager = Manager()
        self._left = asyncio.Event()
        self._look_with(KNOWN)

    def _look_with(self, kinds: Kinds) -> None:
        member, hub = self._clients
        duty, clock = self._duty, self._clock
        self.views = Views(
            MemberView(duty.cluster, member, kinds=kinds, clock=clock),
            HubView(duty.cluster, hub, namespace=duty.set, clock=clock),
        )
        self.writers = Writers(
            Converger(member, manager=AGENT_MANAGER, force=True, clock=clock),
            Converger(hub, manager=AGENT_MANAGER, force=True, clock=clock),
        )
        self.writers.follow(self.views)
        self._place = Place(self.views.member)

    async def run(self) -> None:
        """Work until cancelled, or until the cluster has left its set and everything is taken back."""
        # Two ways to end, one of them by ourselves: whoever cancels us, at whatever moment, is heard.
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(self._work(), name="work")
            await self._left.wait()
            working.cancel()

    async def _work(self) -> None:
        registration = await self._register()
        properties = Informer(self._clients[0], registration.kind, clock=self._clock)
        properties.relist_when_unknown = True
        member = self.views.member.as_cluster()
        self._manager.fleet.engage(Cluster(member.name, member.client, (*member.informers, properties)))
        self._begin(registration, properties)
        self._manager.also("namespaces", self._follow_namespaces)
        await self._manager.run()

    async def _register(self) -> Registration:
        """Who we are, with what only the member's API server knows; without it there is nothing to do yet."""
        backoff = Backoff(base=0.2, cap=5.0)
        member, _ = self._clients
        while True:
            try:
                self._look_with(await served_kinds(member))
                await self._place.learn()
                uid = (await member.get(NAMESPACES, "kube-system")).metadata.uid
                kind = await served_properties(member) or CLUSTER_PROPERTIES
            except IsthmusError as error:
                log.warning("cluster not ready, will be tried again", extra={"error": str(error)})
                await self._clock.sleep(backoff.next())
            else:
                return Registration(self._duty.cluster, self._duty.set, self.views.hub.namespace, uid, kind)

    def _begin(self, registration: Registration, properties: Informer[ClusterProperty]) -> None:
        """The control loops of both rooms; all that is done in the cluster's name waits until its identity stands."""
        services = Services(self.views, self.writers, self._place, clock=self._clock)
        identity = Identity(
            registration,
            properties,
            self.views.hub.members,
            self.writers.member,
            has_left=lambda: services.absences.roster.has_left(self._duty.cluster),
        )
        loop = Controller("identity", identity.reconcile, workers=1, clock=self._clock)
        identity.watch(loop)
        self._manager.add(loop)
        self._manager.also("departures", services.follow)
        outlook = self._outlook()
        facts = Facts(registration.uid, properties, self._place, outlook)
        report = Report(self.views, facts, self.writers.hub, refused=services.refused, clock=self._clock)
        reporting = Controller("report", report.reconcile, workers=1, batch=REPORT_EVERY, clock=self._clock)
        report.watch(reporting, services.absences.when_forgot)
        services.when_refused(lambda: reporting.add(report.request()))

        async def serve() -> None:
            await identity.established.wait()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(services.run(), name="services")
                tasks.create_task(reporting.run(), name="report")
                tasks.create_task(self._look_out(outlook), name="outlook")
                tasks.create_task(self._beat(report, services.absences.hub_forgot), name="heartbeat")

        async def be_a_member() -> None:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(serve(), name="serve")
                await identity.left.wait()
                serving.cancel()
            await self._leave(identity)

        self._manager.also("membership", be_a_member)

    async def _leave(self, identity: Identity) -> None:
        """First all that the membership brought, then the membership itself: what is killed between begins again."""
        log.warning("no member any more, taking everything back", extra={"cluster": self._duty.cluster})
        for informer in self.views.member.as_cluster().informers:
            await informer.wait_synced()
        await withdraw(self.views, self.writers, clock=self._clock)
        backoff = Backoff()
        while True:
            try:
                await identity.withdraw()
            except IsthmusError as error:
                log.warning("still said to be in the set", extra={"error": str(error)})
                await self._clock.sleep(backoff.next())
            else:
                await self._say_left()
                self._left.set()
                return

    async def _say_left(self) -> None:
        """For the hub, which then takes our access; it does so after a while anyway."""
        hub, name = self._clients[1], self._duty.cluster
        try:
            async with asyncio.timeout(FAREWELL):
                await sign_off(hub, namespace=MEMBERS_NAMESPACE, name=name, holder=HAS_LEFT, clock=self._clock)
        except (IsthmusError, TimeoutError) as error:
            log.info("hub not told that everything is taken back", extra={"cluster": name, "error": str(error)})

    async def _follow_namespaces(self) -> None:
        """Choose what to watch on the hub by the namespaces that are here, then watch it."""
        namespaces, hub = self.views.member.namespaces, self.views.hub
        await namespaces.wait_synced()

        def select() -> None:
            hub.select(frozenset(item.metadata.name for item in namespaces.store.all()))

        namespaces.subscribe(lambda change: select() if None in (change.before, change.after) else None)
        select()
        self._manager.fleet.engage(hub.as_cluster())

    def _record(self) -> Member | None:
        return self.views.hub.members.store.get(self._duty.cluster, self._duty.set)

    def _outlook(self) -> Outlook:
        member, hub = self._clients
        return Outlook(member, hub, self._record, clock=self._clock, every=self._duty.heartbeat)

    async def _look_out(self, outlook: Outlook) -> None:
        # Its address stands in its record.
        await self.views.hub.members.wait_synced()
        await outlook.run()

    async def _beat(self, report: Report, hub_forgot: Callable[[], None]) -> None:
        """The first heartbeat after a silence makes the hub say again what it was told of the address long ago.

        So it hears first what is true of that now (INV-32), unless that takes too long.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WORD):
                await self.views.hub.members.wait_synced()
                record = self._record()
                if record is not None and record.status is not None and record.status.probe is not None:
                    await report.is_own.wait()
        await self._heartbeat(hub_forgot).run()

    def _heartbeat(self, hub_forgot: Callable[[], None]) -> Heartbeat:
        duty = self._duty
        heartbeat = Heartbeat(
            self._clients[1],
            namespace=MEMBERS_NAMESPACE,
            name=duty.cluster,
            identity=duty.identity,
            every=duty.heartbeat,
            clock=self._clock,
        )
        heartbeat.when_lost(hub_forgot)
        # What is only counted travels with the heartbeat: it costs no write, and wakes no other agent.
        heartbeat.tell(lambda: {IMPORTS_ANNOTATION: str(len(self.views.member.imports.store))})
        return heartbeat
