"""Writes the table of default roles and bindings, from what a real API server makes at its first start.

    python -m tests.real.roles

The table goes to src/isthmus/apiserver/roles.json.
"""

import json
import tempfile
from pathlib import Path

from isthmus.api.scheme import Manifest
from tests.apiserver.pair import Sender, read_kubeconfig
from tests.real.controlplane import ControlPlane

TARGET = Path(__file__).parents[2] / "src" / "isthmus" / "apiserver" / "roles.json"
GROUP = "/apis/rbac.authorization.k8s.io/v1"
# Those of controllers that embedded clusters do not have.
LEFT_OUT = "system:controller:"


def roles(server: Sender) -> dict[str, list[Manifest]]:
    """All default cluster roles and their bindings, without what differs from cluster to cluster."""
    return {plural: _listed(server, plural) for plural in ("clusterroles", "clusterrolebindings")}


def _listed(server: Sender, plural: str) -> list[Manifest]:
    found = server.send("GET", f"{GROUP}/{plural}")[1]["items"]
    return [bare(each) for each in found if not each["metadata"]["name"].startswith(LEFT_OUT)]


def bare(obj: Manifest) -> Manifest:
    """What the object says, its gathered rules left out."""
    metadata = {key: obj["metadata"][key] for key in ("name", "labels", "annotations") if key in obj["metadata"]}
    parts = {key: obj[key] for key in ("aggregationRule", "roleRef", "rules", "subjects") if obj.get(key)}
    if "aggregationRule" in parts:
        parts.pop("rules", None)
    return {"metadata": metadata, **parts}


def main() -> None:
    """Start a server, ask it, write the table, stop the server."""
    with tempfile.TemporaryDirectory() as folder:
        plane = ControlPlane(Path(folder))
        try:
            plane.start_etcd()
            plane.start_server()
            table = roles(Sender(read_kubeconfig(plane.kubeconfig), Path(folder)))
        finally:
            plane.stop()
    TARGET.write_text(json.dumps(table, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
