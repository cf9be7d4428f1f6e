"""Which pods are this node's, their lives, and what the API server is told of them."""

import asyncio
import logging
import shutil
from dataclasses import dataclass, field

import msgspec

from isthmus.api.core import PODS, SERVICES
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict, Invalid, IsthmusError, NotFound
from isthmus.kube.client import DeleteOptions, WriteOptions
from isthmus.kube.informer import Change
from isthmus.local.node import podspec
from isthmus.local.node.context import Context
from isthmus.local.node.ipam import Indexes
from isthmus.local.node.launcher import Launcher
from isthmus.local.node.pod import Ground, PodLife, Say
from isthmus.local.node.podspec import Pod
from isthmus.local.node.states import TYPES, stamp, status

log = logging.getLogger(__name__)

MANAGER = WriteOptions(manager="isthmus-node")
# Seconds: between tries to tell the API server, and what a container gets whose pod was removed by force.
RETRY = 1.0
FORCED = 1.0


@dataclass
class Worker:
    """One pod of this node, and what is to happen to it."""

    life: PodLife
    changed: asyncio.Event
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    told: Manifest | None = None

    def see(self, manifest: Manifest | None) -> None:
        """Take note of the object's newest version, or of its absence."""
        if manifest is None:
            self.gone.set()
            self.leaving.set()
            return
        self.life.update(manifest)
        if self.life.pod.metadata.deletion_timestamp:
            self.leaving.set()
        if self.life.pod.spec.readiness_gates:
            self.changed.set()


