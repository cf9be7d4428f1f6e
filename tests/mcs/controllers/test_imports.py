"""Services that one cluster exports, as the others have them."""

import pytest

from isthmus.api.core import ENDPOINT_SLICES, NAMESPACES, SERVICES
from isthmus.api.isthmus import (
    EXPORT_GRANTS,
    EXPORTED_ENDPOINTS,
    EXPORTED_SERVICES,
    MARKER_LABEL,
    RESERVED_IPS_ANNOTATION,
)
from isthmus.api.mcs import SERVICE_IMPORTS
from isthmus.api.scheme import Manifest
from isthmus.errors import NotFound
from isthmus.hub.bootstrap import NewMember, bootstrap_hub
from isthmus.mcs.rules.names import derived_name
from isthmus.testing import objects
from isthmus.testing.cluster import BY_HAND, TestCluster
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually, throughout
from tests.fleets import MakeFleet

EAST = "10.77.0.5"
EAST_V6 = "fd69:77::5"
WEST = "10.78.0.5"


async def shop_from_east(fleet: Fleet) -> tuple[TestCluster, TestCluster, str]:
    """East exports a shop, and west has it."""
    east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
    await east.serve(namespace, "shop", [EAST])
    await east.export(namespace, "shop")
    await west.wait_import(namespace, "shop")
    await west.wait_addresses(namespace, "shop", {EAST})
    return east, west, namespace


async def ips_of(cluster: TestCluster, namespace: str) -> tuple[str, ...]:
    item = await cluster.wait_import(namespace, "shop")
    return item.spec.ips if item.spec is not None else ()


