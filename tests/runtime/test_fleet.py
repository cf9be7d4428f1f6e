"""Clusters that come and go while control loops run."""

import asyncio
from pathlib import Path

from isthmus.api.core import NAMESPACES
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer
from isthmus.runtime.controller import Controller
from isthmus.runtime.fleet import Cluster, Fleet
from isthmus.runtime.manager import Manager
from isthmus.runtime.reconcile import Done, Request
from isthmus.runtime.source import Source, each
from isthmus.testing.cluster import EmbeddedHost, TestCluster
from isthmus.testing.waiting import eventually


async def test_one_control_loop_serves_clusters_as_they_come_and_go(tmp_path: Path) -> None:
    asked: set[Request] = set()

    async def reconcile(request: Request) -> Done:
        asked.add(request)
        return Done()

    def watch(controller: Controller, cluster: Cluster) -> None:
        for informer in cluster.informers:
            assert isinstance(informer, Informer)
            controller.watch(Source(informer, each(lambda item: [Request(cluster.name, "", item.metadata.name)])))

    manager = Manager(Fleet())
    manager.add(Controller("namespaces", reconcile), watch)
    async with (
        TestCluster("east", EmbeddedHost("east", tmp_path, 1)) as east,
        TestCluster("west", EmbeddedHost("west", tmp_path, 2)) as west,
        asyncio.TaskGroup() as tasks,
    ):
        manager.fleet.engage(engaged("east", east.client))
        running = tasks.create_task(manager.run())
        await eventually(lambda: has(asked, Request("east", "", "default")))
        manager.fleet.engage(engaged("west", west.client))
        await eventually(lambda: has(asked, Request("west", "", "default")))
        manager.fleet.disengage("east")
        await east.namespace("too-late")
        await west.namespace("in-time")
        await eventually(lambda: has(asked, Request("west", "", "in-time")))
        assert Request("east", "", "too-late") not in asked
        assert set(manager.fleet.clusters) == {"west"}
        running.cancel()


def engaged(name: str, client: Client) -> Cluster:
    return Cluster(name, client, (Informer(client, NAMESPACES),))


async def has(asked: set[Request], request: Request) -> bool:
    return request in asked
