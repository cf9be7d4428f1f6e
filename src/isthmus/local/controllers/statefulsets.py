"""Keeps the pods of each StatefulSet, one after the other."""

import math
from collections.abc import Iterator

import msgspec

from isthmus.api.apps import (
    CONTROLLER_REVISIONS,
    STATEFUL_SETS,
    ControllerRevision,
    Pod,
    StatefulSet,
    metadata_of,
    pods_of,
)
from isthmus.api.core import PODS
from isthmus.api.meta import ObjectMeta
from isthmus.api.scheme import Manifest
from isthmus.errors import NotFound
from isthmus.kube.client import WriteOptions
from isthmus.kube.request import DeleteOptions
from isthmus.local.controllers.ownership import settle
from isthmus.local.controllers.surroundings import MANAGER, Surroundings
from isthmus.local.rules.ownership import claim, is_controlled_by, owner_reference
from isthmus.local.rules.pods import next_availability
from isthmus.local.rules.statefulset import Step, new_pod, stateful_set_status, step
from isthmus.local.rules.statefulset_history import outdated_revisions, wanted_revision
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
        self._revisions = around.informer(CONTROLLER_REVISIONS)
        self._converger.follow(STATEFUL_SETS, self._sets)
        self._converger.follow(CONTROLLER_REVISIONS, self._revisions)

    def controller(self) -> Controller:
        """The loop that calls `reconcile` for what changes."""
        controller = Controller("statefulset", self.reconcile, clock=self._clock)
        controller.watch(Source(self._sets, each(_own_key)))
        controller.watch(Source(self._pods, each(_keys_of_pod)))
        controller.watch(Source(self._revisions, lambda _: ()))
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
        if stateful_set.metadata.deletion_timestamp is None:
            await self._remember(stateful_set)
        now = self._clock.now()
        meta = ObjectMeta(name=request.name, namespace=request.namespace)
        status = stateful_set_status(stateful_set, claimed.owned, now=now)
        wanted = msgspec.structs.replace(stateful_set, metadata=meta, status=status)
        await self._converger.converge_status(STATEFUL_SETS, wanted, stateful_set)
        await self._take(stateful_set, step(stateful_set, claimed.owned, now=now))
        wait = next_availability(claimed.owned, stateful_set.spec.min_ready_seconds, now=now)
        return After(math.ceil(wait.total_seconds())) if wait else Done()

    async def _remember(self, stateful_set: StatefulSet) -> None:
        """Keep the template as it is now, and those before it up to the limit."""
        seen = self._history(stateful_set)
        gone = {each_one.metadata.name for each_one in outdated_revisions(stateful_set, seen)}
        wanted = wanted_revision(stateful_set, seen)
        concerned = gone | {wanted["metadata"]["name"]}
        known = [each_one for each_one in seen if each_one.metadata.name in concerned]
        await self._converger.converge(CONTROLLER_REVISIONS, [wanted], known)

    def _history(self, stateful_set: StatefulSet) -> list[ControllerRevision]:
        every = self._revisions.store.all(stateful_set.metadata.namespace)
        return [each_one for each_one in every if is_controlled_by(each_one, stateful_set)]

    async def _take(self, stateful_set: StatefulSet, wanted: Step) -> None:
        for number in wanted.create:
            made = new_pod(stateful_set, number, self._history(stateful_set))
            await self._client.create(PODS, made, options=WriteOptions(manager=MANAGER))
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
    meta = metadata_of(manifest)
    for owner in meta.owner_references:
        if owner.controller and owner.kind == "StatefulSet":
            yield Request("", meta.namespace, owner.name)
