"""A client on each kind of cluster, and a namespace of its own for each test."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from isthmus.api import core
from isthmus.apiserver.app import APIServer, ServerOptions
from isthmus.kube.client import Client
from isthmus.kube.config import Config, load_kubeconfig
from tests.conftest import EMBEDDED, Planes


@pytest.fixture
async def config(kind: str, planes: Planes, tmp_path: Path) -> AsyncIterator[Config]:
    if kind != EMBEDDED:
        yield load_kubeconfig([planes.get(0).kubeconfig])
        return
    async with APIServer(ServerOptions(name="east", pki=tmp_path / "pki")) as server:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(server.kubeconfig()))
        yield load_kubeconfig([kubeconfig])


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Client]:
    async with Client(config) as client:
        yield client


@pytest.fixture
async def namespace(client: Client) -> str:
    name = f"test-{uuid.uuid4().hex[:8]}"
    await client.create(core.NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name
