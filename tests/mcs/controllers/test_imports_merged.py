"""What is merged out of several exporters, as objects in every cluster."""

import pytest

from isthmus.api.core import ENDPOINT_SLICES, SERVICES
from isthmus.api.mcs import DERIVED_SERVICE_ANNOTATION
from isthmus.api.scheme import Manifest
from isthmus.mcs.rules.names import slice_name
from isthmus.testing import objects
from isthmus.testing.cluster import BY_HAND, TestCluster
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually
from tests.fleets import MakeFleet

EAST, WEST = "10.77.0.5", "10.78.0.5"


def port(name: str, number: int, **more: object) -> Manifest:
    return {"name": name, "port": number, "protocol": "TCP", "targetPort": 8080, **more}


async def offer(fleet: Fleet, name: str, address: str, *ports: Manifest, export: Manifest | None = None) -> None:
    """Export a service with these ports; its backends have one target port for each."""
    cluster, namespace = fleet[name], fleet.namespace
    await cluster.serve(namespace, "shop", [], service=objects.service(namespace, "shop", ports=ports))
    targets = {str(each["name"]): 8000 + index for index, each in enumerate(ports)}
    piece = objects.endpoints(namespace, "shop", [address], ports=targets)
    await cluster.client.apply(ENDPOINT_SLICES, piece, namespace=namespace, options=BY_HAND)
    await cluster.export(namespace, "shop", **(export or {}))


async def ports_of(cluster: TestCluster, namespace: str, source: str) -> dict[str, int]:
    """The ports of one source's slices: the names of the import, and the numbers of the backends."""
    return {
        each.name or "": each.port or 0
        for piece in await cluster.slices(namespace, "shop", source)
        for each in piece.ports
    }


