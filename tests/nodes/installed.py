"""Isthmus as its users install it: by its command line, from its own manifests and image."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.real.controlplane import ControlPlane
from tests.real.images import IMAGE
from tests.real.node import NodeCluster

ISTHMUS = Path(sys.executable).parent / "isthmus"
SET = "shared"
LIMIT = 240.0


def install(clusters: Sequence[NodeCluster], *, image: str = IMAGE) -> None:
    """A hub in the first cluster, every cluster a member, its CoreDNS configured; safe to repeat."""
    hub = clusters[0]
    members = ",".join(cluster.name for cluster in clusters)
    isthmus(hub, "install", "hub", f"--set={SET}", f"--members={members}", f"--image={image}")

    def admit(cluster: NodeCluster) -> None:
        credential = credential_of(cluster)
        if not credential.exists():
            credential.write_text(isthmus(hub, "install", "credential", f"--set={SET}", f"--cluster={cluster.name}"))
        join(cluster, SET, credential, image=image)

    with ThreadPoolExecutor() as together:
        list(together.map(admit, clusters))


def credential_of(cluster: NodeCluster) -> Path:
    """Where a member's way to the hub is kept for the next installation."""
    return cluster.folder / "hub.kubeconfig"


def join(cluster: NodeCluster, cluster_set: str, credential: Path, *, image: str = IMAGE) -> None:
    """Make it a member, and have its CoreDNS ask Isthmus."""
    words = (f"--set={cluster_set}", f"--cluster={cluster.name}", f"--hub-kubeconfig={credential}", f"--image={image}")
    isthmus(cluster, "install", "member", *words)
    isthmus(cluster, "dns", "configure")


def uninstall(clusters: Sequence[NodeCluster], part: str, *words: str) -> None:
    """Take a part off these clusters."""

    def leave(cluster: NodeCluster) -> None:
        isthmus(cluster, "install", "uninstall", part, "--yes", *words)

    with ThreadPoolExecutor() as together:
        list(together.map(leave, clusters))


def isthmus(cluster: "NodeCluster | ControlPlane", *words: str) -> str:
    """What an `isthmus` command that must succeed printed; it works on that cluster."""
    command = [str(ISTHMUS), *words, f"--kubeconfig={cluster.kubeconfig}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, f"isthmus {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout
