"""Sets of real clusters with nodes, on a bridge of their own.

    python -m tests.real.nodes up [NAME...]     keeps clusters up, until ctrl-c or `down`
    python -m tests.real.nodes status
    python -m tests.real.nodes load             gives them Isthmus as it is now; running pods go on as they were
    python -m tests.real.nodes down

Several sets can be up at once, each in a slot of its own, with addresses of its own.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import yaml

from tests.real import images
from tests.real.build import COREDNS, PAUSE, binary
from tests.real.layout import MOST, PREFIXES, Addresses, Layout
from tests.real.machine import CGROUPS, allow_watches, lacks, missing_packages
from tests.real.network import Bridge
from tests.real.node import NodeCluster, remove_cgroups

__all__ = ["NodeCluster", "NodeClusters", "problem"]

SLOTS = Path(tempfile.gettempdir()) / "isthmus-nodes"
# Tests use the clusters that `up` keeps in this slot, instead of starting their own.
KEPT = "ISTHMUS_NODES"
REGION = "here"
STOP_LIMIT = 60.0


def problem() -> str:
    """Why no node cluster can run here, and what to type, in one sentence; "" if one can."""
    if reason := lacks():
        return reason
    if packages := missing_packages():
        return f"node clusters need {', '.join(packages)}. Type: make real"
    if not all(path.exists() for path in (binary(), COREDNS.path, PAUSE.path)):
        return "node clusters are not built yet. Type: make real"
    return ""


class Slot:
    """One of the places for a set: a number, a folder, a lock that the kernel lets go when we end."""

    def __init__(self, number: int, lock: TextIOWrapper) -> None:
        self.number = number
        self.folder = SLOTS / str(number)
        self._lock = lock

    def release(self) -> None:
        """Leave nothing behind, also of processes that were killed, and let others have it."""
        remove_cgroups(list(CGROUPS.glob(f"*/isthmus-nodes-{self.number}-*")))
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self._lock.close()


def free_slot() -> Slot:
    """A place for a set; all free ones are cleared of what killed processes left there."""
    SLOTS.mkdir(parents=True, exist_ok=True)
    for slot in list(_free_slots()):
        slot.release()
    for slot in _free_slots():
        slot.folder.mkdir()
        return slot
    raise RuntimeError(f"{MOST} sets of node clusters are up already; see python -m tests.real.nodes status")


def _free_slots() -> Iterator[Slot]:
    for number in range(1, MOST + 1):
        lock = (SLOTS / f"{number}.lock").open("w")
        if _locked(lock):
            yield Slot(number, lock)
        else:
            lock.close()


def _locked(lock: TextIOWrapper) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


class Clusters(Protocol):
    """Clusters by name."""

    def get(self, *names: str) -> list[NodeCluster]:
        """The clusters of those names."""

    def give_back(self, name: str) -> None:
        """Say that a cluster is needed no more."""


class NodeClusters:
    """Clusters by name, started when first asked for, their pods within reach of each other."""

    def __init__(self) -> None:
        if reason := problem():
            raise RuntimeError(reason)
        self._slot = free_slot()
        self.folder = self._slot.folder
        machine = Addresses(self._slot.number, 0, 0).machine
        addresses = [address + prefix for address, prefix in zip(machine, PREFIXES, strict=True)]
        self._bridge = Bridge(f"isthmus{self._slot.number}", addresses)
        self._clusters: dict[str, NodeCluster] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def get(self, *names: str) -> list[NodeCluster]:
        """The clusters of those names; those that are not there yet are started, all at once."""
        self._start({name: 0 for name in names if name not in self._clusters})
        return [self._clusters[name] for name in names]

    def give_back(self, name: str) -> None:
        """End a cluster; asked for again, it goes on with what it had."""
        self._clusters.pop(name).stop()

    def overlapping(self) -> tuple[NodeCluster, NodeCluster]:
        """Two clusters, left and right, with the same pod and service ranges and no way between their pods."""
        self._start({name: MOST for name in ("left", "right") if name not in self._clusters})
        return self._clusters["left"], self._clusters["right"]

    def stop(self) -> None:
        """End them all, and leave nothing behind."""
        with ThreadPoolExecutor() as together:
            list(together.map(NodeCluster.stop, self._clusters.values()))
        self._bridge.stop()
        self._slot.release()

    def _start(self, ranges: Mapping[str, int]) -> None:
        if not ranges:
            return
        allow_watches()
        archives = list(images.all_images())
        fresh = {
            name: _cluster(self.folder, self._bridge.process, [self._slot.number, number, ranges[name] or number], name)
            for number, name in enumerate(ranges, len(self._clusters) + 1)
        }
        try:
            for cluster in fresh.values():
                cluster.launch()
            with ThreadPoolExecutor() as together:
                list(together.map(lambda cluster: cluster.wait_ready(archives), fresh.values()))
        except BaseException:
            for cluster in fresh.values():
                cluster.stop()
            raise
        self._clusters |= fresh
        _describe(self.folder, self._bridge.process, self._clusters)


class KeptClusters:
    """The clusters that `up` keeps in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, *names: str) -> list[NodeCluster]:
        """The clusters of those names; raises LookupError for those that are not up."""
        facts = json.loads((self.folder / "set.json").read_text())
        if absent := sorted(set(names) - set(facts["clusters"])):
            raise LookupError(f"not up: {', '.join(absent)}. Type: python -m tests.real.nodes up {' '.join(names)}")
        return [_cluster(self.folder, facts["bridge"], facts["clusters"][name], name) for name in names]

    def give_back(self, name: str) -> None:
        """Leave it as it is: it is kept."""


