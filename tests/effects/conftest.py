"""One set of two clusters with real pods: policies are shown by where requests arrive, counted."""

import json
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import yaml

from isthmus.api.scheme import Manifest
from isthmus.local.launch import without_nodes
from tests.end_to_end.conftest import CommandLine, eventually, short_folder

__all__ = ["short_folder"]

NAMESPACE: Final = "prod"
# Says who it is to every request.
PROGRAM: Final = """
import http.server, os, socket
class Who(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["WHO"].encode())
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(("::", 8080), Who).serve_forever()
"""
NOBODY: Final = "nobody"


@dataclass(frozen=True)
class Stage:
    """East and west, each with a pod that answers "east" or "west", and one that asks."""

    isthmus: CommandLine

    def apply(self, cluster: str, *manifests: Manifest) -> None:
        """What `kubectl apply` does."""
        self.isthmus.kubectl_well(cluster, "apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def offer(self, name: str, *clusters: str, **spec: object) -> None:
        """Have these clusters export a Service of that name before their pods, the first of them being the oldest."""
        for cluster in clusters:
            self.apply(cluster, service(name, **spec), service_export(name))
            self.wait_exporters(name, clusters[: clusters.index(cluster) + 1])

    def wait_exporters(self, name: str, clusters: tuple[str, ...]) -> None:
        """Until both clusters have the import of just these, and their agents have said so."""
        for where in ("east", "west"):
            self.wait_exporters_in(where, name, clusters)

    def wait_exporters_in(self, where: str, name: str, clusters: tuple[str, ...]) -> None:
        """The same, in one of them."""
        eventually(lambda: self.exporters(where, name) == set(clusters), f"{name} of {clusters} in {where}")

    def exporters(self, where: str, name: str) -> set[str]:
        """The clusters that an import comes from; none while it is not ready."""
        done = self.isthmus.kubectl(where, "get", "svcim", name, "-n", NAMESPACE, "-o", "json")
        status = json.loads(done.stdout).get("status", {}) if done.returncode == 0 else {}
        is_ready = any((each["type"], each["status"]) == ("Ready", "True") for each in status.get("conditions", ()))
        return {each["cluster"] for each in status.get("clusters", ())} if is_ready else set()

    def ready(self, where: str, name: str) -> str:
        """What the import says of itself."""
        text = self.isthmus.kubectl_well(where, "get", "svcim", name, "-n", NAMESPACE, "-o", "json")
        (message,) = [each["message"] for each in json.loads(text)["status"]["conditions"] if each["type"] == "Ready"]
        return str(message)

    def inside(self, where: str, command: str) -> str:
        """What a command prints in the pod that asks there."""
        pod = ("exec", "--set", self.isthmus.name, "-n", NAMESPACE, where, "client", "--")
        return self.isthmus(*pod, "sh", "-c", command).stdout

    def asked(
        self, where: str, name: str, *, times: int = 12, zone: str = "clusterset.local", port: int = 80
    ) -> Counter[str]:
        """Who answered so many requests from there, each over a connection of its own."""
        url = shlex.quote(f"http://{name}.{NAMESPACE}.svc.{zone}:{port}/")
        once = f"curl -sf --max-time 2 {url} || printf {NOBODY}; echo"
        return Counter(self.inside(where, f"for i in $(seq {times}); do {once}; done").split())

    def wait_asked(
        self,
        where: str,
        name: str,
        wanted: set[str],
        *,
        times: int = 12,
        zone: str = "clusterset.local",
        port: int = 80,
    ) -> None:
        """Until just these answer there, all of them."""
        eventually(
            lambda: set(self.asked(where, name, times=times, zone=zone, port=port)) == wanted,
            f"{name} asked in {where}: {wanted}",
        )

    def label_node(self, cluster: str, **labels: str) -> None:
        """Put a cluster's node into a zone and a region."""
        words = [f"topology.kubernetes.io/{key}={value}" for key, value in labels.items()]
        self.isthmus.kubectl_well(cluster, "label", "node", f"{cluster}-node", "--overwrite", *words)

    def scale(self, cluster: str, replicas: int) -> None:
        """Have so many pods answer there."""
        self.isthmus.kubectl_well(cluster, "scale", "deployment/who", "-n", NAMESPACE, f"--replicas={replicas}")


def service(name: str, **spec: object) -> Manifest:
    """A Service before the pods that say who they are."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": "who"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}], **spec},
    }


def service_export(name: str) -> Manifest:
    """Its export."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "multicluster.x-k8s.io/v1beta1", "kind": "ServiceExport", "metadata": metadata}


def deployment(cluster: str) -> Manifest:
    """A pod that says which cluster it is in."""
    container = {
        "name": "who",
        "image": "host",
        "command": ["python3", "-c", PROGRAM],
        "env": [{"name": "WHO", "value": cluster}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    labels = {"app": "who"}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "who", "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def client() -> Manifest:
    """A pod that asks."""
    container = {"name": "client", "image": "host", "command": ["sleep", "infinity"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "client", "namespace": NAMESPACE},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }


@pytest.fixture(scope="package")
def stage(short_folder: Path) -> Iterator[Stage]:
    """The set, up for all of these tests."""
    if reason := without_nodes():
        pytest.skip(f"no pods here: {reason}")
    isthmus = CommandLine(short_folder, name="effects")
    try:
        isthmus.well("up", "--clusters", "east,west", "--set", "effects")
        stage = Stage(isthmus)
        for cluster in ("east", "west"):
            isthmus.kubectl_well(cluster, "create", "namespace", NAMESPACE)
            stage.apply(cluster, deployment(cluster), client(), service("who"))
        for cluster in ("east", "west"):
            stage.wait_asked(cluster, "who", {cluster}, zone="cluster.local")
        yield stage
    finally:
        isthmus("down", "--set", "effects")
