"""The same stories told of our controllers on an embedded cluster, and of Kubernetes' own on a real one."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from isthmus.api.core import NAMESPACES
from isthmus.api.meta import Object
from isthmus.api.scheme import Resource
from isthmus.errors import NotFound
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from isthmus.local.controllers.app import run_controllers
from tests.conftest import EMBEDDED, Planes
from tests.local.conftest import Around, Kubelet, Residents, embedded, eventually

NUMBERS = count(1)
ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", Object)


@pytest.fixture
async def around(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Around]:
    """A cluster with workload controllers, ours or the real ones, and a node that makes pods ready at once."""
    if kind == EMBEDDED:
        async with embedded(tmp_path) as around:
            around.tasks.create_task(run_controllers(around))
            Kubelet(around)
            yield around
        return
    planes: Planes = request.getfixturevalue("planes")
    kubeconfig = planes.get(0).kubeconfig
    namespace = f"workloads-{next(NUMBERS)}"
    async with Client(load_kubeconfig([kubeconfig])) as client, Residents() as tasks:
        await client.create(NAMESPACES, {"metadata": {"name": namespace}})

        async def takes_pods() -> bool:
            try:
                await client.get(ACCOUNTS, "default", namespace=namespace)
            except NotFound:
                return False
            return True

        await eventually(takes_pods)
        around = Around(client, tasks, kubeconfig, namespace=namespace)
        Kubelet(around)
        yield around
        await client.delete(NAMESPACES, namespace)