@pytest.mark.requirement(
    "MCS-23", "MCS-27", "MCS-29", "MCS-31", "MCS-32", "MCS-62", "MCS-64", "MCS-65", "MCS-66", "MCS-67"
)
async def test_an_export_makes_an_import_with_an_address_and_slices_everywhere(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        await fleet["east"].serve(fleet.namespace, "shop", [EAST, "10.77.0.6"])
        await fleet["east"].export(fleet.namespace, "shop")
        for cluster in (fleet["east"], fleet["west"]):
            item = await cluster.wait_import(fleet.namespace, "shop")
            assert item.spec is not None
            assert item.status is not None
            assert item.spec.type == "ClusterSetIP"
            assert [(port.name, port.port, port.protocol) for port in item.spec.ports] == [("http", 80, "TCP")]
            assert item.spec.ip_families == ("IPv4",)
            assert [each.cluster for each in item.status.clusters] == ["east"]
            assert item.status.endpoint_slice_objects == "Present"
            derived = await cluster.derived(fleet.namespace, "shop")
            assert derived is not None
            assert derived.spec.cluster_ips == item.spec.ips
            assert not derived.spec.selector
            await cluster.wait_addresses(fleet.namespace, "shop", {EAST, "10.77.0.6"})
            (piece,) = await cluster.slices(fleet.namespace, "shop", "east")
            assert {owner.uid for owner in piece.metadata.owner_references} == {item.metadata.uid}
            assert piece.metadata.labels["kubernetes.io/service-name"] == derived.metadata.name
            assert piece.metadata.labels["endpointslice.kubernetes.io/managed-by"] == "isthmus.dev"


@pytest.mark.requirement("MCS-19", "MCS-25", "MCS-31", "MCS-33", "MCS-63", "MCS-69")
async def test_an_import_lives_as_long_as_one_cluster_exports_it(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = await shop_from_east(fleet)
        before = await ips_of(west, namespace)
        await west.serve(namespace, "shop", [WEST])
        await west.export(namespace, "shop")
        for cluster in (east, west):
            await cluster.wait_addresses(namespace, "shop", {EAST, WEST})
            assert await cluster.addresses(namespace, "shop", "east") == {EAST}
            assert await cluster.addresses(namespace, "shop", "west") == {WEST}
        await east.unexport(namespace, "shop")
        for cluster in (east, west):
            await cluster.wait_addresses(namespace, "shop", {WEST})
        assert await ips_of(west, namespace) == before != ()
        await west.unexport(namespace, "shop")
        for cluster in (east, west):
            await cluster.wait_no_import(namespace, "shop")


@pytest.mark.requirement("MCS-68")
async def test_every_family_of_an_import_has_endpoints_in_every_cluster(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
        families = ["IPv4", "IPv6"]
        dual = objects.service(namespace, "shop", ipFamilies=families, ipFamilyPolicy="RequireDualStack")
        await east.serve(namespace, "shop", [EAST], service=dual)
        await east.back(namespace, "shop", [EAST_V6])
        await east.export(namespace, "shop")
        for cluster in (east, west):
            item = await cluster.wait_import(namespace, "shop")
            assert item.spec is not None
            assert list(item.spec.ip_families) == families
            await cluster.wait_addresses(namespace, "shop", {EAST, EAST_V6})
            assert [piece.address_type for piece in await cluster.slices(namespace, "shop", "east")] == families


@pytest.mark.requirement("MCS-9", "MCS-30")
async def test_a_service_that_its_own_cluster_does_not_export_adds_nothing(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        _, west, namespace = await shop_from_east(fleet)
        await west.serve(namespace, "shop", [WEST])

        async def only_east() -> bool:
            return await west.addresses(namespace, "shop") == {EAST}

        await throughout(only_east, seconds=1)


@pytest.mark.requirement("MCS-1", "MCS-2", "MCS-10", "MCS-23")
async def test_every_member_has_what_every_other_exports_by_the_same_namespace_and_name(
    make_fleet: MakeFleet,
) -> None:
    async with make_fleet(["east", "west", "north"]) as fleet:
        other = f"{fleet.namespace}-other"
        for number, (name, cluster) in enumerate(fleet.members.items(), start=1):
            await cluster.namespace(other)
            await cluster.serve(fleet.namespace, "shop", [f"10.77.{number}.5"])
            await cluster.export(fleet.namespace, "shop")
            await cluster.serve(other, name, [f"10.77.{number}.6"])
            await cluster.export(other, name)
        for cluster in fleet.members.values():
            # One service out of three; and what has another name, or stands in another namespace, is another service.
            await cluster.wait_addresses(fleet.namespace, "shop", {f"10.77.{number}.5" for number in (1, 2, 3)})
            for number, name in enumerate(fleet.members, start=1):
                await cluster.wait_addresses(other, name, {f"10.77.{number}.6"})


@pytest.mark.requirement("MCS-25", "MCS-46", "MCS-69")
async def test_everything_happens_within_the_bounds_of_the_conformance_suite(make_fleet: MakeFleet) -> None:
    """Its bounds are 20 s, and 60 s for new slices; here nothing takes a quarter of that."""
    async with make_fleet() as fleet:
        east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
        await east.serve(namespace, "shop", [EAST])
        await east.export(namespace, "shop")
        for cluster in (east, west):
            item = await cluster.wait_import(namespace, "shop", within=5)
            assert item.spec is not None
            assert item.spec.ips
            await cluster.wait_addresses(namespace, "shop", {EAST}, within=15)
        for kind, wanted in (("Valid", "True/Valid"), ("Ready", "True/Exported"), ("Conflict", "False/NoConflicts")):
            await east.wait_condition(namespace, "shop", kind, wanted, within=5)
        await east.unexport(namespace, "shop")
        for cluster in (east, west):
            await cluster.wait_no_import(namespace, "shop", within=5)


@pytest.mark.requirement("MCS-7")
async def test_the_exported_service_and_its_slices_are_left_as_they_are(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
        await east.serve(namespace, "shop", [EAST])
        await west.serve(namespace, "shop", [WEST])

        async def versions(cluster: TestCluster) -> set[str]:
            service = await cluster.client.get(SERVICES, "shop", namespace=namespace)
            piece = await cluster.client.get(ENDPOINT_SLICES, "shop-ipv4-0", namespace=namespace)
            return {service.metadata.resource_version, piece.metadata.resource_version}

        before = [await versions(east), await versions(west)]
        await east.export(namespace, "shop")
        await west.wait_addresses(namespace, "shop", {EAST})
        await east.unexport(namespace, "shop")
        for cluster in (east, west):
            await cluster.wait_no_import(namespace, "shop")
        assert [await versions(east), await versions(west)] == before


@pytest.mark.requirement("MCS-16", "MCS-17", "MCS-42")
async def test_a_type_that_changes_under_consumers_changes_for_them_too(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = await shop_from_east(fleet)
        before = await ips_of(west, namespace)
        await east.client.merge_patch(SERVICES, "shop", {"spec": {"type": "NodePort"}}, namespace=namespace)
        await east.wait_condition(namespace, "shop", "Valid", "True/Valid")
        await east.client.delete(SERVICES, "shop", namespace=namespace)
        name = {"spec": {"type": "ExternalName", "externalName": "example.com"}}
        manifest = objects.service(namespace, "shop")
        await east.client.apply(SERVICES, manifest | name, namespace=namespace, options=BY_HAND)
        await east.wait_condition(namespace, "shop", "Valid", "False/InvalidServiceType")
        await west.wait_no_import(namespace, "shop")
        await east.client.delete(SERVICES, "shop", namespace=namespace)
        await east.serve(namespace, "shop", [EAST], service=headless_service(namespace))
        item = await west.wait_import(namespace, "shop")
        assert item.spec is not None
        assert (item.spec.type, item.spec.ips) == ("Headless", ())
        assert before != ()


async def test_endpoints_follow_their_pods(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = await shop_from_east(fleet)
        await east.back(namespace, "shop", ["10.77.0.8", "10.77.0.9"])
        await west.wait_addresses(namespace, "shop", {"10.77.0.8", "10.77.0.9"})
        await east.back(namespace, "shop", [])
        await west.wait_addresses(namespace, "shop", set())


@pytest.mark.requirement("MCS-24")
async def test_an_import_follows_its_namespace(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, other = fleet["east"], fleet["west"], f"{fleet.namespace}-later"
        await east.namespace(other)
        await east.serve(other, "shop", [EAST])
        await east.export(other, "shop")
        await east.wait_import(other, "shop")
        with pytest.raises(NotFound):
            await west.client.get(NAMESPACES, other)
        await west.namespace(other)
        await west.wait_import(other, "shop")
        await west.client.delete(NAMESPACES, other)

        async def gone() -> bool:
            try:
                await west.client.get(NAMESPACES, other)
            except NotFound:
                return True
            return False

        await eventually(gone, within=30, what="the namespace gone: nothing of ours is made in it again")
        await west.namespace(other)
        await west.wait_import(other, "shop")
        await west.wait_addresses(other, "shop", {EAST})


def headless_service(namespace: str) -> Manifest:
    # Without a policy, a headless Service without selector gets both families of a dual-stack cluster.
    return objects.service(namespace, "shop", clusterIP="None", ipFamilyPolicy="SingleStack")


@pytest.mark.requirement("MCS-18", "MCS-34")
async def test_a_headless_service_is_imported_without_an_address(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
        await east.serve(namespace, "shop", [EAST], service=headless_service(namespace))
        await east.export(namespace, "shop")
        item = await west.wait_import(namespace, "shop")
        assert item.spec is not None
        assert (item.spec.type, item.spec.ips, item.spec.ip_families) == ("Headless", (), ("IPv4",))
        await west.wait_addresses(namespace, "shop", {EAST})
        (piece,) = await west.slices(namespace, "shop")
        assert "kubernetes.io/service-name" not in piece.metadata.labels
        assert piece.metadata.labels["service.kubernetes.io/headless"] == ""
        assert await west.derived(namespace, "shop") is None


@pytest.mark.requirement("MCS-33", "MCS-38")
async def test_addresses_outlive_a_flip_to_headless_and_back(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = await shop_from_east(fleet)
        before = await ips_of(west, namespace)
        await west.serve(namespace, "shop", [WEST], service=headless_service(namespace))
        await west.export(namespace, "shop")
        # The import lives on only if at every moment somebody exports it: so one after the other.
        await west.wait_addresses(namespace, "shop", {EAST, WEST})
        await east.unexport(namespace, "shop")

        async def headless() -> bool:
            item = await west.service_import(namespace, "shop")
            reserved = item.metadata.annotations.get(RESERVED_IPS_ANNOTATION)
            return item.spec is not None and item.spec.type == "Headless" and reserved == ",".join(before)

        await eventually(headless)
        await east.export(namespace, "shop")
        await west.wait_addresses(namespace, "shop", {EAST, WEST})
        await west.unexport(namespace, "shop")

        async def back() -> bool:
            return await ips_of(west, namespace) == before

        await eventually(back)


async def test_a_derived_service_that_was_lost_is_made_again_with_its_address(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        _, west, namespace = await shop_from_east(fleet)
        before = await west.derived(namespace, "shop")
        assert before is not None
        await west.client.delete(SERVICES, before.metadata.name, namespace=namespace)

        async def made_again() -> bool:
            now = await west.derived(namespace, "shop")
            return now is not None and now.metadata.uid != before.metadata.uid

        await eventually(made_again)
        now = await west.derived(namespace, "shop")
        assert now is not None
        assert now.spec.cluster_ips == before.spec.cluster_ips == await ips_of(west, namespace)


async def test_a_name_that_is_taken_means_the_next_one(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
        taken = derived_name(namespace, "shop")
        await west.serve(namespace, taken, ["10.99.0.1"])
        await east.serve(namespace, "shop", [EAST])
        await east.export(namespace, "shop")
        await west.wait_import(namespace, "shop")
        derived = await west.derived(namespace, "shop")
        assert derived is not None
        assert derived.metadata.name == derived_name(namespace, "shop", 1)
        theirs = await west.client.get(SERVICES, taken, namespace=namespace)
        assert not theirs.metadata.labels


async def test_foreign_slices_in_the_derived_services_name_are_removed(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        _, west, namespace = await shop_from_east(fleet)
        derived = await west.derived(namespace, "shop")
        assert derived is not None
        stray = objects.endpoints(namespace, derived.metadata.name, ["10.99.0.1"])
        await west.client.apply(ENDPOINT_SLICES, stray, namespace=namespace, options=BY_HAND)

        async def removed() -> bool:
            listed = await west.client.list(ENDPOINT_SLICES, namespace=namespace)
            return stray["metadata"]["name"] not in {item.metadata.name for item in listed.items}

        await eventually(removed)


@pytest.mark.requirement("MCS-26")
async def test_what_others_do_to_an_import_is_undone(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        _, west, namespace = await shop_from_east(fleet)
        edit = {"spec": {"ports": [{"port": 9}]}, "metadata": {"labels": {"team": "web"}}}
        await west.client.merge_patch(SERVICE_IMPORTS, "shop", edit, namespace=namespace)

        async def undone() -> bool:
            item = await west.service_import(namespace, "shop")
            return item.spec is not None and [port.port for port in item.spec.ports] == [80]

        await eventually(undone)
        assert (await west.service_import(namespace, "shop")).metadata.labels["team"] == "web"
        (piece,) = await west.slices(namespace, "shop")
        await west.client.delete(ENDPOINT_SLICES, piece.metadata.name, namespace=namespace)
        await west.client.delete(SERVICE_IMPORTS, "shop", namespace=namespace)
        await west.wait_import(namespace, "shop")
        await west.wait_addresses(namespace, "shop", {EAST})


async def test_an_import_that_is_not_ours_is_neither_adopted_nor_deleted(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
        theirs = {
            "apiVersion": SERVICE_IMPORTS.api_version,
            "kind": SERVICE_IMPORTS.kind,
            "metadata": {"name": "shop", "namespace": namespace},
            "spec": {"type": "Headless", "ports": [{"port": 7}]},
        }
        await west.client.apply(SERVICE_IMPORTS, theirs, namespace=namespace, options=BY_HAND)
        await east.serve(namespace, "shop", [EAST])
        await east.export(namespace, "shop")
        await east.wait_import(namespace, "shop")

        async def untouched() -> bool:
            item = await west.service_import(namespace, "shop")
            return item.spec is not None and item.spec.type == "Headless" and item.status is None

        await throughout(untouched, seconds=1)
        await west.client.delete(SERVICE_IMPORTS, "shop", namespace=namespace)
        item = await west.wait_import(namespace, "shop")
        assert item.spec is not None
        await west.client.merge_patch(
            SERVICE_IMPORTS, "shop", {"metadata": {"labels": {MARKER_LABEL: None}}}, namespace=namespace
        )

        async def marked_again() -> bool:
            return MARKER_LABEL in (await west.service_import(namespace, "shop")).metadata.labels

        await eventually(marked_again)


async def test_more_than_a_hundred_endpoints_travel_in_chunks(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = await shop_from_east(fleet)
        many = [f"10.77.1.{number}" for number in range(1, 101)]
        more = objects.endpoints(namespace, "shop", [f"10.77.2.{number}" for number in range(1, 51)], index=1)
        await east.back(namespace, "shop", many)
        await east.client.apply(ENDPOINT_SLICES, more, namespace=namespace, options=BY_HAND)
        all_of_them = {*many, *(f"10.77.2.{number}" for number in range(1, 51))}
        await west.wait_addresses(namespace, "shop", all_of_them)
        assert len((await fleet.hub.client.list(EXPORTED_ENDPOINTS, namespace=fleet.set)).items) == 2
        assert len(await west.slices(namespace, "shop")) == 2
        await east.back(namespace, "shop", many[:3])
        await east.client.delete(ENDPOINT_SLICES, more["metadata"]["name"], namespace=namespace)
        await west.wait_addresses(namespace, "shop", set(many[:3]))

        async def inline_again() -> bool:
            return not (await fleet.hub.client.list(EXPORTED_ENDPOINTS, namespace=fleet.set)).items

        await eventually(inline_again)


async def test_an_export_that_no_grant_allows_has_no_effect(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = await shop_from_east(fleet)
        grant = {
            "apiVersion": EXPORT_GRANTS.api_version,
            "kind": EXPORT_GRANTS.kind,
            "metadata": {"name": "only-west", "namespace": fleet.set},
            "spec": {"namespaces": [namespace], "clusters": ["west"]},
        }
        await fleet.hub.client.apply(EXPORT_GRANTS, grant, namespace=fleet.set, options=BY_HAND)
        for cluster in (east, west):
            await cluster.wait_no_import(namespace, "shop")
        await east.wait_condition(namespace, "shop", "Ready", "False/Failed")
        await fleet.hub.client.delete(EXPORT_GRANTS, "only-west", namespace=fleet.set)
        await west.wait_import(namespace, "shop")
        await east.wait_condition(namespace, "shop", "Ready", "True/Exported")


@pytest.mark.requirement("MCS-63", "MCS-66")
async def test_values_that_nobody_should_trust_do_no_harm(make_fleet: MakeFleet) -> None:
    async with make_fleet(["east", "west"]) as fleet:
        east, west, namespace = await shop_from_east(fleet)
        await bootstrap_hub(fleet.hub.client, fleet.set, [NewMember("evil")])
        foreign: Manifest = {
            "apiVersion": EXPORTED_SERVICES.api_version,
            "kind": EXPORTED_SERVICES.kind,
            "metadata": {
                "name": f"evil.{namespace}.trap",
                "namespace": fleet.set,
                "labels": {"isthmus.dev/cluster": "evil", "isthmus.dev/namespace": namespace},
            },
            "spec": {
                "cluster": "evil",
                "namespace": namespace,
                "name": "trap",
                "uid": "u",
                "created": "2020-01-01T00:00:00Z",
                "type": "ClusterSetIP",
                "ports": [
                    {"name": "http", "port": 80, "protocol": "TCP"},
                    {"name": "Not_A_Port!", "port": 70000, "protocol": "QUIC"},
                ],
                "ipFamilies": ["IPv4"],
                "sessionAffinity": "Sticky",
                "trafficDistribution": "PreferNobody",
                "exportedLabels": {"kubernetes.io/x": "y", "bad key!": "v", "fine": "yes"},
                "slices": [
                    {
                        "addressType": "IPv4",
                        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                        "endpoints": [
                            {"addresses": [address]}
                            for address in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "10.99.0.1", "::1", "x")
                        ],
                    }
                ],
            },
        }
        await fleet.hub.client.apply(EXPORTED_SERVICES, foreign, namespace=fleet.set, options=BY_HAND)
        for cluster in (east, west):
            item = await cluster.wait_import(namespace, "trap")
            assert item.spec is not None
            assert [port.port for port in item.spec.ports] == [80]
            assert item.metadata.labels.get("fine") == "yes"
            assert "kubernetes.io/x" not in item.metadata.labels
            await cluster.wait_addresses(namespace, "trap", {"10.99.0.1"})
        stolen = foreign | {"metadata": {**foreign["metadata"], "name": f"evil.{namespace}.shop"}}
        stolen["spec"] = {**foreign["spec"], "name": "shop", "cluster": "east"}
        await fleet.hub.client.apply(EXPORTED_SERVICES, stolen, namespace=fleet.set, options=BY_HAND)

        async def unimpressed() -> bool:
            return await west.addresses(namespace, "shop") == {EAST}

        await throughout(unimpressed, seconds=1)
        await fleet.hub.client.delete(EXPORTED_SERVICES, f"evil.{namespace}.trap", namespace=fleet.set)
        for cluster in (east, west):
            await cluster.wait_no_import(namespace, "trap")
