"""What an agent reads of its set."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from isthmus.api.isthmus import EXPORTED_SERVICES
from isthmus.api.scheme import Manifest
from isthmus.hub.bootstrap import NewMember, bootstrap_hub
from isthmus.mcs.controllers.views import HubView
from isthmus.testing.cluster import BY_HAND, EmbeddedHost, TestCluster
from isthmus.testing.waiting import eventually


def export(cluster: str, namespace: str, name: str, *, claims: str = "") -> Manifest:
    return {
        "apiVersion": EXPORTED_SERVICES.api_version,
        "kind": EXPORTED_SERVICES.kind,
        "metadata": {
            "name": f"{cluster}.{namespace}.{name}",
            "namespace": "shops",
            "labels": {"isthmus.dev/cluster": claims or cluster, "isthmus.dev/namespace": namespace},
        },
        "spec": {
            "cluster": claims or cluster,
            "namespace": namespace,
            "name": name,
            "uid": "u",
            "created": "2026-01-01T00:00:00Z",
            "type": "ClusterSetIP",
        },
    }


@asynccontextmanager
async def viewed(tmp_path: Path, *exports: Manifest) -> AsyncIterator[tuple[TestCluster, HubView]]:
    """East's view of a hub that has these exports, of namespace prod and of its own."""
    async with TestCluster("hub", EmbeddedHost("hub", tmp_path, 0)) as hub, asyncio.TaskGroup() as tasks:
        await bootstrap_hub(hub.client, "shops", [NewMember("east"), NewMember("west")])
        await put(hub, *exports)
        view = HubView("east", hub.client, namespace="shops")
        synced: list[bool] = []
        view.when_synced(lambda: synced.append(True))
        view.select(frozenset({"prod"}))
        running = [tasks.create_task(informer.run()) for informer in view.informers]
        await eventually(lambda: all_synced(view))
        assert synced == [True]
        yield hub, view
        for task in running:
            task.cancel()


async def put(hub: TestCluster, *exports: Manifest) -> None:
    for manifest in exports:
        await hub.client.apply(EXPORTED_SERVICES, manifest, namespace="shops", options=BY_HAND)


async def test_only_what_is_exported_in_namespaces_that_are_here_is_read_and_ones_own_everywhere(
    tmp_path: Path,
) -> None:
    exports = (
        export("west", "prod", "a"),
        export("west", "test", "b"),
        export("east", "test", "mine"),
        export("evil", "prod", "a", claims="west"),
    )
    async with viewed(tmp_path, *exports) as (_, view):
        mine = "east.test.mine"
        assert names(view) == {"west.prod.a", "evil.prod.a", mine}
        assert [item.metadata.name for item in view.exports_of("prod/a")] == ["west.prod.a"]
        assert not view.own_exports_of("prod/a")
        assert [item.metadata.name for item in view.own_exports_of("test/mine")] == [mine]
        view.select(frozenset({"prod", "test"}))
        await eventually(lambda: reads(view, {"west.prod.a", "evil.prod.a", "west.test.b", mine}))
        view.select(frozenset())
        await eventually(lambda: reads(view, {mine}))
        view.select(frozenset(f"namespace-with-a-long-name-{number}" for number in range(1000)))
        await eventually(lambda: reads(view, {"west.prod.a", "evil.prod.a", "west.test.b", mine}))


async def test_a_connection_that_broke_costs_no_new_list_of_what_others_export(tmp_path: Path) -> None:
    mine = (export("east", "prod", "a"), export("east", "test", "b"))
    async with viewed(tmp_path, export("west", "prod", "a"), *mine) as (hub, view):
        await hub.host.stop()
        await hub.host.start()
        await put(hub, export("west", "prod", "c"))
        await eventually(lambda: reads(view, {"west.prod.a", "west.prod.c", "east.prod.a", "east.test.b"}))
        assert view.exports.fresh_lists == 1


async def test_ones_own_that_came_or_went_unseen_where_nothing_is_watched_is_known_once_a_connection_broke(
    tmp_path: Path,
) -> None:
    async with viewed(tmp_path, export("east", "test", "a")) as (hub, view):
        await put(hub, export("east", "test", "b"))
        await hub.host.stop()
        await hub.host.start()
        await eventually(lambda: reads(view, {"east.test.a", "east.test.b"}))
        await hub.client.delete(EXPORTED_SERVICES, "east.test.a", namespace="shops")
        await hub.host.stop()
        await hub.host.start()
        await eventually(lambda: reads(view, {"east.test.b"}))


def names(view: HubView) -> set[str]:
    return {item.metadata.name for item in view.exports.store.all()}


async def reads(view: HubView, wanted: set[str]) -> bool:
    return names(view) == wanted


async def all_synced(view: HubView) -> bool:
    return view.synced