@pytest.mark.requirement(
    "MCS-45", "MCS-49", "MCS-54", "MCS-56", "MCS-57", "MCS-58", "MCS-59", "MCS-72", "MCS-74", "MCS-75", "MCS-79"
)
async def test_ports_are_merged_and_each_leads_to_those_who_have_it(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        namespace = fleet.namespace
        await offer(fleet, "east", EAST, port("http", 80), port("https", 443))
        for cluster in fleet.members.values():
            await cluster.wait_addresses(namespace, "shop", {EAST})
        # The first has the older export, or, within one second, the id that comes first (MCS-49).
        await offer(fleet, "west", WEST, port("web", 80), port("https", 8443), port("more", 9))
        for cluster in fleet.members.values():
            await cluster.wait_addresses(namespace, "shop", {EAST, WEST})
            await cluster.wait_condition(namespace, "shop", "Conflict", "True/PortConflict")

            async def merged(cluster: TestCluster = cluster) -> bool:
                item = await cluster.service_import(namespace, "shop")
                ports = [(each.name, each.port) for each in item.spec.ports] if item.spec is not None else []
                return ports == [("http", 80), ("https", 443), ("more", 9)]

            await eventually(merged)
            assert await ports_of(cluster, namespace, "east") == {"http": 8000, "https": 8001}
            assert await ports_of(cluster, namespace, "west") == {"http": 8000, "more": 8002}
            item = await cluster.service_import(namespace, "shop")
            derived = item.metadata.annotations[DERIVED_SERVICE_ANNOTATION]
            pieces = await cluster.slices(namespace, "shop")
            assert {each.metadata.name for each in pieces} == {
                slice_name("shop", n, "IPv4", 0) for n in ("east", "west")
            }
            assert {each.metadata.labels["kubernetes.io/service-name"] for each in pieces} == {derived} != {"shop"}
            assert item.status is not None
            assert item.status.endpoint_slice_objects == "Present"
            export = await cluster.service_export(namespace, "shop")
            (said,) = (
                [each.message for each in export.status.conditions if each.type == "Conflict"] if export.status else []
            )
            for words in ("1 of 2 clusters differs", "those of east", "not offered: https 8443/TCP", "to end this"):
                assert words in said
        await fleet["east"].unexport(namespace, "shop")
        await fleet["west"].back(namespace, "shop", [])

        async def says_that_there_are_none() -> bool:
            item = await fleet["east"].service_import(namespace, "shop")
            return item.status is not None and item.status.endpoint_slice_objects == "Absent"

        await eventually(says_that_there_are_none)


@pytest.mark.requirement("MCS-13", "MCS-43", "MCS-44")
async def test_exported_labels_are_the_winners_without_those_of_reserved_prefixes(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        namespace = fleet.namespace
        labels = {"tier": "gold", "kubernetes.io/cluster-service": "true", "isthmus.dev/managed-by": "me"}
        await offer(fleet, "east", EAST, port("http", 80), export={"exportedLabels": labels})
        await fleet["west"].wait_addresses(namespace, "shop", {EAST})
        item = await fleet["west"].wait_import(namespace, "shop")
        assert item.metadata.labels == {"tier": "gold", "isthmus.dev/managed-by": "isthmus.dev"}

        async def told() -> bool:
            export = await fleet["east"].service_export(namespace, "shop")
            conditions = export.status.conditions if export.status is not None else ()
            return any("the prefix is reserved" in each.message for each in conditions if each.type == "Ready")

        await eventually(told)


@pytest.mark.requirement("MCS-6", "MCS-35", "MCS-37", "MCS-60", "MCS-70", "MCS-71", "MCS-73")
async def test_a_headless_service_keeps_its_slices_host_names_and_families(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, namespace = fleet["east"], fleet.namespace
        service = objects.service(namespace, "shop", clusterIP="None", ipFamilyPolicy="SingleStack")
        await east.serve(namespace, "shop", [], service=service)
        piece = objects.endpoints(namespace, "shop", [EAST, "10.77.0.6"])
        for number, point in enumerate(piece["endpoints"]):
            target = {"kind": "Pod", "namespace": namespace, "name": f"db-{number}"}
            point |= {"hostname": f"db-{number}", "nodeName": "node-1", "zone": "a", "targetRef": target}
        piece["endpoints"][1]["conditions"] = {"ready": False, "serving": True, "terminating": True}
        await east.client.apply(ENDPOINT_SLICES, piece, namespace=namespace, options=BY_HAND)
        await east.export(namespace, "shop")
        for name, cluster in fleet.members.items():
            item = await cluster.wait_import(namespace, "shop")
            assert item.spec is not None
            assert item.spec.ip_families == ("IPv4",)
            await cluster.wait_addresses(namespace, "shop", {EAST, "10.77.0.6"})
            (seen,) = await cluster.slices(namespace, "shop", "east")
            assert [point.hostname for point in seen.endpoints] == ["db-0", "db-1"]
            assert [point.conditions.ready for point in seen.endpoints] == [True, False]
            assert (seen.endpoints[1].conditions.serving, seen.endpoints[1].conditions.terminating) == (True, True)
            assert {point.zone for point in seen.endpoints} == {"a"}
            # What names objects of a cluster says nothing in another one.
            own = name == "east"
            assert {point.node_name for point in seen.endpoints} == {"node-1" if own else None}
            assert {point.target_ref is not None for point in seen.endpoints} == {own}


async def test_families_of_an_import_stay_while_exporters_change(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
        await offer(fleet, "east", EAST, port("http", 80))
        before = (await west.wait_import(namespace, "shop")).spec
        dual = {"spec": {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]}}
        await east.client.merge_patch(SERVICES, "shop", dual, namespace=namespace)

        async def has_both() -> bool:
            item = await west.service_import(namespace, "shop")
            return item.spec is not None and item.spec.ip_families == ("IPv4", "IPv6") and len(item.spec.ips) == 2

        await eventually(has_both)
        single = {"spec": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}}
        await east.client.merge_patch(SERVICES, "shop", single, namespace=namespace)

        async def keeps_both_and_says_so() -> bool:
            item = await west.service_import(namespace, "shop")
            conditions = item.status.conditions if item.status is not None else ()
            return await has_both() and any("IPv6 address stays" in each.message for each in conditions)

        await eventually(keeps_both_and_says_so)
        after = (await west.service_import(namespace, "shop")).spec
        assert before is not None
        assert after is not None
        assert after.ips[0] == before.ips[0]