class Kubelet:
    """Runs the pods of one cluster."""

    def __init__(self, context: Context, launcher: Launcher, say: Say) -> None:
        self.workers: dict[str, Worker] = {}
        self._context = context
        self._ground = Ground(context, launcher, Indexes(context.config.addresses), say)
        self._pods = context.informer(PODS)
        self._news: asyncio.Queue[Change[Manifest]] = asyncio.Queue()
        self._told: set[str] = set()

    def worker(self, namespace: str, name: str) -> Worker | None:
        """The worker of a pod by name."""
        for worker in self.workers.values():
            metadata = worker.life.pod.metadata
            if (metadata.namespace, metadata.name) == (namespace, name):
                return worker
        return None

    async def run(self) -> None:
        """Keep all pods of this node running until cancelled."""
        services = self._context.informer(SERVICES)
        self._pods.subscribe(self._news.put_nowait)
        await services.wait_synced()
        await self._pods.wait_synced()
        self._tidy()
        async with asyncio.TaskGroup() as tasks:
            for manifest in self._by_address(self._pods.store.all()):
                await self._see(manifest, tasks)
            while True:
                change = await self._news.get()
                if change.after is None and change.before is not None:
                    self._lose(change.before)
                elif change.after is not None:
                    await self._see(change.after, tasks)

    def _by_address(self, manifests: list[Manifest]) -> list[Manifest]:
        # Those with an address first: they get it back before others are given a new one.
        return sorted(manifests, key=lambda each: not (each.get("status") or {}).get("podIP"))

    async def _see(self, manifest: Manifest, tasks: asyncio.TaskGroup) -> None:
        uid = str(manifest["metadata"].get("uid"))
        if uid in self.workers:
            self.workers[uid].see(manifest)
            return
        try:
            pod = podspec.decode(manifest)
        except Invalid as error:
            log.warning("pod set aside", extra={"pod": manifest["metadata"].get("name"), "error": str(error)})
            return
        if not pod.spec.node_name:
            tasks.create_task(self._bind(pod), name=f"bind {pod.metadata.name}")
        elif pod.spec.node_name == self._context.config.node_name and self._is_current(manifest):
            changed = asyncio.Event()
            worker = self.workers[uid] = Worker(PodLife(self._ground, manifest, changed.set), changed)
            worker.see(manifest)
            tasks.create_task(self._work(uid, worker), name=f"pod {pod.metadata.name}")

    def _is_current(self, manifest: Manifest) -> bool:
        # News may be older than what the store has: a pod that is gone is not started again.
        metadata = manifest["metadata"]
        found = self._pods.store.get(str(metadata.get("name")), str(metadata.get("namespace")))
        return found is not None and found["metadata"].get("uid") == metadata.get("uid")

    def _lose(self, manifest: Manifest) -> None:
        uid = str(manifest["metadata"].get("uid"))
        self._told.discard(uid)
        if uid in self.workers:
            self.workers[uid].see(None)

    async def _bind(self, pod: Pod) -> None:
        """Give a pod to this node, if it may have it."""
        metadata, config = pod.metadata, self._context.config
        if metadata.deletion_timestamp or pod.spec.scheduling_gates:
            return
        labels = node_labels(self._context)
        if any(labels.get(key) != value for key, value in pod.spec.node_selector.items()):
            await self._unschedulable(pod)
            return
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata.name, "uid": metadata.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": config.node_name},
        }
        path = PODS.path(metadata.name, namespace=metadata.namespace, subresource="binding")
        try:
            await self._context.client.raw("POST", path, body=msgspec.json.encode(binding))
        except (Conflict, NotFound):
            return
        except IsthmusError as error:
            log.warning("pod not bound, trying again", extra={"pod": metadata.name, "error": str(error)})
            await self._context.clock.sleep(RETRY)
            found = self._pods.store.get(metadata.name, metadata.namespace)
            if found is not None:
                self._news.put_nowait(Change(None, found))

    async def _unschedulable(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        if uid in self._told:
            return
        self._told.add(uid)
        message = f"0/1 nodes are available: node {self._context.config.node_name} has not the labels of nodeSelector"
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": stamp(self._context.clock.now()),
        }
        self._ground.say(pod, "Warning", "FailedScheduling", message)
        try:
            await self._patch(pod, {"phase": "Pending", "conditions": [condition]})
        except IsthmusError as error:
            log.warning("status not written", extra={"pod": pod.metadata.name, "error": str(error)})

    async def _work(self, uid: str, worker: Worker) -> None:
        """A pod's life, from start to the confirmation of its deletion."""
        life = worker.life
        try:
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(self._tell(worker), name=f"status of {life.pod.metadata.name}")
                running = tasks.create_task(life.run(), name=f"life of {life.pod.metadata.name}")
                await worker.leaving.wait()
                running.cancel()
                await asyncio.wait([running])
                await self._end(worker, tasks)
                telling.cancel()
            await self._confirm(worker)
        finally:
            del self.workers[uid]
        await asyncio.to_thread(self._remove_files, life)

    async def _end(self, worker: Worker, tasks: asyncio.TaskGroup) -> None:
        life = worker.life
        asked = life.manifest["metadata"].get("deletionGracePeriodSeconds")
        grace = float(life.pod.spec.termination_grace_period_seconds if asked is None else asked)
        if worker.gone.is_set():
            grace = FORCED
        ending = tasks.create_task(life.end(grace), name=f"end of {life.pod.metadata.name}")
        gone = tasks.create_task(worker.gone.wait(), name=f"removal of {life.pod.metadata.name}")
        if not worker.gone.is_set():
            await asyncio.wait([ending, gone], return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not ending.done():
            ending.cancel()
            await asyncio.wait([ending])
            await life.end(FORCED)

    async def _tell(self, worker: Worker) -> None:
        """Keep the pod's status in the API server true."""
        if worker.life.was_over:
            return
        worker.changed.set()
        while True:
            await worker.changed.wait()
            worker.changed.clear()
            wanted = self._status(worker)
            if wanted == worker.told:
                continue
            try:
                await self._patch(worker.life.pod, wanted)
                worker.told = wanted
            except (NotFound, Conflict):
                # Removed, or another pod of the same name: the informer will say so.
                continue
            except IsthmusError as error:
                log.warning("status not written", extra={"pod": worker.life.pod.metadata.name, "error": str(error)})
                await self._context.clock.sleep(RETRY)
                worker.changed.set()

    def _status(self, worker: Worker) -> Manifest:
        life, seen = worker.life, dict(worker.life.manifest.get("status") or {})
        if worker.told:
            # What we wrote ourselves may still be on its way back.
            ours = [each for each in worker.told["conditions"] if each["type"] in TYPES]
            seen["conditions"] = ours + [each for each in seen.get("conditions") or [] if each["type"] not in TYPES]
        return status(life.pod, life.state, seen, self._context.config.addresses.node, self._context.clock.now())

    async def _patch(self, pod: Pod, wanted: Manifest) -> None:
        metadata = pod.metadata
        # With the uid, so that a successor of the same name is left alone.
        patch = {"metadata": {"uid": metadata.uid}, "status": wanted}
        await self._context.client.merge_patch(
            PODS, metadata.name, patch, namespace=metadata.namespace, subresource="status", options=MANAGER
        )

    async def _confirm(self, worker: Worker) -> None:
        """Tell how the containers ended, then let the object go."""
        pod = worker.life.pod
        while not worker.gone.is_set():
            try:
                if not worker.life.was_over:
                    await self._patch(pod, self._status(worker))
                options = DeleteOptions(uid=pod.metadata.uid, grace=0)
                await self._context.client.delete(
                    PODS, pod.metadata.name, namespace=pod.metadata.namespace, options=options
                )
            except (NotFound, Conflict):
                return
            except IsthmusError as error:
                log.warning("deletion not confirmed", extra={"pod": pod.metadata.name, "error": str(error)})
                await self._context.clock.sleep(RETRY)
            else:
                return

    def _tidy(self) -> None:
        """Remove what pods left that were deleted while no node ran."""
        known = {str(each["metadata"].get("uid")) for each in self._pods.store.all()}
        state = self._context.config.state
        for folder in (*(state / "pods").glob("*"), *(state / "logs" / "pods").glob("*")):
            if folder.name.rpartition("_")[2] not in known:
                shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _remove_files(life: PodLife) -> None:
        life.files.remove()
        shutil.rmtree(life.logs, ignore_errors=True)


def node_labels(context: Context) -> dict[str, str]:
    """The labels of the Node."""
    config = context.config
    found = {
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": config.zone,
        "topology.kubernetes.io/region": config.region,
    }
    return {key: value for key, value in found.items() if value} | config.labels
