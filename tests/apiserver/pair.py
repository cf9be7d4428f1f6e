"""An embedded server and a real one, told the same things: what they answer has to be the same."""

import asyncio
import base64
import contextlib
import difflib
import json
import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
import yaml

from isthmus.api.scheme import Manifest
from isthmus.apiserver.app import APIServer, ServerOptions
from tests.real.build import binary
from tests.real.controlplane import ControlPlane

JSON = "application/json"
MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
LIMIT = 20.0
# What two servers cannot agree on: identity, time, and the addresses they hand out.
OWN = ("uid", "resourceVersion", "creationTimestamp", "namespace", "selfLink")
MOMENTS = {"lastTransitionTime", "deletionTimestamp", "startTime"}
OWN_SPEC = {"Service": ("clusterIP", "clusterIPs"), "Pod": ("serviceAccount", "serviceAccountName")}


class Sender:
    """Sends requests to one server, with a client certificate."""

    def __init__(self, kubeconfig: Manifest, folder: Path) -> None:
        cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
        files = {
            name: _file(source, name, folder)
            for source in (cluster, user)
            for name in ("certificate-authority", "client-certificate", "client-key")
            if name in source or f"{name}-data" in source
        }
        self.url = cluster["server"]
        self._tls = ssl.create_default_context(cafile=files["certificate-authority"])
        self._tls.load_cert_chain(files["client-certificate"], files["client-key"])

    def send(self, method: str, path: str, body: object = None, media: str = JSON) -> tuple[int, Manifest]:
        """The code and the object that came back."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Content-Type", media)
        request.add_header("User-Agent", "tests/1")
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=LIMIT) as answer:
                return answer.status, cast("Manifest", json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, cast("Manifest", json.loads(text) if text.startswith(b"{") else {"message": text})


def _file(source: Manifest, name: str, folder: Path) -> str:
    if name in source:
        return str(source[name])
    path = folder / name
    path.write_bytes(base64.b64decode(source[f"{name}-data"]))
    return str(path)


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[Sender]:
    """An embedded server in a thread of its own."""
    ready, servers = threading.Event(), []

    async def serve(stop: asyncio.Event) -> None:
        async with APIServer(ServerOptions("pair", folder)) as server:
            servers.append((server, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve(asyncio.Event())), daemon=True)
    thread.start()
    if not ready.wait(LIMIT):
        raise TimeoutError("the embedded server did not start")
    server, loop, stop = servers[0]
    try:
        yield Sender(server.kubeconfig(), folder)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(LIMIT)


@dataclass
class Pair:
    """Both servers. `send` asks both and fails where they differ."""

    ours: Sender
    theirs: Sender
    told: list[str] = field(default_factory=list, repr=False)

    def send(self, method: str, path: str, body: object = None, media: str = JSON) -> Manifest:
        """What both answered, without what is each server's own."""
        sent = body.decode() if isinstance(body, bytes) else json.dumps(body)
        self.told.append(f"{method} {path} {media}\n  {sent[:2000]}")
        ours, theirs = (comparable(*each.send(method, path, body, media)) for each in (self.ours, self.theirs))
        if ours != theirs:
            self.fail(ours, theirs)
        return ours

    def refuse(self, method: str, path: str, body: object = None, media: str = JSON) -> None:
        """Both refuse, with codes of one class; the real server's words show Go values."""
        self.told.append(f"{method} {path} {media}\n  {str(body)[:2000]}")
        ours, theirs = (comparable(*each.send(method, path, body, media)) for each in (self.ours, self.theirs))
        if ours["code"] // 100 != theirs["code"] // 100 or ours["code"] < 400:
            self.fail(ours, theirs)

    def fail(self, ours: Manifest, theirs: Manifest) -> None:
        """Say what was told last, and both answers."""
        left, right = (json.dumps(each, sort_keys=True, indent=1).splitlines() for each in (ours, theirs))
        lines = list(difflib.unified_diff(left, right, "ours", "theirs", n=1, lineterm=""))
        pytest.fail("\n".join([*self.told[-2:], *lines[:60]]), pytrace=False)


def timeless(value: object) -> object:
    """The value with every moment replaced: two servers write theirs a second apart."""
    if isinstance(value, dict):
        return {key: "some time" if key in MOMENTS and member else timeless(member) for key, member in value.items()}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def comparable(code: int, obj: Manifest) -> Manifest:
    """An answer without identity, times and addresses; Statuses as code, reason, sentence and causes."""
    if obj.get("kind") == "Status" and code >= 400:
        details = obj.get("details") or {}
        return {
            "code": code,
            "reason": obj.get("reason"),
            # Kubernetes lists what it finds in maps in no order.
            "message": sorted(re.split(r", |\[|\]", str(obj.get("message")))),
            "causes": sorted(details.get("causes") or (), key=lambda cause: json.dumps(cause, sort_keys=True)),
        }
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key not in OWN}
    if metadata.get("managedFields"):
        entries = [{key: each[key] for key in each if key != "time"} for each in metadata["managedFields"]]
        metadata["managedFields"] = sorted(entries, key=lambda each: json.dumps(each, sort_keys=True))
    shown = {**obj, "code": code, "metadata": metadata}
    if "spec" in obj and obj.get("kind") in OWN_SPEC:
        own = OWN_SPEC[obj["kind"]]
        shown["spec"] = {key: value for key, value in obj["spec"].items() if key not in own}
    return cast("Manifest", timeless(shown))


def read_kubeconfig(path: Path) -> Manifest:
    """The kubeconfig in a file."""
    return cast("Manifest", yaml.safe_load(path.read_text()))


@contextlib.contextmanager
def pair_of(folder: Path, namespace: str) -> Iterator[Pair]:
    """Both servers, with a namespace of that name on each. Skips where there is no real one.

    The real one runs without controllers, which would change what the tests look at.
    """
    if not binary().exists():
        pytest.skip("no real control plane here. Type: make real")
    for name in ("ours", "theirs", "plane"):
        (folder / name).mkdir()
    plane = ControlPlane(folder / "plane", server_args=["--disable-admission-plugins=ServiceAccount"])
    try:
        plane.start_etcd()
        plane.start_server()
        theirs = Sender(read_kubeconfig(plane.kubeconfig), folder / "theirs")
        with embedded(folder / "ours") as ours:
            for each in (ours, theirs):
                each.send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
            yield Pair(ours, theirs)
    finally:
        plane.stop()
