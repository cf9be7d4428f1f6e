"""Two node clusters with pods, shared by all tests here; Isthmus runs in them as pods, from its own manifests."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from isthmus.api.core import NAMESPACES
from isthmus.testing.cluster import BY_HAND
from tests.nodes import pods
from tests.nodes.installed import install
from tests.nodes.site import CLIENT, Site
from tests.real.nodes import Clusters

HERE = Path(__file__).parent
BACKENDS = {"east": ("east-1", "east-2"), "west": ("west-1",)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters are started by whichever test is first: they have bounds of their own."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(120, func_only=True))


@pytest.fixture(scope="session")
def shop(node_clusters: Clusters) -> Iterator[str]:
    """A namespace in both clusters: in each a pod `client`, and behind the label `app: shop` east-1, east-2, west-1."""
    namespace = f"shop-{secrets.token_hex(3)}"
    sites = [Site(node) for node in node_clusters.get(*BACKENDS)]

    async def open_up() -> None:
        async with asyncio.TaskGroup() as tasks:
            for site in sites:
                tasks.create_task(furnish(site, namespace), name=f"furnish {site.name}")

    async def close_down() -> None:
        for site in sites:
            async with site:
                await site.client.delete(NAMESPACES, namespace)

    asyncio.run(open_up())
    yield namespace
    asyncio.run(close_down())


@pytest.fixture(scope="session")
def prod(node_clusters: Clusters, shop: str) -> str:
    """The same namespace, with Isthmus at work: east and west are members of one set, whose hub is in east."""
    install(node_clusters.get(*BACKENDS))
    return shop


async def furnish(site: Site, namespace: str) -> None:
    async with Site(site.node) as here:
        await here.client.apply(NAMESPACES, {"metadata": {"name": namespace}}, options=BY_HAND)
        backends = [pods.answering(namespace, name, {"app": "shop"}) for name in BACKENDS[here.name]]
        await here.make(namespace, pods.asking(namespace, CLIENT), *backends)


@pytest.fixture
async def east(node_clusters: Clusters) -> AsyncIterator[Site]:
    """The cluster that most tests export from."""
    async with Site(node_clusters.get("east", "west")[0]) as site:
        yield site


@pytest.fixture
async def west(node_clusters: Clusters) -> AsyncIterator[Site]:
    """The other one."""
    async with Site(node_clusters.get("east", "west")[1]) as site:
        yield site
