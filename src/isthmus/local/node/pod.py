"""One pod's life on the node: network and files, init containers, containers, the graceful end."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from isthmus.api.core import SERVICES
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, IsthmusError
from isthmus.kit.clock import Clock
from isthmus.local.addresses import ClusterAddresses
from isthmus.local.node import podspec
from isthmus.local.node.container import Life, Setting, is_final
from isthmus.local.node.context import Context
from isthmus.local.node.environment import Facts, service_links
from isthmus.local.node.files import PodFiles, Surroundings
from isthmus.local.node.ipam import Indexes
from isthmus.local.node.launcher import Launcher, LaunchFailed
from isthmus.local.node.logfiles import LogFile
from isthmus.local.node.podspec import Pod
from isthmus.local.node.refusals import refuse_unsupported
from isthmus.local.node.sources import Sources, changes_later, gather
from isthmus.local.node.states import CREATING, INITIALIZING, ContainerState, Ended, PodState, Waiting

log = logging.getLogger(__name__)

# Seconds between two tries to make a pod whose objects are missing, and between two looks at changed ones.
RETRY = 2.0
REFRESH = 60.0
Say = Callable[[Pod, str, str, str], None]


@dataclass(frozen=True)
class Ground:
    """What all pods of a node stand on."""

    context: Context
    launcher: Launcher
    indexes: Indexes
    say: Say

    @property
    def addresses(self) -> ClusterAddresses:
        """The cluster's addresses."""
        return self.context.config.addresses

    @property
    def clock(self) -> Clock:
        """The process's clock."""
        return self.context.clock


