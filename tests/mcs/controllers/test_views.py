"""What an agent reads of its set."""

import asyncio
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


async def test_only_what_others_export_into_namespaces_that_are_here_is_read(tmp_path: Path) -> None:
    async with TestCluster("hub", EmbeddedHost("hub", tmp_path, 0)) as hub, asyncio.TaskGroup() as tasks:
        await bootstrap_hub(hub.client, "shops", [NewMember("east"), NewMember("west")])
        for manifest in (
            export("west", "prod", "a"),
            export("west", "test", "b"),
            export("east", "test", "mine"),
            export("evil", "prod", "a", claims="west"),
        ):
            await hub.client.apply(EXPORTED_SERVICES, manifest, namespace="shops", options=BY_HAND)
        view = HubView("east", hub.client, namespace="shops")
        synced: list[bool] = []
        view.when_synced(lambda: synced.append(True))
        view.select(frozenset({"prod"}))
        running = [tasks.create_task(informer.run()) for informer in view.informers]
        await eventually(lambda: all_synced(view))
        assert synced == [True]
        assert names(view) == {"west.prod.a", "evil.prod.a"}
        assert [item.metadata.name for item in view.exports_of("prod/a")] == ["west.prod.a"]
        assert [item.metadata.name for item in view.own_exports_of("test/mine")] == ["east.test.mine"]
        view.select(frozenset({"prod", "test"}))
        await eventually(lambda: reads(view, {"west.prod.a", "evil.prod.a", "west.test.b"}))
        view.select(frozenset())
        await eventually(lambda: reads(view, set()))
        view.select(frozenset(f"namespace-with-a-long-name-{number}" for number in range(1000)))
        await eventually(lambda: reads(view, {"west.prod.a", "evil.prod.a", "west.test.b"}))
        for task in running:
            task.cancel()


def names(view: HubView) -> set[str]:
    return {item.metadata.name for item in view.others.store.all()}


async def reads(view: HubView, wanted: set[str]) -> bool:
    return names(view) == wanted


async def all_synced(view: HubView) -> bool:
    return view.synced
