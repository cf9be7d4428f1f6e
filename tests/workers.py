"""Tests on several processes (`pytest -n 2`): which of them stay together, and that all workers stop as one.

A pytest plugin, at work only where pytest-xdist is asked for workers. The schedulers that xdist brings hand out a group
whole: after a first failure (`-x`) the other workers would run theirs to the end.
"""

import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import pytest
from execnet import Channel, RemoteError

# Folders that go with another one, never beside it. Node clusters, and real processes under faults and load, share what
# the machine has once (cgroups, interfaces), and judge by bounds in seconds.
GO_WITH = {"versions": "nodes", "conformance": "nodes", "faults": "nodes", "effects": "end_to_end"}
# The piece of work that comes last, when nothing else runs: pods that start late fail by their bounds.
ALONE = "nodes"
# A worker begins a test when it knows which one follows: its fixtures depend on that.
AHEAD = 3
# Seconds for workers to take down what they have started.
ENDING = 90.0


class Worker(Protocol):
    """A process that runs tests; xdist calls it node."""

    config: pytest.Config
    channel: Channel
    shutting_down: bool

    def send_runtest_some(self, indices: Sequence[int]) -> None: ...

    def shutdown(self) -> None: ...


def piece_of(name: str) -> str:
    """The piece of work that a test belongs to, by its folder below tests/."""
    folder = name.split("/")[1]
    return GO_WITH.get(folder, folder)


def pieces(names: Sequence[str]) -> list[list[int]]:
    """Indices of tests, by piece: those with most tests first, the one that runs alone last."""
    found: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        found.setdefault(piece_of(name), []).append(index)
    return sorted(found.values(), key=lambda piece: (piece_of(names[piece[0]]) == ALONE, -len(piece)))


class Pieces:
    """Gives each worker a piece of work, a few tests at a time, and the next one when it is through.

    The methods are those that xdist calls.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._names: dict[Worker, list[str]] = {}
        self._waiting: deque[deque[int]] = deque()
        self._begun: dict[Worker, deque[int]] = {}
        self._sent: dict[Worker, list[int]] = {}
        self._is_scheduled = False

    @property
    def nodes(self) -> list[Worker]:
        return list(self._sent)

    @property
    def collection_is_completed(self) -> bool:
        return len(self._names) >= self._workers

    @property
    def has_pending(self) -> bool:
        return bool(self._waiting) or any(self._begun.values()) or any(self._sent.values())

    @property
    def tests_finished(self) -> bool:
        """Whether workers need not wait for more: each has at most the test that it is at."""
        is_all_sent = self._is_scheduled and not self._waiting and not any(self._begun.values())
        return is_all_sent and all(len(sent) < 2 for sent in self._sent.values())

    def add_node(self, node: Worker) -> None:
        self._begun[node], self._sent[node] = deque(), []

    def add_node_collection(self, node: Worker, collection: Sequence[str]) -> None:
        self._names[node] = list(collection)

    def schedule(self) -> None:
        """All workers know the same tests: begin, or go on with a worker that came later."""
        names, *others = self._names.values()
        if differing := sorted({name for other in others for name in set(names) ^ set(other)}):
            raise pytest.UsageError(f"workers found different tests: {', '.join(differing[:9])}")
        if any(names != other for other in others):
            raise pytest.UsageError("workers found the same tests in different orders")
        if not self._is_scheduled:
            self._is_scheduled = True
            self._waiting.extend(deque(piece) for piece in pieces(names))
            # Each its first, before one of them has a second.
            for worker in self.nodes:
                if self._waiting and not self._is_next_alone():
                    self._begun[worker] = self._waiting.popleft()
        for worker in self.nodes:
            self._fill(worker)

    def mark_test_complete(self, node: Worker, item_index: int, duration: float = 0) -> None:
        self._sent[node].remove(item_index)
        for worker in self.nodes:
            self._fill(worker)

    def remove_node(self, node: Worker) -> str | None:
        """Take back what a worker did not do; the test that it died of, if it did."""
        begun, sent = self._begun.pop(node), self._sent.pop(node)
        if not sent:
            return None
        died_of, *undone = sent
        self._waiting.appendleft(deque([*undone, *begun]))
        return self._names[node][died_of]

    def _fill(self, worker: Worker) -> None:
        sent = self._sent[worker]
        while not worker.shutting_down:
            begun = self._begun[worker]
            if more := [begun.popleft() for _ in range(min(len(begun), AHEAD - len(sent)))]:
                sent += more
                worker.send_runtest_some(more)
            if begun or (self._waiting and len(sent) > 1):
                return
            if not self._waiting:
                worker.shutdown()
            elif self._may_take_next(worker):
                self._begun[worker] = self._waiting.popleft()
            else:
                return

    def _may_take_next(self, worker: Worker) -> bool:
        """What runs alone waits for the last worker, until the others have done all of theirs."""
        if not self._is_next_alone():
            return True
        others = [each for each in self.nodes if each is not worker]
        if any(not each.shutting_down for each in others):
            worker.shutdown()
        return not worker.shutting_down and not any(self._sent[each] for each in others)

    def _is_next_alone(self) -> bool:
        names = next(iter(self._names.values()))
        return piece_of(names[self._waiting[0][0]]) == ALONE


WORKERS = pytest.StashKey[list[Worker]]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> Pieces | None:
    return Pieces(len(config.getoption("tx"))) if config.getoption("dist") == "load" else None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Worker) -> None:
    node.config.stash.setdefault(WORKERS, []).append(node)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After ctrl-c, let the workers end what they have started: xdist would kill them after ten seconds."""
    for worker in session.config.stash.get(WORKERS, []):
        with contextlib.suppress(EOFError, OSError, RemoteError):
            worker.channel.waitclose(ENDING)
