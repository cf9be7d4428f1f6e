"""Keeps the pods of each StatefulSet, one after the other."""

import math
from collections.abc import Iterator

import msgspec

from isthmus.api.core import PODS
from isthmus.api.meta import ObjectMeta
from isthmus.api.scheme import Manifest
from isthmus.errors import NotFound
from isthmus.kube.client import WriteOptions
from isthmus.kube.request import DeleteOptions
from isthmus.local.controllers.ownership import settle
from isthmus.local.controllers.surroundings import MANAGER, Surroundings
from isthmus.local.rules.kinds import STATEFUL_SETS, Pod, StatefulSet, pods_of
from isthmus.local.rules.ownership import claim, owner_reference
from isthmus.local.rules.pods import next_availability
from isthmus.local.rules.statefulset import Step, new_pod, stateful_set_status, step
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.reconcile import After, Done, Request
from isthmus.runtime.source import Source, each


class StatefulSets:
    """Reconciles StatefulSets of one cluster."""

    def __init__(self, around: Surroundings) -> None:
        self._client = around.client
        self._clock = around.clock
        self._sets = around.informer(STATEFUL_SETS)
        self._pods = around.informer(PODS)
        self._converger = Converger(around.client, manager=MANAGER, force=True, clock=around.clock)
        self._converger.follow(STATEFUL_SETS, self._sets)

    def controller(self) -> Controller:
        """The loop that calls `reconcile` for what changes."""
        controller = Controller("statefulset", self.reconcile, clock=self._clock)
        controller.watch(Source(self._sets, each(_own_key)))
        controller.watch(Source(self._pods, each(_keys_of_pod)))
        return controller

    async def reconcile(self, request: Request) -> Done | After:
        """One step. Names are fixed and deletions guarded by uid, so a step taken twice is taken once."""
        stateful_set = self._sets.store.get(request.name, request.namespace)
        if stateful_set is None:
            return Done()
        pods = pods_of(self._pods.store.all(request.namespace))
        claimed = claim(stateful_set, stateful_set.spec.selector, pods)
        owner = owner_reference(stateful_set, kind="StatefulSet")
        if await settle(self._client, PODS, claimed, owner, lambda _: None):
            return Done()
        now = self._clock.now()
        meta = ObjectMeta(name=request.name, namespace=request.namespace)
        status = stateful_set_status(stateful_set, claimed.owned, now=now)
        wanted = msgspec.structs.replace(stateful_set, metadata=meta, status=status)
        await self._converger.converge_status(STATEFUL_SETS, wanted, stateful_set)
        await self._take(stateful_set, step(stateful_set, claimed.owned, now=now))
        wait = next_availability(claimed.owned, stateful_set.spec.min_ready_seconds, now=now)
        return After(math.ceil(wait.total_seconds())) if wait else Done()

    async def _take(self, stateful_set: StatefulSet, wanted: Step) -> None:
        for number in wanted.create:
            await self._client.create(PODS, new_pod(stateful_set, number), options=WriteOptions(manager=MANAGER))
        for pod in wanted.delete:
            await self._delete(pod)

    async def _delete(self, pod: Pod) -> None:
        meta = pod.metadata
        try:
            await self._client.delete(PODS, meta.name, namespace=meta.namespace, options=DeleteOptions(uid=meta.uid))
        except NotFound:
            return


def _own_key(stateful_set: StatefulSet) -> Iterator[Request]:
    yield Request("", stateful_set.metadata.namespace, stateful_set.metadata.name)


def _keys_of_pod(manifest: Manifest) -> Iterator[Request]:
    meta = msgspec.convert(manifest["metadata"], ObjectMeta, strict=False)
    for owner in meta.owner_references:
        if owner.controller and owner.kind == "StatefulSet":
            yield Request("", meta.namespace, owner.name)
