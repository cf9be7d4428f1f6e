"""A set whose agents can be swapped in place for agents that break a rule, and a run of the suite on it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from isthmus.api.core import LEASES
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.conformance.report import Outcome, Report
from isthmus.conformance.run import Options, run
from isthmus.conformance.suites import SUITES
from isthmus.errors import NotFound
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.local import launch
from isthmus.local.control import Command, ask
from isthmus.local.state import SetFiles
from isthmus.testing.waiting import eventually
from tests.conformance.broken import RULES, SOUND

ROOT = Path(__file__).parents[2]
CLUSTERS = ("east", "west")
LEASE = "isthmus-agent"
# The set is near and fast: what has not come after this share of upstream's bounds does not come.
PATIENCE = 0.25
# What has to come may take its time: clusters, agents and pods share a machine with other work. Upstream's own bounds
# are held to on nodes.
PATIENT = 3.0


class Set:
    """An embedded set of two clusters."""

    def __init__(self, folder: Path) -> None:
        self.files = SetFiles("conformance", folder)
        self.agents = SOUND
        self._running: list[subprocess.Popen[bytes]] = []
        self._frozen: list[int] = []

    def up(self) -> None:
        """Start it, with its own sound agents."""
        launch.up(self.files, CLUSTERS, say=lambda _: None)
        asyncio.run(self._wait_for_leaders())

    def down(self) -> None:
        """Take it away."""
        self._stop()
        for pid in self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        launch.down(self.files, say=lambda _: None)

    def judge(self, *focus: str, patience: float = 1.0, suite: str = "mcs") -> Report:
        """Run the suite, or the checks of these ids."""
        return self.run(Options(suite, CLUSTERS, kubeconfig=self.files.kubeconfig, focus=focus, patience=patience))

    def run(self, options: Options) -> Report:
        """A run with these options."""
        return asyncio.run(run(options))

    def swap(self, rule: str) -> None:
        """Let agents that break this rule take over in every cluster, or `sound` ones that were started alike."""
        self.agents = rule
        if not self._frozen:
            self._freeze()
        self._stop()
        for cluster in CLUSTERS:
            folder = self.files.cluster(cluster)
            options = [f"--hub-kubeconfig={folder / 'agent-hub.kubeconfig'}", f"--cluster={cluster}"]
            options += [f"--kubeconfig={folder / 'isthmus-agent.kubeconfig'}", f"--set={self.files.name}"]
            with (folder / "logs" / "broken.log").open("ab") as log:
                self._running.append(
                    subprocess.Popen(
                        [
                            *launch.enter_network(self.files, cluster),
                            *(sys.executable, "-m", "tests.conformance.broken", rule, *options),
                        ],
                        cwd=ROOT,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )
                )
        # Whoever had it is stopped or frozen, and would keep it for a while.
        asyncio.run(self._wait_for_leaders(anew=True))

    def _freeze(self) -> None:
        """Stop the set's own agents where they stand: ended, their supervisor would start them again."""
        for unit in ask(self.files.socket, Command(do="status")).units:
            if unit.name.endswith("/agent"):
                os.kill(unit.pid, signal.SIGSTOP)
                self._frozen.append(unit.pid)

    def _stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    async def _wait_for_leaders(self, *, anew: bool = False) -> None:
        for cluster in CLUSTERS:
            async with Client(load_kubeconfig([self.files.kubeconfig], context=cluster)) as client:
                if anew:
                    await _freed(client)
                await _held(client)


async def _freed(client: Client) -> None:
    with contextlib.suppress(NotFound):
        await client.delete(LEASES, LEASE, namespace=SYSTEM_NAMESPACE)


async def _held(client: Client) -> None:
    async def holder() -> str | None:
        return (await client.get(LEASES, LEASE, namespace=SYSTEM_NAMESPACE)).spec.holder_identity

    await eventually(holder, within=60, what="an agent leads")


@contextlib.contextmanager
def a_set(folder: Path) -> Iterator[Set]:
    """A set, for as long as the block lasts."""
    made = Set(folder)
    try:
        made.up()
        yield made
    finally:
        made.down()


def matrix(
    judged: Set, *, say: Callable[[str], None], rules: Sequence[str] = tuple(RULES)
) -> dict[str, dict[str, list[str]]]:
    """Run the whole suite on each broken agent: by rule, the ids that failed and those that could not judge."""
    found: dict[str, dict[str, list[str]]] = {}
    for rule in (SOUND, *rules):
        judged.swap(rule)
        report = judged.judge(patience=PATIENCE)
        failed, unknown = report.named(Outcome.FAILED), report.named(Outcome.UNKNOWN)
        found[rule] = {"failed": failed, "unknown": unknown}
        say(f"{rule}: {', '.join(failed) or 'nothing'} of {len(SUITES['mcs'])} failed")
    return found
