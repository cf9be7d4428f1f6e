"""A run of a suite: several checks at once, each in a namespace of its own, and nothing left behind."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from isthmus import __version__
from isthmus.api.core import NAMESPACES
from isthmus.conformance import manifests
from isthmus.conformance.clusters import Cluster, cleared, must_serve, prober, reached
from isthmus.conformance.declared import Check, Failed, Hindered, Skipped
from isthmus.conformance.place import Place
from isthmus.conformance.probing import Prober
from isthmus.conformance.report import Outcome, Report, Result
from isthmus.conformance.scene import Scene
from isthmus.conformance.suites import NEEDED, SUITES
from isthmus.conformance.witness import Witness
from isthmus.errors import Invalid, IsthmusError
from isthmus.kit.clock import SYSTEM, Clock

IMAGE = f"localhost/isthmus:{__version__}"
# A check that takes longer, in seconds, is ended: it can judge nothing any more.
LONGEST = 900.0
CLEARING = 20.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What to judge and how.

    `focus` chooses checks by id, label, level or part of the title (any of them); `skip` says of ids why not;
    `at_once` bounds the checks that run side by side; `patience` stretches upstream's bounds, for slow clusters.
    """

    suite: str
    contexts: tuple[str, ...]
    kubeconfig: Path | None = None
    image: str = IMAGE
    zone: str = "clusterset.local"
    focus: tuple[str, ...] = ()
    skip: Mapping[str, str] = field(default_factory=dict)
    at_once: int = 6
    patience: float = 1.0


async def run(options: Options, *, say: Say = lambda _: None, clock: Clock = SYSTEM) -> Report:
    """Run a suite against these clusters; the report has a result for each check that was chosen.

    Raises Invalid or Unreachable where the suite cannot begin.
    """
    chosen = selected(options)
    started, start = clock.now(), clock.monotonic()
    async with reached(options.contexts, options.kubeconfig) as clusters:
        for cluster in clusters:
            await must_serve(cluster, NEEDED[options.suite])
        runner = _Runner(options, clusters, say, clock)
        results = await runner.run(chosen)
        versions = {cluster.name: cluster.version for cluster in clusters}
        return Report(options.suite, versions, started, clock.monotonic() - start, results)


def selected(options: Options) -> tuple[Check, ...]:
    """The checks that are asked for. Raises Invalid where that is none, or a skip is without reason or effect."""
    known = SUITES[options.suite]
    if not options.contexts:
        raise Invalid("no contexts; write --contexts C1,C2")
    for name, reason in options.skip.items():
        if name not in {each.id for each in known}:
            raise Invalid(f"--skip {name}: no such check in suite {options.suite}; see --list")
        if not reason:
            raise Invalid(f"--skip {name}: write why: --skip '{name}=REASON'")
    chosen = tuple(each for each in known if not options.focus or any(each.matches(text) for text in options.focus))
    if not chosen:
        raise Invalid(f"no check of suite {options.suite} matches {', '.join(options.focus)}; see --list")
    return chosen


class _Runner:
    """One run."""

    def __init__(self, options: Options, clusters: Sequence[Cluster], say: Say, clock: Clock) -> None:
        self._options = options
        self._clusters = clusters
        self._say = say
        self._clock = clock
        self._run_id = secrets.randbits(32)
        self._probers: dict[str, Prober] = {}
        self._without_pods = ""
        self._done = 0

    async def run(self, chosen: Sequence[Check]) -> tuple[Result, ...]:
        turns = asyncio.Semaphore(self._options.at_once)
        results: dict[str, Result] = {}

        async def judged(each: Check, number: int) -> None:
            async with turns:
                results[each.id] = await self._judged(each, f"mcs-conformance-{self._run_id}-{number}")
            self._done += 1
            self._tell(results[each.id], len(chosen))

        async with self._asking(any(each.pods for each in chosen)), asyncio.TaskGroup() as tasks:
            # What takes long begins first, or the last check would be alone.
            for number, each in sorted(enumerate(chosen), key=lambda numbered: not numbered[1].pods):
                tasks.create_task(judged(each, number), name=each.id)
        return tuple(results[each.id] for each in chosen)

    @asynccontextmanager
    async def _asking(self, pods: bool) -> AsyncIterator[None]:
        """One namespace for the asking pods of all checks."""
        namespace = f"mcs-conformance-{self._run_id}"
        witness = Witness(self._clock)
        try:
            if pods:
                self._say("starting a pod that asks in each cluster")
                for cluster in self._clusters:
                    await cluster.client.create(NAMESPACES, manifests.namespace(namespace))
                for cluster in self._clusters:
                    self._probers[cluster.name] = await prober(cluster, namespace, self._options.image, witness)
        except Hindered as problem:
            self._without_pods = str(problem)
            self._say(str(problem))
        try:
            yield
        finally:
            if pods:
                await self._clear(namespace)

    async def _judged(self, each: Check, namespace: str) -> Result:
        witness = Witness(self._clock, self._options.patience)
        start = self._clock.monotonic()
        outcome, reason = await self._outcome(each, namespace, witness)
        return Result(each, outcome, self._clock.monotonic() - start, reason, tuple(witness.evidence))

    async def _outcome(self, each: Check, namespace: str, witness: Witness) -> tuple[Outcome, str]:
        if each.id in self._options.skip:
            return Outcome.SKIPPED, self._options.skip[each.id]
        if len(self._clusters) < each.clusters:
            return Outcome.SKIPPED, f"needs {each.clusters} clusters; {len(self._clusters)} given"
        if each.pods and self._without_pods:
            return Outcome.UNKNOWN, self._without_pods
        try:
            async with asyncio.timeout(LONGEST), self._scene(namespace, witness) as scene:
                await each.run(scene)
        except Failed as problem:
            return Outcome.FAILED, str(problem)
        except Skipped as problem:
            return Outcome.SKIPPED, str(problem)
        except TimeoutError:
            return Outcome.UNKNOWN, f"did not end within {LONGEST:g} s"
        except IsthmusError as problem:
            return Outcome.UNKNOWN, str(problem)
        except Exception as problem:  # noqa: BLE001 - what the world may show is not foreseen whole; the others go on
            return Outcome.UNKNOWN, f"the check itself broke: {problem!r}"
        return Outcome.PASSED, ""

    @asynccontextmanager
    async def _scene(self, namespace: str, witness: Witness) -> AsyncIterator[Scene]:
        places = tuple(
            Place(
                one.name,
                one.config,
                one.client,
                namespace,
                self._options.image,
                witness,
                self._probers.get(one.name),
            )
            for one in self._clusters
        )
        scene = Scene(places, self._options.zone, witness)
        try:
            await scene.everywhere(lambda place: place.begin())
            yield scene
        finally:
            await self._clear(namespace)

    async def _clear(self, namespace: str) -> None:
        """Also when the run is broken off; a cluster that does not answer must not hold up the end."""
        problems = [f"no answer within {CLEARING:g} s"]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLEARING):
                problems = await cleared(self._clusters, namespace)
        if problems:
            self._say(f"namespace {namespace} is left behind, delete it by hand: {'; '.join(problems)}")

    def _tell(self, result: Result, total: int) -> None:
        line = f"[{self._done}/{total}] {result.outcome.value:7} {result.check.id:5} {result.seconds:5.1f} s"
        self._say(f"{line}  {result.check.title}" + (f"\n    {result.reason}" if result.reason else ""))
