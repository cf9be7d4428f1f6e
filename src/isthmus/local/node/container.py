"""One container's life: started, watched, asked how it is, started again, ended."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from isthmus.errors import Invalid, IsthmusError
from isthmus.kit.clock import Clock
from isthmus.local.node.environment import Facts, expand, host_name, variables
from isthmus.local.node.files import PodFiles
from isthmus.local.node.launcher import Launcher, LaunchFailed, Process, Program, Room, Streams
from isthmus.local.node.logfiles import LogFile, LogPipe
from isthmus.local.node.podspec import Container, Handler, Probe
from isthmus.local.node.probes import Target, Unwell, ask, results
from isthmus.local.node.states import ContainerState, Ended, Running, Waiting

log = logging.getLogger(__name__)

# As the kubelet's: the second restart waits 10 s, each next twice as long, until one run lasted 10 minutes.
FIRST_PAUSE, LONGEST_PAUSE, WELL_AFTER = 10.0, 300.0, 600.0
HOOK_LIMIT = 30.0
MOST_LOGS = 2
# Seconds that output may still come after the program ended.
LINGER = 1.0
Say = Callable[[str, str, str], None]


@dataclass(frozen=True)
class Setting:
    """What a container's life takes place in."""

    launcher: Launcher
    files: PodFiles
    facts: Facts
    services: Mapping[str, str]
    logs: Path
    clock: Clock
    changed: Callable[[], None]
    say: Say


