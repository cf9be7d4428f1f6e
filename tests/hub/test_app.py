"""The hub's controller as a process."""

import asyncio
from pathlib import Path

import pytest

from isthmus.api.core import NAMESPACES
from isthmus.api.isthmus import MEMBERS_NAMESPACE, SET_LABEL
from isthmus.errors import Invalid
from isthmus.hub.app import HubOptions, run
from isthmus.testing.cluster import EmbeddedHost, TestCluster
from isthmus.testing.waiting import eventually


async def test_a_hub_prepares_an_empty_cluster_even_one_that_comes_later(tmp_path: Path) -> None:
    host = EmbeddedHost("hub", tmp_path, 0)
    async with TestCluster("hub", host) as hub, asyncio.TaskGroup() as tasks:
        await host.stop()
        running = tasks.create_task(run(HubOptions(host.kubeconfig, "shops")))
        await host.start()

        async def prepared() -> bool:
            namespace = await hub.client.get(NAMESPACES, "shops")
            await hub.client.get(NAMESPACES, MEMBERS_NAMESPACE)
            return namespace.metadata.labels[SET_LABEL] == "shops"

        await eventually(prepared, within=20)
        running.cancel()


async def test_a_set_whose_namespace_is_anothers_is_refused(tmp_path: Path) -> None:
    host = EmbeddedHost("hub", tmp_path, 0)
    async with TestCluster("hub", host) as hub:
        await hub.namespace("shops")
        with pytest.raises(Invalid, match="not ours"):
            await run(HubOptions(host.kubeconfig, "shops"))
        with pytest.raises(Invalid, match="cluster set"):
            await run(HubOptions(host.kubeconfig, "The Shops"))
