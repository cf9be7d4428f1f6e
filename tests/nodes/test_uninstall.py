"""Uninstalled from everywhere, and installed again: what is left of Isthmus in between."""

import json

import pytest

from isthmus.api.core import CONFIG_MAPS
from isthmus.api.scheme import Manifest
from isthmus.errors import NotFound
from isthmus.install.workloads import HUB, MEMBER
from isthmus.kube.client import Client
from isthmus.testing.waiting import eventually
from tests.nodes.installed import credential_of, install, uninstall
from tests.nodes.site import Site
from tests.nodes.steady import Steady
from tests.nodes.test_handover import corefile
from tests.nodes.test_traffic import EAST, WEST, addresses, export
from tests.real.coredns import COREFILE

# What tells of the past; and definitions, which stay unless asked for, with what the API server makes of them.
NOT_LEFT = {"events", "customresourcedefinitions", "apiservices"}


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


@pytest.mark.timeout(300, func_only=True)
async def test_nothing_of_isthmus_is_left_and_it_can_be_installed_again(east: Site, west: Site, prod: str) -> None:
    nodes = [east.node, west.node]
    await export(prod, "returning", east)
    local = await west.offer(prod, "returning")
    name = f"returning.{prod}.svc.clusterset.local"
    await west.wait_answers(prod, name, 80, EAST)
    try:
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
            await load.none_was_lost()
            assert {each.who for each in await load.requests()} == WEST
        # Definitions stay with what people have made of them, until they are to go too.
        assert await definitions_in(west) >= {"multicluster.x-k8s.io", "about.k8s.io"}
        assert (await east.service_export(prod, "returning")).metadata.name == "returning"
        uninstall(nodes[1:], MEMBER, "--crds")
        uninstall(nodes[:1], HUB, "--crds")
        assert await definitions_in(west) == set()
        assert await definitions_in(east) >= {"multicluster.x-k8s.io"}
        assert "isthmus.dev" not in await definitions_in(east)
        assert await left_in(west) == await left_in(east) == []
    finally:
        for node in nodes:
            credential_of(node).unlink(missing_ok=True)
        install(nodes)
    await west.wait_answers(prod, name, 80, EAST)
    assert (await west.client.get(CONFIG_MAPS, "coredns", namespace="kube-system"))["data"]["Corefile"] != COREFILE
    assert len(await addresses(west, prod, "returning")) == 2
    assert local["spec"]["clusterIP"] not in await addresses(west, prod, "returning")
