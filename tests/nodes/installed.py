"""Isthmus as its users install it: by its command line, from its own manifests and image."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.real.node import NodeCluster

ISTHMUS = Path(sys.executable).parent / "isthmus"
SET = "shared"
LIMIT = 240.0


def install(clusters: Sequence[NodeCluster]) -> None:
    """A hub in the first cluster, every cluster a member, its CoreDNS configured; safe to repeat."""
    hub = clusters[0]
    isthmus(hub, "install", "hub", f"--set={SET}", f"--members={','.join(cluster.name for cluster in clusters)}")

    def join(cluster: NodeCluster) -> None:
        credential = cluster.folder / "hub.kubeconfig"
        if not credential.exists():
            credential.write_text(isthmus(hub, "install", "credential", f"--set={SET}", f"--cluster={cluster.name}"))
        words = (f"--set={SET}", f"--cluster={cluster.name}", f"--hub-kubeconfig={credential}")
        isthmus(cluster, "install", "member", *words)
        isthmus(cluster, "dns", "configure")

    with ThreadPoolExecutor() as together:
        list(together.map(join, clusters))


def isthmus(cluster: NodeCluster, *words: str) -> str:
    """What an `isthmus` command that must succeed printed; it works on that cluster."""
    command = [str(ISTHMUS), *words, f"--kubeconfig={cluster.kubeconfig}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, f"isthmus {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout
