"""One embedded API server, spoken to in plain HTTP: what a client in any language would see."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aiohttp
import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver.app import APIServer, ServerOptions
from isthmus.kit.clock import SYSTEM, Clock

JSON, YAML = "application/json", "application/yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"

HOME = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
LIMIT = 10.0


@dataclass(frozen=True)
class Answer:
    code: int
    body: Manifest
    headers: dict[str, str]

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def names(self) -> list[str]:
        return [each["metadata"]["name"] for each in self.body["items"]]


class Api:
    """A caller with a client certificate."""

    def __init__(self, server: APIServer, session: aiohttp.ClientSession, tls: ssl.SSLContext) -> None:
        self.server = server
        self._session = session
        self._tls = tls

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        media: str = JSON,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        data = body if isinstance(body, (bytes, str)) or body is None else msgspec.json.encode(body)
        sent = {"Content-Type": media, "User-Agent": "tests/1"} | (headers or {})
        async with self._session.request(
            method, self.server.url + path, data=data, headers=sent, ssl=self._tls
        ) as response:
            text = await response.read()
            decoded = msgspec.json.decode(text) if text.startswith(b"{") else {"text": text.decode()}
            return Answer(response.status, cast("Manifest", decoded), dict(response.headers))

    @contextlib.asynccontextmanager
    async def watching(self, path: str, **headers: str) -> AsyncIterator["Events"]:
        async with self._session.get(self.server.url + path, headers=headers, ssl=self._tls) as response:
            yield Events(response)

    async def until(self, method: str, path: str, code: int) -> Answer:
        """Ask until the answer has that code."""
        async with asyncio.timeout(LIMIT):
            while (answer := await self(method, path)).code != code:
                await asyncio.sleep(0.01)
            return answer


class Events:
    """The lines of a watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.code = response.status
        self._response = response

    async def next(self) -> Manifest:
        async with asyncio.timeout(LIMIT):
            line = await self._response.content.readline()
        if not line:
            raise EOFError
        return cast("Manifest", msgspec.json.decode(line))

    async def told(self, count: int) -> list[tuple[str, str]]:
        """The next events: type and name."""
        events = [await self.next() for _ in range(count)]
        return [(each["type"], each["object"]["metadata"].get("name", "")) for each in events]

    async def ended(self) -> bool:
        async with asyncio.timeout(LIMIT):
            return await self._response.content.read() == b""


def client_tls(server: APIServer, folder: Path, user: str, groups: tuple[str, ...]) -> ssl.SSLContext:
    certificate, key = server.pki.client(user, groups)
    pem = folder / f"{user.replace(':', '-')}.pem"
    pem.write_bytes(certificate + key)
    tls = ssl.create_default_context(cafile=str(server.pki.ca))
    tls.load_cert_chain(pem)
    return tls


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    *,
    state: bool = False,
    window: int = 5000,
    kubelet: Path | None = None,
    advertised: tuple[tuple[str, int], ...] = (),
    clock: Clock = SYSTEM,
) -> AsyncIterator[Api]:
    """An API server of its own, and a caller who is `admin`."""
    options = ServerOptions(
        name="east",
        pki=folder / "pki",
        state=folder / "state.db" if state else None,
        service_ranges=("10.1.128.0/17", "fd69:1:1::/112"),
        window=window,
        kubelet_socket=kubelet,
        advertised=advertised,
    )
    connector = aiohttp.TCPConnector(limit=0)
    async with APIServer(options, clock=clock) as server, aiohttp.ClientSession(connector=connector) as session:
        yield Api(server, session, client_tls(server, folder, "admin", ("system:masters",)))


def config_map(name: str, **fields: object) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **fields}


def service(name: str, **spec: object) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], **spec},
    }


def pod(name: str, **spec: object) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "host"}], **spec},
    }


def widget(name: str, **fields: object) -> Manifest:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, **fields}


def widget_definition(**version: object) -> Manifest:
    schema: Manifest = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer", "minimum": 1, "default": 3},
                    "colour": {"type": "string"},
                },
            },
            "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
        },
    }
    served: Manifest = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
        **version,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [served, served | {"name": "v1beta1", "storage": False}],
        },
    }


def own_reference(owner: Manifest, **more: object) -> Manifest:
    """An ownerReference to an object as the server answered it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        **more,
    }


def decoded(text: str) -> bytes:
    return base64.b64decode(text)