class Life:
    """Runs one container, as often as its policy wants."""

    def __init__(self, setting: Setting, state: ContainerState, policy: str) -> None:
        self.state = state
        self.process: Process | None = None
        self.log: LogFile | None = None
        self.program: Program | None = None
        self._setting = setting
        self._policy = policy
        self._started = asyncio.Event()
        self._pipes: list[LogPipe] = []

    @property
    def container(self) -> Container:
        """What the pod's spec says of it."""
        return self.state.container

    @property
    def launcher(self) -> Launcher:
        """Who starts processes in it."""
        return self._setting.launcher

    def log_path(self, run: int) -> Path:
        """Where the output of a run is kept; runs are counted from 0."""
        return self._setting.logs / self.container.name / f"{run}.log"

    async def wait_started(self) -> None:
        """Return once it runs and its startup probe, if there is one, has succeeded."""
        await self._started.wait()

    async def run(self) -> None:
        """Run until it ended and the policy does not want it started again."""
        clock = self._setting.clock
        failures = 0
        while True:
            began = clock.monotonic()
            await self._once()
            ended = self.state.state
            if isinstance(ended, Ended) and is_final(self._policy, ended.code):
                return
            failures = 1 if clock.monotonic() - began >= WELL_AFTER else failures + 1
            await self._pause(failures)

    async def end(self, grace: float) -> None:
        """Its preStop hook, SIGTERM, and SIGKILL once `grace` seconds are over."""
        process = self.process
        if process is None or process.ended.done():
            return
        try:
            async with asyncio.timeout(grace):
                if grace > 0:
                    await self._before_end()
                    await process.signal(signal.SIGTERM)
                    await process.wait()
        except TimeoutError:
            self._setting.say("Normal", "Killing", f"container {self.container.name} did not end in {grace:g} s")
        await process.signal(signal.SIGKILL)
        self._settle(await process.wait())

    async def execute(self, argv: Sequence[str]) -> int:
        """Run a command in the container, without input and output, and return its exit code."""
        if self.process is None or self.program is None:
            raise Unwell("the container does not run")
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            program = Program(argv, self.program.env, self.program.directory)
            process = await self._setting.launcher.execute(program, self.process, Streams(null, null, null))
        finally:
            os.close(null)
        try:
            return await process.wait()
        except asyncio.CancelledError:
            await process.signal(signal.SIGKILL)
            raise

    async def _pause(self, failures: int) -> None:
        """Wait before the next start; a program that ended for the first time is started again at once."""
        ended, name = self.state.state, self.container.name
        if isinstance(ended, Ended):
            failures -= 1
            self.state.last = ended
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)) if failures else 0.0
        if pause and isinstance(ended, Ended):
            pod = self._setting.facts.pod.metadata.name
            why = f"back-off {pause:g}s restarting failed container={name} pod={pod}"
            self.state.state = Waiting("CrashLoopBackOff", why)
            self._setting.say("Warning", "BackOff", f"Back-off restarting failed container {name}")
            self._setting.changed()
        await self._setting.clock.sleep(pause)
        if isinstance(ended, Ended):
            self.state.restarts += 1
            LogFile.remove(self.log_path(self.state.restarts - MOST_LOGS))

    async def _once(self) -> None:
        """Start it and wait for its end; a start that fails leaves it waiting."""
        self.state.ready = self.state.started = False
        try:
            process = await self._start()
        except (IsthmusError, OSError) as error:
            self._failed(error)
            return
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self._watch(), name=f"watch {self.container.name}")
            code = await process.wait()
            watch.cancel()
        for pipe in self._pipes:
            # A descendant that left the container's sight may hold the pipe; it is not waited for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await asyncio.shield(pipe.over)
        self._settle(code)

    async def _start(self) -> Process:
        setting, container = self._setting, self.container
        env = variables(container, setting.facts, setting.services)
        argv = [expand(part, env) for part in (*container.command, *container.args)]
        self.program = Program(argv, env, container.working_dir or "/")
        pod = setting.facts.pod
        room = Room(
            pod.metadata.uid, host_name(pod), setting.files.root(container), setting.files.mounts(pod, container)
        )
        self.log = LogFile(self.log_path(self.state.restarts), setting.clock)
        self.process = await self._launch(self.program, room, self.log)
        self.state.identity = f"{pod.metadata.uid}-{container.name}-{self.state.restarts}"
        self.state.state = Running(setting.clock.now())
        self.state.started = container.startup_probe is None
        self.state.ready = self.state.started and container.readiness_probe is None
        setting.say("Normal", "Started", _started(container))
        setting.changed()
        return self.process

    async def _launch(self, program: Program, room: Room, log_file: LogFile) -> Process:
        given = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
        self._pipes = []
        try:
            for stream in ("stdout", "stderr"):
                end, child = os.pipe()
                given.append(child)
                self._pipes.append(await _read_into(LogPipe(log_file, stream), end))
            return await self._setting.launcher.start(program, room, Streams(*given))
        finally:
            for descriptor in given:
                os.close(descriptor)

    def _failed(self, error: Exception) -> None:
        reason = "CreateContainerConfigError" if isinstance(error, Invalid) else "CreateContainerError"
        if isinstance(error, LaunchFailed) and error.created:
            now = self._setting.clock.now()
            self.state.state = Ended(128, now, now, str(error), "StartError")
        else:
            self.state.state = Waiting(reason, str(error))
        if self.log:
            self.log.close()
        self._setting.say("Warning", "Failed", f"container {self.container.name}: {error}")
        self._setting.changed()

    def _settle(self, code: int) -> None:
        if self.log:
            self.log.close()
        if not isinstance(self.state.state, Running):
            return
        message = self._setting.files.take_message(self.container)
        self.state.state = Ended(code, self.state.state.since, self._setting.clock.now(), message)
        self.state.ready = self.state.started = False
        self._setting.changed()

    async def _watch(self) -> None:
        """Its hook after the start, then its probes, until cancelled."""
        container = self.container
        target = self._target()
        if container.lifecycle.post_start:
            await self._after_start(container.lifecycle.post_start, target)
        if container.startup_probe:
            await self._wait_up(container.startup_probe, target)
        self.state.started = True
        self._started.set()
        async with asyncio.TaskGroup() as tasks:
            if container.readiness_probe:
                tasks.create_task(self._watch_ready(container.readiness_probe, target), name="readiness")
            else:
                self.state.ready = True
                self._setting.changed()
            if container.liveness_probe:
                tasks.create_task(self._watch_alive(container.liveness_probe, target), name="liveness")

    def _target(self) -> Target:
        return Target(self.container, self._setting.facts.addresses[0], self.execute)

    async def _after_start(self, hook: Handler, target: Target) -> None:
        try:
            await ask(hook, target, HOOK_LIMIT)
        except IsthmusError as error:
            self._setting.say("Warning", "FailedPostStartHook", str(error))
            await self._kill(f"its postStart hook failed: {error}")

    async def _wait_up(self, probe: Probe, target: Target) -> None:
        failures = 0
        async with aclosing(results(probe, target, self._setting.clock, eager=True)) as verdicts:
            async for problem in verdicts:
                if not problem:
                    self._setting.changed()
                    return
                failures += 1
                self._setting.say("Warning", "Unhealthy", f"Startup probe failed: {problem}")
                if failures >= probe.failure_threshold:
                    await self._kill("it failed its startup probe")

    async def _watch_ready(self, probe: Probe, target: Target) -> None:
        async for well, problem in _judged(probe, results(probe, target, self._setting.clock, eager=True)):
            if problem:
                self._setting.say("Warning", "Unhealthy", f"Readiness probe failed: {problem}")
            if well is not None and well != self.state.ready:
                self.state.ready = well
                self._setting.changed()

    async def _watch_alive(self, probe: Probe, target: Target) -> None:
        async for well, problem in _judged(probe, results(probe, target, self._setting.clock, eager=False)):
            if problem:
                self._setting.say("Warning", "Unhealthy", f"Liveness probe failed: {problem}")
            if well is False:
                await self._kill("it failed its liveness probe", probe.termination_grace_period_seconds)

    async def _kill(self, why: str, grace: int | None = None) -> None:
        name = self.container.name
        self._setting.say("Normal", "Killing", f"Container {name} is killed and may be started again: {why}")
        allowed = self._setting.facts.pod.spec.termination_grace_period_seconds if grace is None else grace
        process = self.process
        if process:
            await process.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                # Not wait_for: in Python 3.11 it swallows a cancellation that comes with the result.
                async with asyncio.timeout(allowed):
                    await process.wait()
            await process.signal(signal.SIGKILL)
            await process.wait()

    async def _before_end(self) -> None:
        hook = self.container.lifecycle.pre_stop
        if hook is None:
            return
        try:
            await ask(hook, self._target(), self._setting.facts.pod.spec.termination_grace_period_seconds)
        except IsthmusError as error:
            self._setting.say("Warning", "FailedPreStopHook", str(error))


async def _judged(probe: Probe, verdicts: AsyncIterator[str]) -> AsyncIterator[tuple[bool | None, str]]:
    """Each verdict with what follows from it: True or False once a threshold is reached, else None."""
    successes = failures = 0
    async for problem in verdicts:
        successes, failures = (0, failures + 1) if problem else (successes + 1, 0)
        well = True if successes >= probe.success_threshold else None
        yield (False if failures >= probe.failure_threshold else well), problem


def is_final(policy: str, code: int) -> bool:
    """Whether a container that ended with `code` stays ended."""
    return policy == "Never" or (policy == "OnFailure" and code == 0)


async def _read_into(pipe: LogPipe, end: int) -> LogPipe:
    await asyncio.get_running_loop().connect_read_pipe(lambda: pipe, os.fdopen(end, "rb", buffering=0))
    return pipe


def _started(container: Container) -> str:
    image = f"image {container.image} is not used" if container.image else "there is no image"
    return f"Started container {container.name} with a program of this machine ({image})"