class PodLife:
    """Runs one pod from the moment it is bound to the node until its containers have ended."""

    def __init__(self, ground: Ground, manifest: Manifest, changed: Callable[[], None]) -> None:
        self.manifest = manifest
        self.pod = podspec.decode(manifest)
        # Ended in an earlier life of the node: what was told of it then is the last word.
        self.was_over = self.pod.is_over
        self.lives: dict[str, Life] = {}
        first = INITIALIZING if self.pod.spec.init_containers else CREATING
        self.state = PodState(
            started=self.pod.status.start_time or ground.clock.now(),
            init=[ContainerState(each, INITIALIZING) for each in self.pod.spec.init_containers],
            containers=[ContainerState(each, first) for each in self.pod.spec.containers],
        )
        self._ground = ground
        self._changed = changed
        self._uid = self.pod.metadata.uid
        state = ground.context.config.state
        self.files = PodFiles(state / "pods" / self._uid)
        self._recall()

    @property
    def logs(self) -> Path:
        """The folder of its containers' output."""
        metadata = self.pod.metadata
        name = f"{metadata.namespace}_{metadata.name}_{metadata.uid}"
        return self._ground.context.config.state / "logs" / "pods" / name

    def log(self, container: str, *, previous: bool) -> tuple[Path, LogFile | None]:
        """Where the output of a container's last run is, or of the one before, and who writes it.

        Raises Invalid, in the API server's words, if there is none.
        """
        name = self.pod.metadata.name
        state = next(
            (each for each in (*self.state.init, *self.state.containers) if each.container.name == container), None
        )
        if state is None:
            raise Invalid(f"container {container} is not valid for pod {name}")
        run = state.restarts - 1 if previous else state.restarts
        path = self.logs / container / f"{run}.log"
        if path.exists():
            life = self.lives.get(container)
            return path, life.log if life and not previous else None
        if previous:
            raise Invalid(f'previous terminated container "{container}" in pod "{name}" not found')
        why = state.state.reason if isinstance(state.state, Waiting | Ended) else ""
        raise Invalid(f'container "{container}" in pod "{name}" is waiting to start: {why}')

    def update(self, manifest: Manifest) -> None:
        """Take note of a newer version of the object."""
        self.manifest = manifest
        self.pod = podspec.decode(manifest)

    async def run(self) -> None:
        """Run the pod until all its containers ended for good; what is wrong with it is told in its status."""
        if self.was_over:
            return
        try:
            refuse_unsupported(self.manifest, self.pod)
        except Invalid as error:
            self._wait_all("CreateContainerError", str(error))
            self._say("Warning", "Failed", str(error))
            return
        await self._prepare()
        setting = self._setting(await self._sources_when_there())
        seconds = self.pod.spec.active_deadline_seconds
        limit = None if seconds is None else self._deadline(seconds)
        try:
            async with asyncio.timeout(limit), asyncio.TaskGroup() as tasks:
                refresh = tasks.create_task(self._refresh(), name=f"files of {self.pod.metadata.name}")
                await self._run_containers(setting, tasks)
                refresh.cancel()
        except TimeoutError:
            self.state.phase, self.state.reason = "Failed", "DeadlineExceeded"
            self.state.message = "Pod was active on the node longer than the specified deadline"
            await self.end(0)
        await self.end(self.pod.spec.termination_grace_period_seconds)
        self._changed()

    async def end(self, grace: float) -> None:
        """End all containers at once, within `grace` seconds, and take the network away."""
        async with asyncio.TaskGroup() as tasks:
            for life in self.lives.values():
                tasks.create_task(life.end(grace), name=f"end {life.container.name}")
        await self._ground.launcher.remove_pod(self._uid)
        self._ground.indexes.free(self._uid)

    async def _run_containers(self, setting: Setting, tasks: asyncio.TaskGroup) -> None:
        helpers = []
        for state in self.state.init:
            if state.container.restart_policy == "Always":
                life = self._life(setting, state, "Always")
                helpers.append(tasks.create_task(life.run(), name=state.container.name))
                await life.wait_started()
            elif not await self._initialize(setting, state):
                for helper in helpers:
                    helper.cancel()
                return
        self.state.initialized = True
        policy = self.pod.spec.restart_policy
        async with asyncio.TaskGroup() as main:
            for state in (each for each in self.state.containers if not each.is_over):
                life = self._life(setting, state, policy)
                main.create_task(life.run(), name=state.container.name)
        for helper in helpers:
            helper.cancel()

    async def _initialize(self, setting: Setting, state: ContainerState) -> bool:
        # An init container that fails is tried again, unless nothing of the pod is.
        policy = "Never" if self.pod.spec.restart_policy == "Never" else "OnFailure"
        await self._life(setting, state, policy).run()
        ended = state.state
        state.ready = isinstance(ended, Ended) and ended.code == 0
        self._changed()
        return state.ready

    def _life(self, setting: Setting, state: ContainerState, policy: str) -> Life:
        life = Life(setting, state, policy)
        self.lives[state.container.name] = life
        return life

    async def _prepare(self) -> None:
        """Take an address and make the network, as often as it takes."""
        ground = self._ground
        while True:
            try:
                index = ground.indexes.take(self._uid, self.pod.status.pod_ip)
                await ground.launcher.add_pod(self._uid, index)
            except (Invalid, LaunchFailed) as error:
                self._say("Warning", "FailedCreatePodSandBox", str(error))
                await ground.clock.sleep(RETRY)
            else:
                self.state.addresses = ground.addresses.pod(index)
                return

    async def _sources_when_there(self) -> Sources:
        while True:
            try:
                sources = await gather(self._ground.context.client, self.pod)
                self._write(sources)
            except (IsthmusError, OSError) as error:
                self._wait_all("ContainerCreating", str(error))
                self._say("Warning", "FailedMount", str(error))
                await self._ground.clock.sleep(RETRY)
            else:
                return sources

    async def _refresh(self) -> None:
        if not changes_later(self.pod):
            return
        while True:
            await self._ground.clock.sleep(REFRESH)
            try:
                self._write(await gather(self._ground.context.client, self.pod))
            except (IsthmusError, OSError) as error:
                self._say("Warning", "FailedMount", f"its files stay as they are: {error}")

    def _write(self, sources: Sources) -> None:
        config = self._ground.context.config
        around = Surroundings(config.addresses.cluster_dns[:1], config.authority.read_bytes())
        self.files.write(self._facts(sources), sources, around)

    def _facts(self, sources: Sources) -> Facts:
        config = self._ground.context.config
        return Facts(
            pod=self.pod,
            addresses=self.state.addresses,
            node_name=config.node_name,
            node_addresses=config.addresses.node,
            config_maps=sources.config_maps,
            secrets=sources.secrets,
        )

    def _setting(self, sources: Sources) -> Setting:
        return Setting(
            launcher=self._ground.launcher,
            files=self.files,
            facts=self._facts(sources),
            services=self._service_variables(),
            logs=self.logs,
            clock=self._ground.clock,
            changed=self._changed,
            say=self._say,
        )

    def _service_variables(self) -> Mapping[str, str]:
        address = self._ground.addresses.kubernetes[0]
        found = {"KUBERNETES_SERVICE_HOST": address, "KUBERNETES_SERVICE_PORT": "443"}
        if self.pod.spec.enable_service_links:
            services = self._ground.context.informer(SERVICES).store
            found |= service_links(services.all(self.pod.metadata.namespace))
        return found

    def _wait_all(self, reason: str, message: str) -> None:
        for state in (*self.state.init, *self.state.containers):
            if isinstance(state.state, Waiting):
                state.state = Waiting(reason, message)
        self._changed()

    def _say(self, kind: str, reason: str, message: str) -> None:
        self._ground.say(self.pod, kind, reason, message)

    def _deadline(self, seconds: int) -> float:
        started = self.state.started or self._ground.clock.now()
        return max(0.0, (started + timedelta(seconds=seconds) - self._ground.clock.now()).total_seconds())

    def _recall(self) -> None:
        """Count what ran before this process as ended: nothing outlives the node's process."""
        now = self._ground.clock.now()
        recorded = {
            each.name: each for each in (*self.pod.status.container_statuses, *self.pod.status.init_container_statuses)
        }
        for state in (*self.state.init, *self.state.containers):
            before = recorded.get(state.container.name)
            if before is None:
                continue
            state.restarts = before.restart_count
            ended = before.state.terminated
            if ended is not None:
                finished = ended.finished_at or now
                state.last = Ended(ended.exit_code, ended.started_at, finished, ended.message, ended.reason)
            elif before.state.running is not None:
                state.last = Ended(255, None, now, "the node was started again", "Unknown")
            if not isinstance(state.last, Ended):
                continue
            if is_final(self.pod.spec.restart_policy, state.last.code) and state in self.state.containers:
                state.state, state.last = state.last, None
            else:
                state.restarts += 1
