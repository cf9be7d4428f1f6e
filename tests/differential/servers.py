"""The two servers, and what it takes to play a sequence to either of them."""

import asyncio
import base64
import contextlib
import http.client
import json
import re
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from isthmus.api.scheme import Manifest
from isthmus.apiserver.app import APIServer, ServerOptions
from isthmus.apiserver.kinds import BUILT_IN
from tests.differential import openapi
from tests.differential.plain import Plain
from tests.differential.steps import COMPACT, Sequence, Step
from tests.real.controlplane import ControlPlane

LIMIT = 30.0
RANGES = ("10.1.128.0/17", "fd69:1:1::/112")
# Headers that clients read.
HEADERS = ("Content-Type", "Warning", "Retry-After", "Cache-Control", "Vary")
# What an embedded server says of kinds that nothing acts on there.
WITHOUT_EFFECT = re.compile(r'(, )?299 - "nothing acts on [^"]*"')
PLACE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Answer:
    """What came back: the code, the headers of note, and the body or the lines of a watch."""

    code: int
    headers: Mapping[str, str]
    body: object

    @property
    def content(self) -> object:
        """The answer as one value."""
        return {"code": self.code, "headers": dict(self.headers), "body": self.body}


@dataclass(frozen=True)
class Played:
    """One step's answer, made comparable."""

    shown: object


@dataclass
class Server:
    """One API server, spoken to with a client certificate over one kept connection."""

    url: str
    kubeconfig: Path
    tls: ssl.SSLContext
    forget: Callable[[], None]
    kinds: frozenset[str] = frozenset()
    _connection: http.client.HTTPSConnection | None = field(default=None, repr=False)

    def connection(self, *, bare: bool = False) -> http.client.HTTPSConnection:
        """A new connection; a bare one shows no certificate, for who has a token."""
        host, port = self.url.removeprefix("https://").split(":")
        tls = self._without_certificate() if bare else self.tls
        return http.client.HTTPSConnection(host, int(port), timeout=LIMIT, context=tls)

    def _without_certificate(self) -> ssl.SSLContext:
        cluster = yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]
        text = base64.b64decode(cluster.get("certificate-authority-data", "")).decode()
        return ssl.create_default_context(cafile=cluster.get("certificate-authority"), cadata=text or None)

    def send(self, step: Step, kept: Mapping[str, str]) -> Answer:
        """Send one request; an idle connection that the server closed is made anew."""
        if step.method == COMPACT:
            self.forget()
            return Answer(200, {}, "")
        if step.events or "Authorization" in step.headers:
            connection = self.connection(bare="Authorization" in step.headers)
            try:
                return _answer(connection, step, kept)
            finally:
                connection.close()
        for _ in range(2):
            self._connection = self._connection or self.connection()
            try:
                return _answer(self._connection, step, kept)
            except (http.client.HTTPException, ConnectionError):
                self._connection.close()
                self._connection = None
        raise TimeoutError(f"{self.url} does not answer {step}")

    def play(self, sequence: Sequence) -> list[Played]:
        """The answers to all steps, one after the other."""
        kept = {"ns": sequence.namespace}
        plain, played = Plain(kept), []
        for step in sequence.steps:
            answer = self._asked(step, kept)
            for name, path in step.keep.items():
                kept[name] = str(at(answer.body, path))
            played.append(Played(None if step.unseen else plain.value(answer.content)))
        return played

    def _asked(self, step: Step, kept: Mapping[str, str]) -> Answer:
        limit = time.monotonic() + LIMIT
        while True:
            answer = self.send(step, kept)
            if step.until is None or _is_met(step.until, answer):
                return answer
            if time.monotonic() > limit:
                raise TimeoutError(f"{self.url}: not {step.until} within {LIMIT:.0f} s: {step.path}: {answer}")
            time.sleep(0.02)

    def make(self, namespace: str) -> None:
        """Make a namespace."""
        self.send(Step("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}}, "application/json"), {})

    def furnished(self, namespace: str) -> None:
        """Wait until a namespace has what pods need."""
        until = Step("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default", until=200)
        self._asked(until, {})
        self._asked(Step("GET", f"/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt", until=200), {})


def _is_met(until: object, answer: Answer) -> bool:
    if isinstance(until, int):
        return answer.code == until
    assert isinstance(until, tuple)
    if until[0] == "Warning":
        return until[1] in answer.headers.get("Warning", "")
    return bool(at(answer.body, until[0]) == until[1])


def at(value: object, path: str) -> object:
    """What is at a dotted path of a JSON value; None where there is nothing."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.lstrip("-").isdigit():
            value = value[int(step)] if -len(value) <= int(step) < len(value) else None
        else:
            return None
    return value


def filled(value: object, kept: Mapping[str, str]) -> object:
    """The value with `${name}` exchanged for what was kept under that name."""
    if isinstance(value, str):
        return PLACE.sub(lambda found: kept[found[1]], value)
    if isinstance(value, dict):
        return {filled(key, kept): filled(member, kept) for key, member in value.items()}
    return [filled(item, kept) for item in value] if isinstance(value, list) else value


def _bytes(body: object, kept: Mapping[str, str]) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    found = filled(body, kept)
    return found.encode() if isinstance(found, str) else json.dumps(found).encode()


def _answer(connection: http.client.HTTPSConnection, step: Step, kept: Mapping[str, str]) -> Answer:
    headers = {"User-Agent": "tests/1", "Accept": "application/json", **step.headers}
    if step.media:
        headers["Content-Type"] = step.media
    path = str(filled(step.path, kept)).replace(" ", "%20")
    connection.request(
        step.method, path, _bytes(step.body, kept), {k: str(filled(v, kept)) for k, v in headers.items()}
    )
    response = connection.getresponse()
    told = {name: ", ".join(response.headers.get_all(name, ())) for name in HEADERS if name in response.headers}
    if remaining := WITHOUT_EFFECT.sub("", told.pop("Warning", "")):
        told["Warning"] = remaining
    if step.events and response.status == 200:
        return Answer(response.status, told, _lines(response, step.events))
    return Answer(response.status, told, _decoded(response.read(), told.get("Content-Type", "")))


def _lines(response: http.client.HTTPResponse, count: int) -> list[object]:
    found: list[object] = []
    with contextlib.suppress(TimeoutError):
        while len(found) < count and (line := response.readline()):
            found.append(json.loads(line))
    return found


def _decoded(text: bytes, media: str) -> object:
    if "yaml" in media:
        return served(yaml.safe_load(text))
    if text.startswith(b'{"paths":') or ("json" in media and text):
        return served(json.loads(text))
    return text.decode(errors="replace")


def served(document: object) -> object:
    """A document of discovery without the groups and kinds that the embedded server leaves out."""
    if not isinstance(document, dict):
        return document
    if "openapi" in document:
        return openapi.document(document)
    if list(document) == ["paths"] and isinstance(document["paths"], dict):
        return openapi.index(document)
    if document.get("kind") == "APIGroupList":
        groups = {group for group, _ in SERVED}
        return {**document, "groups": sorted((g for g in document["groups"] if g["name"] in groups), key=str)}
    if document.get("kind") == "APIGroupDiscoveryList":
        return {**document, "items": [kept for each in document["items"] if (kept := _served_group(each))["versions"]]}
    if document.get("kind") == "APIResourceList":
        group, _, _version = str(document["groupVersion"]).rpartition("/")
        listed = [each for each in document["resources"] if (group, each["name"].partition("/")[0]) in SERVED]
        # Ways into pods and services that go by way of the API server.
        return {**document, "resources": [each for each in listed if each["name"].rpartition("/")[2] not in LEFT_OUT]}
    return document


def _served_group(group: Manifest) -> Manifest:
    kept: list[Manifest]
    name = group["metadata"].get("name", "")
    versions: list[Manifest] = []
    for version in group["versions"]:
        kept = [each for each in version["resources"] if (name, each["resource"]) in SERVED]
        for each in kept:
            each["subresources"] = sorted(filter(_is_kept, each.get("subresources", ())), key=str)
        versions += [{**version, "resources": sorted(kept, key=str)}] if kept else []
    return {**group, "versions": versions}


def _is_kept(subresource: Manifest) -> bool:
    return subresource["subresource"] not in LEFT_OUT


SERVED = frozenset((kind.group, kind.plural) for kind in BUILT_IN)
LEFT_OUT = frozenset({"proxy", "resize"})


def client_tls(config: Manifest, folder: Path) -> ssl.SSLContext:
    """TLS with what a kubeconfig says."""
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    files = {}
    for source in (cluster, user):
        for name in ("certificate-authority", "client-certificate", "client-key"):
            if name in source:
                files[name] = str(source[name])
            elif f"{name}-data" in source:
                (folder / name).write_bytes(base64.b64decode(source[f"{name}-data"]))
                files[name] = str(folder / name)
    context = ssl.create_default_context(cafile=files["certificate-authority"])
    context.load_cert_chain(files["client-certificate"], files["client-key"])
    return context


class Judge(ControlPlane):
    """A real control plane with no more controllers than an API server of ours has inside."""

    CONTROLLERS = (
        *("namespace", "garbage-collector", "serviceaccount", "root-ca-certificate-publisher"),
        "clusterrole-aggregation",
    )

    def start_manager(self) -> None:
        """Start kube-controller-manager with those few."""
        config = self.kubeconfig_of("system:kube-controller-manager")
        self._run(
            "kube-controller-manager",
            *(f"--kubeconfig={config}", "--leader-elect=false", f"--secure-port={self.manager_port}"),
            *(
                "--bind-address=127.0.0.1",
                "--use-service-account-credentials=true",
                f"--cert-dir={self.folder / 'manager'}",
            ),
            *(f"--root-ca-file={self.folder / 'ca.crt'}", "--concurrent-namespace-syncs=10"),
            f"--service-account-private-key-file={self.folder / 'sa.key'}",
            f"--controllers={','.join(f'{each}-controller' for each in self.CONTROLLERS)}",
        )

    def compact(self) -> None:
        """Have etcd forget all versions but the latest."""
        etcd = f"http://127.0.0.1:{self.client_port}/v3/kv"

        def ask(what: str, body: Manifest) -> Manifest:
            request = urllib.request.Request(f"{etcd}/{what}", data=json.dumps(body).encode(), method="POST")
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                found: Manifest = json.loads(answer.read())
                return found

        revision = ask("range", {"key": base64.b64encode(b"none").decode()})["header"]["revision"]
        # Where kube-apiserver's own compactor writes how far it went: its caches forget what was before.
        marker = {"key": b"compact_rev_key", "value": str(revision).encode()}
        ask("put", {name: base64.b64encode(value).decode() for name, value in marker.items()})
        ask("compaction", {"revision": revision, "physical": True})


@contextlib.contextmanager
def real(folder: Path) -> Iterator[Server]:
    """A real control plane."""
    plane = Judge(folder / "plane")
    try:
        plane.start()
        config = yaml.safe_load(plane.kubeconfig.read_text())
        yield Server(plane.server, plane.kubeconfig, client_tls(config, folder), plane.compact)
    finally:
        plane.stop()


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[Server]:
    """An embedded server in a thread of its own."""
    ready, servers = threading.Event(), []

    async def serve(stop: asyncio.Event) -> None:
        options = ServerOptions("judged", folder / "pki", service_ranges=RANGES)
        async with APIServer(options) as server:
            servers.append((server, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve(asyncio.Event())), daemon=True)
    thread.start()
    if not ready.wait(LIMIT):
        raise TimeoutError("the embedded server did not start")
    server, loop, stop = servers[0]

    def forget() -> None:
        for collection in server.storage.collections():
            loop.call_soon_threadsafe(collection.window.restart, server.storage.revision)

    config = server.kubeconfig()
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    try:
        yield Server(server.url, kubeconfig, client_tls(config, folder), forget)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(LIMIT)