def _cluster(folder: Path, bridge: int, numbers: Sequence[int], name: str) -> NodeCluster:
    group, number, ranges = numbers
    # Every second cluster shares a zone.
    zone = "ba"[number % 2]
    layout = Layout(folder / name, name, Addresses(group, number, ranges), REGION, zone, binary())
    return NodeCluster(layout, bridge)


def _describe(folder: Path, bridge: int, clusters: Mapping[str, NodeCluster]) -> None:
    """Write one kubeconfig for all clusters, whose contexts are called like them, and what KeptClusters needs."""
    configs = [yaml.safe_load(cluster.kubeconfig.read_text()) for cluster in clusters.values()]
    joined = {key: [item for config in configs for item in config[key]] for key in ("clusters", "users", "contexts")}
    (folder / "kubeconfig").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **joined}))
    addresses = {name: cluster.layout.addresses for name, cluster in clusters.items()}
    numbers = {name: [each.group, each.number, each.ranges] for name, each in addresses.items()}
    (folder / "set.json").write_text(json.dumps({"bridge": bridge, "clusters": numbers}))


@contextlib.contextmanager
def running() -> Iterator[Clusters]:
    """The clusters that ISTHMUS_NODES names the folder of, else new ones for the length of a `with` block."""
    if folder := os.environ.get(KEPT):
        yield KeptClusters(Path(folder))
        return
    with NodeClusters() as clusters:
        yield clusters


def keepers() -> Iterator[tuple[Path, int]]:
    """The sets that `up` keeps: folder and process."""
    for file in sorted(SLOTS.glob("*/keeper")):
        process = int(file.read_text())
        if Path(f"/proc/{process}").exists():
            yield file.parent, process


def up(names: Sequence[str]) -> None:
    """Start clusters, say how to use them, and keep them until a signal."""
    signals = {signal.SIGTERM, signal.SIGINT}
    with NodeClusters() as clusters:
        clusters.get(*(names or ("east", "west")))
        (clusters.folder / "keeper").write_text(str(os.getpid()))
        _say(f"export KUBECONFIG={clusters.folder}/kubeconfig {KEPT}={clusters.folder}")
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        signal.sigwait(signals)


def status() -> None:
    """Say which sets are kept."""
    for folder, process in keepers():
        clusters = json.loads((folder / "set.json").read_text())["clusters"]
        _say(f"{', '.join(clusters)}: process {process}; export KUBECONFIG={folder}/kubeconfig {KEPT}={folder}")


def load() -> None:
    """Give Isthmus' own image, made anew, to all clusters that are kept."""
    archive = images.isthmus_image()
    for folder, _ in keepers():
        for name in json.loads((folder / "set.json").read_text())["clusters"]:
            KeptClusters(folder).get(name)[0].load(archive)


def down() -> None:
    """End all sets that are kept."""
    for folder, process in keepers():
        os.kill(process, signal.SIGTERM)
        limit = time.monotonic() + STOP_LIMIT
        while folder.exists():
            if time.monotonic() > limit:
                raise RuntimeError(f"process {process} did not end its clusters within {STOP_LIMIT:.0f} s")
            time.sleep(0.1)


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["up", *names]:
            up(names)
        case ["status"]:
            status()
        case ["load"]:
            load()
        case ["down"]:
            down()
        case _:
            sys.exit("usage: python -m tests.real.nodes up [NAME...] | status | load | down")
