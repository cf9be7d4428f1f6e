"""Keeps as many pods of each ReplicaSet as it wants."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from isthmus.api.apps import REPLICA_SETS, Pod, ReplicaSet, metadata_of, pods_of
from isthmus.api.core import PODS
from isthmus.api.meta import ObjectMeta
from isthmus.api.scheme import Manifest
from isthmus.errors import IsthmusError, NotFound
from isthmus.kube.client import WriteOptions
from isthmus.kube.events import Recorder
from isthmus.kube.request import DeleteOptions
from isthmus.local.controllers.ownership import settle
from isthmus.local.controllers.pending import PendingPods
from isthmus.local.controllers.surroundings import MANAGER, Surroundings, reference
from isthmus.local.rules.ownership import claim, owner_reference, selects
from isthmus.local.rules.pods import from_template, next_availability
from isthmus.local.rules.replicaset import replica_set_status, scaling
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.reconcile import After, Done, Request
from isthmus.runtime.source import Source, each

# Writes that run at once: a burst must not open hundreds of connections.
_AT_ONCE = 16
_POD_NAME_LIMIT = 58


class ReplicaSets:
    """Reconciles ReplicaSets of one cluster."""

    def __init__(self, around: Surroundings) -> None:
        self._client = around.client
        self._clock = around.clock
        self._sets = around.informer(REPLICA_SETS)
        self._pod_informer = around.informer(PODS)
        self._pods = PendingPods(self._pod_informer.store, around.clock)
        self._recorder = Recorder(around.client, "replicaset-controller", around.clock)
        self._converger = Converger(around.client, manager=MANAGER, force=True, clock=around.clock)
        self._converger.follow(REPLICA_SETS, self._sets)

    def controller(self) -> Controller:
        """The loop that calls `reconcile` for what changes."""
        controller = Controller("replicaset", self.reconcile, clock=self._clock)
        controller.watch(Source(self._sets, each(_own_key)))
        controller.watch(Source(self._pod_informer, each(self._keys_of_pod)))
        return controller

    async def reconcile(self, request: Request) -> Done | After:
        """Adopt and release, make and delete pods, then say how many there are."""
        replica_set = self._sets.store.get(request.name, request.namespace)
        if replica_set is None:
            return Done()
        owner = owner_reference(replica_set, kind="ReplicaSet")
        claimed = claim(replica_set, replica_set.spec.selector, pods_of(self._pods.all(request.namespace)))
        if await settle(self._client, PODS, claimed, owner, self._pods.made):
            claimed = claim(replica_set, replica_set.spec.selector, pods_of(self._pods.all(request.namespace)))
        changes = await self._scale(replica_set, claimed.owned)
        pods = pods_of(self._pods.all(request.namespace))
        owned = claim(replica_set, replica_set.spec.selector, pods).owned
        await self._tell(replica_set, owned, changes)
        if changes.problem is not None:
            raise changes.problem
        wait = next_availability(owned, replica_set.spec.min_ready_seconds, now=self._clock.now())
        return After(math.ceil(wait.total_seconds())) if wait else Done()

    async def _scale(self, replica_set: ReplicaSet, pods: tuple[Pod, ...]) -> "_Changes":
        wanted = scaling(replica_set, pods)
        gate = asyncio.Semaphore(_AT_ONCE)
        meta = replica_set.metadata
        owner = owner_reference(replica_set, kind="ReplicaSet")
        template = from_template(replica_set.spec.template, owner, namespace=meta.namespace)
        template["metadata"]["generateName"] = meta.name[:_POD_NAME_LIMIT] + "-"
        changes = _Changes()
        jobs = [self._create(template, gate, changes) for _ in range(wanted.create)]
        jobs += [self._delete(pod, gate, changes) for pod in wanted.delete]
        await asyncio.gather(*jobs)
        return changes

    async def _create(self, pod: Manifest, gate: asyncio.Semaphore, changes: "_Changes") -> None:
        async with gate:
            try:
                made = await self._client.create(PODS, pod, options=WriteOptions(manager=MANAGER))
            except IsthmusError as problem:
                changes.failed("FailedCreate", f"Error creating: {problem}", problem)
                return
        self._pods.made(made)
        changes.done("SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    async def _delete(self, pod: Pod, gate: asyncio.Semaphore, changes: "_Changes") -> None:
        meta = pod.metadata
        async with gate:
            try:
                options = DeleteOptions(uid=meta.uid)
                await self._client.delete(PODS, meta.name, namespace=meta.namespace, options=options)
            except NotFound:
                pass
            except IsthmusError as problem:
                changes.failed("FailedDelete", f"Error deleting: {problem}", problem)
                return
        self._pods.deleted(meta.uid)
        changes.done("SuccessfulDelete", f"Deleted pod: {meta.name}")

    async def _tell(self, replica_set: ReplicaSet, pods: tuple[Pod, ...], changes: "_Changes") -> None:
        meta = ObjectMeta(name=replica_set.metadata.name, namespace=replica_set.metadata.namespace)
        failure = str(changes.problem or "")
        status = replica_set_status(replica_set, pods, now=self._clock.now(), failure=failure)
        wanted = ReplicaSet(metadata=meta, spec=replica_set.spec, status=status)
        await self._converger.converge_status(REPLICA_SETS, wanted, replica_set)
        about = reference(replica_set, REPLICA_SETS)
        for kind, reason, message in changes.news:
            await self._recorder.emit(about, type=kind, reason=reason, message=message)

    def _keys_of_pod(self, manifest: Manifest) -> Iterator[Request]:
        """Its controller; for an orphan, every ReplicaSet that would take it."""
        meta = metadata_of(manifest)
        controllers = [owner for owner in meta.owner_references if owner.controller]
        for owner in controllers:
            if owner.kind == "ReplicaSet":
                yield Request("", meta.namespace, owner.name)
        if not controllers:
            for replica_set in self._sets.store.all(meta.namespace):
                if selects(replica_set.spec.selector, meta.labels):
                    yield Request("", meta.namespace, replica_set.metadata.name)


def _own_key(replica_set: ReplicaSet) -> Iterator[Request]:
    yield Request("", replica_set.metadata.namespace, replica_set.metadata.name)


@dataclass
class _Changes:
    """What came of the writes of one run."""

    news: list[tuple[str, str, str]] = field(default_factory=list)
    problem: IsthmusError | None = None

    def done(self, reason: str, message: str) -> None:
        self.news.append(("Normal", reason, message))

    def failed(self, reason: str, message: str, problem: IsthmusError) -> None:
        # One refusal stands for all: a template that is refused is refused every time.
        if self.problem is None:
            self.news.append(("Warning", reason, message))
        self.problem = self.problem or problem
