"""A real control plane whose parts are reached by roads that can be closed."""

import json
import shutil
import urllib.request
from collections.abc import Callable, Coroutine
from pathlib import Path

import yaml

from isthmus.api.scheme import Manifest
from tests.faults.relay import Relay, Relays
from tests.real.controlplane import ControlPlane

ETCD, SERVER = "etcd", "kube-apiserver"


class Plane(ControlPlane):
    """etcd and kube-apiserver, with a road between them, and one for everybody who calls the API server.

    It has no kube-controller-manager: endpoints are written by hand, and nothing else of its work is needed.
    """

    def __init__(self, folder: Path, relays: Relays, *, number: int) -> None:
        super().__init__(folder, number=number)
        self._relays = relays
        self._to_store = relays.to(self.client_port)
        self.roads: dict[str, Relay] = {}

    def start(self) -> None:
        """Start both and wait until the API server is ready."""
        self.start_etcd()
        self.start_server()

    def start_server(self) -> None:
        """Start kube-apiserver, with the road to its etcd."""
        direct, self.client_port = self.client_port, self._to_store.port
        try:
            super().start_server()
        finally:
            self.client_port = direct

    def restart(self, part: str) -> None:
        """Start a part that was killed."""
        self.start_etcd() if part == ETCD else self.start_server()

    def back_up(self) -> None:
        """Keep a copy of all that etcd holds; both are away meanwhile."""
        self.stop()
        shutil.copytree(self.folder / "etcd", self.folder / "backup")
        self.start()

    def restore(self) -> None:
        """Go back to the copy."""
        self.stop()
        shutil.rmtree(self.folder / "etcd")
        (self.folder / "backup").rename(self.folder / "etcd")
        self.start()

    def compact(self) -> None:
        """Have etcd forget all former versions."""
        revision = self._ask_store("maintenance/status", {})["header"]["revision"]
        self._ask_store("kv/compaction", {"revision": revision, "physical": True})

    def _ask_store(self, path: str, question: Manifest) -> Manifest:
        body = json.dumps(question).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.client_port}/v3/{path}", body, timeout=10) as answer:
            answered: Manifest = json.load(answer)
            return answered

    def road_of(self, caller: str, user: str) -> Path:
        """A kubeconfig for `user`, by a road of the caller's own."""
        road = self.roads[caller] = self._relays.to(self.port)
        path = self.kubeconfig_of(user)
        config = yaml.safe_load(path.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{road.port}"
        own = path.with_name(f"{caller}-by-road.kubeconfig")
        own.write_text(yaml.safe_dump(config))
        return own

    def cut(self, part: str, way: Callable[[Relay], Coroutine[object, object, None]]) -> None:
        """Have all roads to a part go that `way`: `Relay.swallow`, `Relay.refuse` or `Relay.heal`."""
        for road in [self._to_store] if part == ETCD else self.roads.values():
            self._relays.do(way(road))

    def cut_road(self, caller: str, way: Callable[[Relay], Coroutine[object, object, None]]) -> None:
        """Have one caller's road go that `way`."""
        self._relays.do(way(self.roads[caller]))
