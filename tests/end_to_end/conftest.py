"""A cluster set made by the command line, as a user makes one, and used through it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from isthmus.local.launch import without_nodes
from tests.fleets import make_fleet

__all__ = ["make_fleet"]

ISTHMUS = Path(sys.executable).parent / "isthmus"
KUBECTL = Path(sys.executable).parent / "kubectl"
URL = "http://shop.prod.svc.clusterset.local"
CUSTOMER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "customer", "namespace": "prod"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "customer", "image": "host", "command": ["sleep", "infinity"]}],
    },
}


def eventually(true: Callable[[], object], what: str, limit: float = 60.0) -> None:
    """Wait until `true` is; fails with `what` after `limit` seconds."""
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, f"not within {limit:.0f} s: {what}"
        threading.Event().wait(0.1)


@dataclass
class CommandLine:
    """The `isthmus` command with a state folder of its own."""

    home: Path
    name: str = "isthmus"
    extra: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, stdin: str = "", limit: float = 120.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ISTHMUS, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=limit,
            env=os.environ | {"XDG_STATE_HOME": str(self.home)} | self.extra,
            check=False,
        )

    def well(self, *words: str, stdin: str = "", limit: float = 120.0) -> str:
        """Run a command that must succeed, and return what it printed."""
        done = self(*words, stdin=stdin, limit=limit)
        assert done.returncode == 0, f"isthmus {' '.join(words)}: {done.stderr or done.stdout}"
        return done.stdout

    def kubectl(self, cluster: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Stock kubectl against one cluster of the set."""
        config = self.home / "isthmus" / self.name / "kubeconfig"
        return subprocess.run(
            [KUBECTL, f"--kubeconfig={config}", f"--context={cluster}", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def kubectl_well(self, cluster: str, *words: str, stdin: str = "") -> str:
        """Stock kubectl, where it must succeed."""
        done = self.kubectl(cluster, *words, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def units(self) -> dict[str, dict[str, object]]:
        """What `isthmus status` says, by process name."""
        return {unit["name"]: unit for unit in json.loads(self.well("status", "-o", "json", "--set", self.name))}

    def curl(self, cluster: str, url: str = URL) -> str:
        """One answer got by stock curl in the customer's pod; empty if there was none."""
        done = self.inside(cluster, "curl", "-sf", "--max-time", "2", url)
        return done.stdout if done.returncode == 0 else ""

    def answered(self, cluster: str, times: int) -> int:
        """How many of so many requests, one after the other, had an answer."""
        once = f"curl -sf --max-time 2 -o /dev/null {URL} && echo"
        return len(self.inside(cluster, "sh", "-c", f"for i in $(seq {times}); do {once}; done").stdout)

    def inside(self, cluster: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the customer's pod."""
        return self("exec", "--set", self.name, "-n", "prod", cluster, "customer", "--", *command)


@pytest.fixture(scope="package")
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the names of Unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="isthmus-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def isthmus(short_folder: Path) -> Iterator[CommandLine]:
    """A set of two clusters, up for all tests of the session, with namespace prod and a customer in west."""
    if reason := without_nodes():
        pytest.skip(f"no pods here: {reason}")
    isthmus = CommandLine(short_folder)
    isthmus.well("up", "--clusters", "east,west")
    isthmus.kubectl_well("west", "create", "namespace", "prod")
    isthmus.kubectl_well("west", "apply", "-f", "-", stdin=yaml.safe_dump(CUSTOMER))
    yield isthmus
    isthmus("down")


@pytest.fixture(scope="package")
def shop(isthmus: CommandLine) -> CommandLine:
    """The set with the shop of docs/shop.yaml exported from east, and answering in west."""
    manifest = Path(__file__).parents[2] / "docs" / "shop.yaml"
    isthmus.kubectl_well("east", "apply", "-f", str(manifest))
    eventually(lambda: isthmus.curl("west"), "the shop answers in west")
    return isthmus
