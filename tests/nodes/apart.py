"""A hub apart from all members: an API server at an address that pods reach, and `isthmus hub` beside it."""

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from isthmus.install.workloads import MEMBER
from tests.nodes.installed import ISTHMUS, isthmus, join, uninstall
from tests.real.controlplane import ControlPlane, Place
from tests.real.node import NodeCluster

SET = "apart"


class Hub:
    """A control plane of its own, in the network namespace of a node."""

    def __init__(self, folder: Path, node: NodeCluster) -> None:
        enter = ("nsenter", f"--target={node.init}", "--net", "--")
        self.plane = ControlPlane(folder, number=99, place=Place(node.node_ip[0], enter))
        self._members: set[str] = set()
        self._controller: subprocess.Popen[bytes] | None = None

    def start(self, members: Sequence[str]) -> None:
        """Start everything, for members of those names."""
        self.plane.start()
        isthmus(self.plane, "install", "hub", f"--set={SET}", f"--members={','.join(members)}", "--no-wait")
        words = ["setpriv", "--pdeathsig", "KILL", str(ISTHMUS), "hub", f"--set={SET}"]
        with (self.plane.folder / "hub.log").open("ab") as log:
            self._controller = subprocess.Popen([*words, f"--kubeconfig={self.plane.kubeconfig}"], stderr=log)

    def take(self, nodes: Sequence[NodeCluster]) -> None:
        """Make clusters members, of whatever set they were before; those that are already stay so."""
        if joining := [node for node in nodes if node.name not in self._members]:
            uninstall(joining, MEMBER)
            with ThreadPoolExecutor() as together:
                list(together.map(self._admit, joining))
            self._members |= {node.name for node in joining}

    def _admit(self, cluster: NodeCluster) -> None:
        credential = self.plane.folder / f"{cluster.name}.kubeconfig"
        words = ("install", "credential", f"--set={SET}", f"--cluster={cluster.name}")
        credential.write_text(isthmus(self.plane, *words))
        join(cluster, SET, credential)

    def stop(self) -> None:
        """End everything."""
        if self._controller:
            self._controller.kill()
            self._controller.wait()
        self.plane.stop()
