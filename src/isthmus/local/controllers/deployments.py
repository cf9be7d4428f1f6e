"""Takes Deployments from one template to the next, one ReplicaSet per template."""

import logging
import math
from collections.abc import Iterator

import msgspec

from isthmus.api.apps import DEPLOYMENTS, REPLICA_SETS, Deployment, ReplicaSet
from isthmus.api.meta import ObjectMeta
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict, NotFound
from isthmus.kube.client import WriteOptions
from isthmus.kube.events import Recorder
from isthmus.kube.request import DeleteOptions
from isthmus.local.controllers.ownership import settle
from isthmus.local.controllers.surroundings import MANAGER, Surroundings, reference
from isthmus.local.rules.ownership import claim, is_controlled_by, owner_reference, selects
from isthmus.local.rules.progress import deadline, deployment_status
from isthmus.local.rules.replicaset import wanted_replicas
from isthmus.local.rules.revisions import (
    History,
    annotations,
    history,
    new_replica_set,
    next_revision,
    size_marks,
    too_old,
)
from isthmus.local.rules.rollout import REVISION, sizes
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.reconcile import After, Done, Request
from isthmus.runtime.source import Source, each

log = logging.getLogger(__name__)

_OPTIONS = WriteOptions(manager=MANAGER)


class Deployments:
    """Reconciles Deployments of one cluster."""

    def __init__(self, around: Surroundings) -> None:
        self._client = around.client
        self._clock = around.clock
        self._deployments = around.informer(DEPLOYMENTS)
        self._sets = around.informer(REPLICA_SETS)
        self._recorder = Recorder(around.client, "deployment-controller", around.clock)
        self._converger = Converger(around.client, manager=MANAGER, force=True, clock=around.clock)
        self._converger.follow(DEPLOYMENTS, self._deployments)

    def controller(self) -> Controller:
        """The loop that calls `reconcile` for what changes."""
        controller = Controller("deployment", self.reconcile, clock=self._clock)
        controller.watch(Source(self._deployments, each(_own_key)))
        controller.watch(Source(self._sets, each(self._keys_of_set)))
        return controller

    async def reconcile(self, request: Request) -> Done | After:
        """One step of the rollout; the ReplicaSets' own changes bring us back for the next."""
        deployment = self._deployments.store.get(request.name, request.namespace)
        if deployment is None:
            return Done()
        claimed = claim(deployment, deployment.spec.selector, self._sets.store.all(request.namespace))
        owner = owner_reference(deployment, kind="Deployment")
        if await settle(self._client, REPLICA_SETS, claimed, owner, lambda _: None):
            return Done()
        known = history(deployment, claimed.owned)
        if deployment.metadata.deletion_timestamp is None:
            known = await self._with_current(deployment, known)
            resized = await self._resize(deployment, known)
            await self._prune(deployment, known)
            outcome = await self._tell(deployment, known)
            await self._announce(deployment, resized)
            return outcome
        return await self._tell(deployment, known)

    async def _with_current(self, deployment: Deployment, known: History) -> History:
        """The history, with the ReplicaSet of this template made and annotated."""
        if known.current is None and deployment.spec.paused:
            return known
        current = known.current or await self._create(deployment, known)
        if current is None:
            return known
        number = next_revision(known)
        current = await self._annotated(current, annotations(deployment, number))
        if deployment.metadata.annotations.get(REVISION) != str(number):
            meta = deployment.metadata
            patch: Manifest = {"metadata": {"annotations": {REVISION: str(number)}}}
            await self._client.merge_patch(DEPLOYMENTS, meta.name, patch, namespace=meta.namespace, options=_OPTIONS)
        return History(current, known.old)

    async def _create(self, deployment: Deployment, known: History) -> ReplicaSet | None:
        manifest = new_replica_set(deployment, known)
        name, namespace = manifest["metadata"]["name"], deployment.metadata.namespace
        try:
            made = await self._client.create(REPLICA_SETS, manifest, options=_OPTIONS)
        except Conflict:
            there = await self._client.get(REPLICA_SETS, name, namespace=namespace)
        else:
            await self._announce(deployment, [f"Scaled up replica set {name} from 0 to {wanted_replicas(made)}"])
            return made
        if is_controlled_by(there, deployment):
            return there
        # Somebody else has the name: count that, so that the next hash is another.
        log.warning("name of a ReplicaSet is taken", extra={"object": f"{namespace}/{name}"})
        status = msgspec.structs.replace(
            deployment.status, collision_count=(deployment.status.collision_count or 0) + 1
        )
        await self._write_status(deployment, status)
        return None

    async def _annotated(self, current: ReplicaSet, wanted: dict[str, str]) -> ReplicaSet:
        if wanted.items() <= current.metadata.annotations.items():
            return current
        return await self._patch(current, {"metadata": {"annotations": wanted}})

    async def _resize(self, deployment: Deployment, known: History) -> list[str]:
        """Give each ReplicaSet its next size; what to say of it."""
        marks = size_marks(deployment)
        wanted = sizes(deployment, known.current, known.old)
        said = []
        for each_set in (*known.old, *([known.current] if known.current else [])):
            meta, before, size = each_set.metadata, wanted_replicas(each_set), wanted[each_set.metadata.name]
            stale = bool(size) and not marks.items() <= meta.annotations.items()
            if size == before and not stale:
                continue
            # Guarded: sizes that were decided on an older state must not be written.
            guarded = {"annotations": marks, "resourceVersion": meta.resource_version}
            await self._patch(each_set, {"metadata": guarded, "spec": {"replicas": size}})
            if size != before:
                way = "up" if size > before else "down"
                said.append(f"Scaled {way} replica set {meta.name} from {before} to {size}")
        return said

    async def _announce(self, deployment: Deployment, said: list[str]) -> None:
        about = reference(deployment, DEPLOYMENTS)
        for message in said:
            await self._recorder.emit(about, type="Normal", reason="ScalingReplicaSet", message=message)

    async def _patch(self, target: ReplicaSet, patch: Manifest) -> ReplicaSet:
        meta = target.metadata
        return await self._client.merge_patch(
            REPLICA_SETS, meta.name, patch, namespace=meta.namespace, options=_OPTIONS
        )

    async def _prune(self, deployment: Deployment, known: History) -> None:
        for each_set in too_old(deployment, known):
            meta = each_set.metadata
            options = DeleteOptions(uid=meta.uid, resource_version=meta.resource_version)
            try:
                await self._client.delete(REPLICA_SETS, meta.name, namespace=meta.namespace, options=options)
            except NotFound:
                continue

    async def _tell(self, deployment: Deployment, known: History) -> Done | After:
        now = self._clock.now()
        status = deployment_status(deployment, known, now=now)
        await self._write_status(deployment, status)
        wait = deadline(deployment, status, now=now)
        return Done() if wait is None else After(max(1, math.ceil(wait.total_seconds())))

    async def _write_status(self, deployment: Deployment, status: object) -> None:
        meta = ObjectMeta(name=deployment.metadata.name, namespace=deployment.metadata.namespace)
        wanted = msgspec.structs.replace(deployment, metadata=meta, status=status)
        await self._converger.converge_status(DEPLOYMENTS, wanted, deployment)

    def _keys_of_set(self, replica_set: ReplicaSet) -> Iterator[Request]:
        """Its Deployment; for an orphan, every Deployment that would take it."""
        meta = replica_set.metadata
        controllers = [owner for owner in meta.owner_references if owner.controller]
        for owner in controllers:
            if owner.kind == "Deployment":
                yield Request("", meta.namespace, owner.name)
        if not controllers:
            for deployment in self._deployments.store.all(meta.namespace):
                if selects(deployment.spec.selector, meta.labels):
                    yield Request("", meta.namespace, deployment.metadata.name)


def _own_key(deployment: Deployment) -> Iterator[Request]:
    yield Request("", deployment.metadata.namespace, deployment.metadata.name)
