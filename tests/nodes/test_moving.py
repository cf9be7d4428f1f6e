"""Clusters that leave one set for another: what is left of Isthmus in between, and what goes on while a hub is away."""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from isthmus.api.core import PODS
from isthmus.api.mcs import ZONE
from isthmus.api.scheme import Manifest
from isthmus.errors import NotFound
from isthmus.install.workloads import HUB, MEMBER
from isthmus.kube.client import Client
from isthmus.testing.waiting import eventually
from tests.nodes import pods
from tests.nodes.apart import Hub
from tests.nodes.installed import credential_of, install, uninstall
from tests.nodes.site import Site
from tests.nodes.steady import Steady
from tests.nodes.test_handover import corefile, unsynced_starts
from tests.nodes.test_traffic import EAST, export
from tests.real.coredns import COREFILE
from tests.real.nodes import Clusters

# What tells of the past; and definitions, which stay unless asked for, with what the API server makes of them.
NOT_LEFT = {"events", "customresourcedefinitions", "apiservices"}
# Seconds from when the hub answers again until everything is right everywhere.
RIGHT_WITHIN = 60.0


async def asked(client: Client, path: str) -> Manifest:
    """What is at a path; nothing where definitions that were just deleted are told of a little longer."""
    try:
        found: Manifest = json.loads(await client.raw("GET", path))
    except NotFound:
        return {}
    return found


async def listed(client: Client) -> list[tuple[str, Manifest]]:
    """All objects of all kinds that can be listed, each with its kind's plural."""
    groups = (await asked(client, "/apis"))["groups"]
    versions = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    kinds = [(version, kind) for version in versions for kind in (await asked(client, version)).get("resources", ())]
    paths = [(kind["name"], f"{version}/{kind['name']}") for version, kind in kinds if "list" in kind["verbs"]]
    return [(plural, each) for plural, path in paths for each in (await asked(client, path)).get("items", ())]


async def left_in(site: Site) -> list[str]:
    """What has Isthmus in its name, namespace, labels, annotations, owners or finalizers."""
    left = []
    for plural, each in await listed(site.client):
        metadata = each["metadata"]
        told = {key: value for key, value in metadata.items() if key != "managedFields"}
        if plural not in NOT_LEFT and "isthmus" in json.dumps(told):
            left.append(f"{plural} {metadata.get('namespace', '')}/{metadata['name']}")
    return left


async def is_hub_only(site: Site) -> bool:
    left = await left_in(site)
    assert {each.split()[0] for each in left} >= {"deployments", "leases", "members"}
    return not [each for each in left if "isthmus-agent" in each or "isthmus-dns" in each]


async def definitions_in(site: Site) -> set[str]:
    found = json.loads(await site.client.raw("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"))
    return {each["metadata"]["name"].partition(".")[2] for each in found["items"]}


@pytest.fixture(scope="module")
def hub(node_clusters: Clusters, prod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that clusters may go to; at the end they are members of the shared set again."""
    nodes = node_clusters.get("east", "west")
    apart = Hub(tmp_path_factory.mktemp("apart"), nodes[0])
    try:
        apart.start([node.name for node in nodes])
        yield apart
    finally:
        uninstall(nodes, MEMBER)
        apart.stop()
        for node in nodes:
            credential_of(node).unlink(missing_ok=True)
        install(nodes)


@pytest.mark.timeout(300, func_only=True)
async def test_nothing_of_isthmus_is_left_and_it_can_be_installed_again(
    hub: Hub, east: Site, west: Site, prod: str
) -> None:
    nodes = [east.node, west.node]
    await export(prod, "returning", east)
    await west.offer(prod, "returning")
    name = f"returning.{prod}.svc.{ZONE}"
    await west.wait_answers(prod, name, 80, EAST)
    unsynced = await unsynced_starts(west)
    async with Steady(west, prod, f"returning.{prod}.svc.cluster.local") as load:
        uninstall(nodes, MEMBER)
        assert await left_in(west) == []
        assert await west.look_up(prod, name) == set()
        # The hub is at home in east.
        await eventually(lambda: is_hub_only(east), what="nothing of the member is left beside the hub")
        uninstall(nodes[:1], HUB)
        assert await left_in(east) == []
        for site in (east, west):
            assert await corefile(site) == COREFILE
        if await unsynced_starts(west) == unsynced:
            await load.none_was_lost()
    # Definitions stay with what people have made of them, until they are to go too.
    assert await definitions_in(west) >= {"multicluster.x-k8s.io", "about.k8s.io"}
    assert (await east.service_export(prod, "returning")).metadata.name == "returning"
    uninstall(nodes[1:], MEMBER, "--crds")
    uninstall(nodes[:1], HUB, "--crds")
    assert await definitions_in(west) == set()
    assert await definitions_in(east) >= {"multicluster.x-k8s.io"}
    assert "isthmus.dev" not in await definitions_in(east)
    hub.take(nodes)
    await west.wait_answers(prod, name, 80, EAST)


async def begin(site: Site, namespace: str) -> str:
    """Two pods behind an exported Service; its name."""
    name = service_of(site)
    made = [pods.answering(namespace, f"{name}-{number}", {"app": name}) for number in (1, 2)]
    await site.make(namespace, *made)
    await export(namespace, name, site, selector={"app": name})
    return name


def service_of(site: Site) -> str:
    return f"rolls-{site.name}"


async def roll(site: Site, namespace: str) -> None:
    """Another pod takes the place of the first, which goes on answering those who know no better."""
    name = service_of(site)
    await site.make(namespace, pods.answering(namespace, f"{name}-3", {"app": name}))
    former = {"metadata": {"labels": {"app": None}}}
    await site.client.merge_patch(PODS, f"{name}-1", former, namespace=namespace)


@pytest.mark.timeout(300, func_only=True)
@pytest.mark.requirement("MCS-70", "MCS-45")
async def test_exporters_serve_their_own_new_pods_and_importers_keep_what_they_have(
    hub: Hub, east: Site, west: Site, prod: str
) -> None:
    hub.take([east.node, west.node])
    sites = {await begin(site, prod): site for site in (east, west)}
    hosts = {name: f"{name}.{prod}.svc.{ZONE}" for name in sites}
    old = {name: {f"{name}-1", f"{name}-2"} for name in sites}
    rolled = {name: {f"{name}-2", f"{name}-3"} for name in sites}
    everywhere = [(name, site) for name in sites for site in (east, west)]
    for name, site in everywhere:
        await site.wait_answers(prod, hosts[name], 80, old[name])
    specs = {(name, site.name): (await site.service_import(prod, name)).spec for name, site in everywhere}
    async with AsyncExitStack() as stack:
        loads = {
            (name, site.name): await stack.enter_async_context(Steady(site, prod, hosts[name]))
            for name, site in everywhere
        }
        hub.plane.kill("kube-apiserver")
        for name, site in sites.items():
            await roll(site, prod)
            await site.wait_answers(prod, hosts[name], 80, rolled[name])
        for name, site in everywhere:
            if site is not sites[name]:
                assert set(await site.ask(prod, hosts[name], 80, times=20)) == old[name]
        hub.plane.start_server()
        for name, site in everywhere:
            await site.wait_answers(prod, hosts[name], 80, rolled[name], within=RIGHT_WITHIN)
        for load in loads.values():
            await load.none_was_lost()
    for name, site in everywhere:
        assert (await site.service_import(prod, name)).spec == specs[name, site.name]
        await sites[name].wait_condition(prod, name, "Ready", "True/Exported")
