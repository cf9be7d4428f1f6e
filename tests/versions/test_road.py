"""The main road on API servers of two minor versions, and on one without streaming lists."""

import asyncio
from contextlib import suppress

import pytest

from isthmus.api.mcs import ZONE
from isthmus.dns.app import DNSOptions
from isthmus.dns.app import serve as serve_names
from isthmus.errors import Unreachable
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.records import Address, Type
from isthmus.kit.dns.server import bind
from isthmus.testing.cluster import TestCluster
from isthmus.testing.waiting import eventually
from tests.real.build import OLDER
from tests.versions.conftest import OLD, USUAL, WITHOUT_STREAMS, MakeMixed


@pytest.mark.requirement("MCS-46")
@pytest.mark.parametrize(
    ("hub", "members"),
    [
        pytest.param(USUAL, {"east": OLD, "west": USUAL}, id="an-older-member"),
        pytest.param(OLD, {"east": USUAL, "west": USUAL}, id="an-older-hub"),
        pytest.param(WITHOUT_STREAMS, {"east": USUAL, "west": USUAL}, id="a-hub-without-streaming-lists"),
        pytest.param(USUAL, {"east": USUAL, "west": WITHOUT_STREAMS}, id="a-member-without-streaming-lists"),
    ],
)
async def test_what_is_exported_in_one_cluster_answers_in_the_other(
    make_mixed: MakeMixed, hub: str, members: dict[str, str]
) -> None:
    async with make_mixed(hub, members) as fleet:
        east, west = fleet["east"], fleet["west"]
        await _is_as_said(fleet.hub, hub)
        for name, cluster in fleet.members.items():
            await _is_as_said(cluster, members[name])
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")
        await west.serve(fleet.namespace, "shop", ["10.78.0.5"])
        await west.export(fleet.namespace, "shop")
        for cluster in (east, west):
            await cluster.wait_addresses(fleet.namespace, "shop", {"10.77.0.5", "10.78.0.5"})
            imported = await cluster.wait_import(fleet.namespace, "shop")
            assert imported.spec is not None
            for condition, reason in (("Valid", "Valid"), ("Ready", "Exported")):
                await cluster.wait_condition(fleet.namespace, "shop", condition, f"True/{reason}")
            assert await _answer(cluster, f"shop.{fleet.namespace}.svc.{ZONE}") == {imported.spec.ips[0]}
        await east.back(fleet.namespace, "shop", ["10.77.0.6"])
        await west.wait_addresses(fleet.namespace, "shop", {"10.77.0.6", "10.78.0.5"})
        await west.unexport(fleet.namespace, "shop")
        await east.wait_addresses(fleet.namespace, "shop", {"10.77.0.6"})
        await east.unexport(fleet.namespace, "shop")
        for cluster in (east, west):
            await cluster.wait_no_import(fleet.namespace, "shop")


async def _is_as_said(cluster: TestCluster, kind: str) -> None:
    assert (await cluster.client.version() == f"v{OLDER}") == (kind == OLD)


async def _answer(cluster: TestCluster, name: str) -> set[str]:
    """What a DNS server beside this cluster says; asked until it knows everything."""
    sockets = bind([("127.0.0.1", 0)])
    server = sockets[0].getsockname()[:2]
    options = DNSOptions(None, (server,))
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve_names(cluster.client, sockets, options))

        async def answered() -> set[str]:
            with suppress(Unreachable):
                reply = await resolve(name, Type.A, server)
                return {str(each.data.address) for each in reply.answers if isinstance(each.data, Address)}
            return set()

        found = await eventually(answered, what=f"{name} is known in {cluster.name}")
        serving.cancel()
    return found
