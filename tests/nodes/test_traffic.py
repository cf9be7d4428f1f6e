"""Traffic to clusterset addresses and names, from pods, through kube-proxy."""

from ipaddress import ip_address

import pytest

from isthmus.api.core import ENDPOINT_SLICES, NAMESPACES, PODS, SERVICES
from isthmus.api.mcs import ServiceImport
from isthmus.errors import Refused
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.waiting import eventually, throughout
from tests.nodes import pods
from tests.nodes.site import NOBODY, Site

EAST, WEST = {"east-1", "east-2"}, {"west-1"}
EVERYBODY = EAST | WEST


async def export(namespace: str, name: str, *sites: Site, **fields: object) -> None:
    """Offer and export a Service in each cluster, one after the other."""
    for site in sites:
        await site.offer(namespace, name, **fields)
        await site.export(namespace, name)


async def addresses(site: Site, namespace: str, name: str) -> tuple[str, ...]:
    """The clusterset addresses of an import."""

    async def check() -> ServiceImport | None:
        item = await site.service_import(namespace, name)
        return item if item.spec and len(item.spec.ips) == 2 else None

    item = await eventually(check, what=f"{name} has two addresses in {site.name}")
    assert item.spec is not None
    return item.spec.ips


@pytest.mark.requirement("MCS-10", "MCS-30", "MCS-31", "MCS-45", "MCS-62", "MCS-75")
async def test_an_address_leads_to_the_pods_of_all_exporters(east: Site, west: Site, prod: str) -> None:
    await export(prod, "everywhere", east, west)
    for site in (east, west):
        found = await addresses(site, prod, "everywhere")
        assert [ip_address(each).version for each in found] == [4, 6]
        for address in found:
            await site.wait_answers(prod, address, 80, EVERYBODY)
            await site.wait_answers(prod, address, 81, EVERYBODY, udp=True)
        await site.wait_answers(prod, f"everywhere.{prod}.svc.clusterset.local", 80, EVERYBODY)


@pytest.mark.requirement("MCS-30", "MCS-23")
async def test_a_service_of_one_cluster_is_reached_from_all_by_its_name(east: Site, west: Site, prod: str) -> None:
    await export(prod, "only-east", east)
    name = f"only-east.{prod}.svc.clusterset.local"
    for site in (east, west):
        await site.wait_answers(prod, name, 80, EAST)
        await site.wait_answers(prod, name, 81, EAST, udp=True)
        code, said = await site.run(prod, "client", "curl", "-sS", "--max-time", "5", f"http://{name}")
        assert code == 0
        assert said.split()[0] in EAST


@pytest.mark.requirement("MCS-9", "MCS-30")
async def test_a_service_without_its_own_export_contributes_nothing(east: Site, west: Site, prod: str) -> None:
    await west.offer(prod, "half")
    await export(prod, "half", east)
    for site in (east, west):
        await site.wait_answers(prod, f"half.{prod}.svc.clusterset.local", 80, EAST)
    assert set(await west.ask(prod, f"half.{prod}.svc.clusterset.local", 80, times=20)) == EAST


@pytest.mark.requirement("MCS-7")
async def test_the_local_service_reaches_local_pods_only(east: Site, west: Site, prod: str) -> None:
    await export(prod, "at-home", east, west)
    await west.wait_answers(prod, f"at-home.{prod}.svc.clusterset.local", 80, EVERYBODY)
    assert set(await east.ask(prod, "at-home", 80, times=20)) == EAST
    assert set(await west.ask(prod, "at-home", 80, times=20)) == WEST


@pytest.mark.requirement("MCS-57", "MCS-58", "MCS-72")
async def test_a_port_leads_only_to_the_clusters_that_have_it(east: Site, west: Site, prod: str) -> None:
    both = {"name": "http", "port": 80, "targetPort": pods.PORT}
    extra = {"name": "metrics", "port": 9000, "targetPort": pods.OTHER_PORT}
    await export(prod, "some-ports", east, ports=[both])
    await export(prod, "some-ports", west, ports=[both, extra])
    name = f"some-ports.{prod}.svc.clusterset.local"
    for site in (east, west):
        await site.wait_answers(prod, name, 80, EVERYBODY)
        await site.wait_answers(prod, name, 9000, WEST)
        assert set(await site.ask(prod, name, 9000, times=10)) == WEST
        await site.wait_condition(prod, "some-ports", "Conflict", "True/PortConflict")


@pytest.mark.requirement("MCS-17")
async def test_a_node_port_service_is_exported_as_its_cluster_ip_part(east: Site, west: Site, prod: str) -> None:
    made = await east.offer(prod, "nodeport", type="NodePort")
    await east.export(prod, "nodeport")
    item = await west.wait_import(prod, "nodeport")
    assert item.spec is not None
    assert item.spec.type == "ClusterSetIP"
    await west.wait_answers(prod, f"nodeport.{prod}.svc.clusterset.local", 80, EAST)
    port = made["spec"]["ports"][0]["nodePort"]
    # The exporter's node listens there, the importer's does not.
    assert set(await west.ask(prod, east.node.node_ip[0], port)) <= EAST
    assert await west.ask(prod, west.node.node_ip[0], port) == {NOBODY: 1}


@pytest.mark.requirement("MCS-14", "MCS-15")
async def test_an_external_name_is_refused_with_the_reason(east: Site, west: Site, prod: str) -> None:
    elsewhere = {"metadata": {"name": "elsewhere"}, "spec": {"type": "ExternalName", "externalName": "example.com"}}
    await east.client.apply(SERVICES, elsewhere, namespace=prod, options=BY_HAND)
    await east.export(prod, "elsewhere")
    await east.wait_condition(prod, "elsewhere", "Valid", "False/InvalidServiceType")
    for site in (east, west):
        await site.wait_no_import(prod, "elsewhere")

        async def nameless(site: Site = site) -> bool:
            return await site.look_up(prod, f"elsewhere.{prod}.svc.clusterset.local") == set()

        await throughout(nameless, seconds=1.0)


@pytest.mark.requirement("MCS-24", "MCS-25", "MCS-104")
async def test_a_namespace_gets_what_is_exported_when_it_comes_and_nothing_while_it_goes(
    east: Site, west: Site, prod: str
) -> None:
    later = f"{prod}-later"
    await east.namespace(later)
    await east.make(later, pods.answering(later, "late", {"app": "shop"}))
    await export(later, "shop", east)
    await east.wait_import(later, "shop")
    assert await west.look_up(prod, f"shop.{later}.svc.clusterset.local") == set()
    await west.namespace(later)
    await west.wait_answers(prod, f"shop.{later}.svc.clusterset.local", 80, {"late"})
    # While it hangs in its end, it has nothing of the set; the others have what they had.
    held = {"metadata": {"name": "held", "finalizers": ["test.dev/held"]}, "spec": {"ports": [{"port": 1}]}}
    await west.client.apply(SERVICES, held, namespace=later, options=BY_HAND)
    await west.client.delete(NAMESPACES, later)
    await west.wait_no_import(later, "shop")
    await west.wait_names(prod, f"shop.{later}.svc.clusterset.local", set())
    assert [each.metadata.name for each in (await west.client.list(SERVICES, namespace=later)).items] == ["held"]
    await east.wait_answers(prod, f"shop.{later}.svc.clusterset.local", 80, {"late"})
    await west.client.merge_patch(SERVICES, "held", {"metadata": {"finalizers": None}}, namespace=later)
    await east.client.delete(NAMESPACES, later)


@pytest.mark.requirement("MCS-19", "MCS-25", "MCS-33", "MCS-69", "MCS-46")
async def test_unexporting_takes_a_clusters_pods_out_and_the_last_one_everything(
    east: Site, west: Site, prod: str
) -> None:
    await export(prod, "leaving", east, west)
    before = {site.name: await addresses(site, prod, "leaving") for site in (east, west)}
    for site in (east, west):
        await site.wait_answers(prod, before[site.name][0], 80, EVERYBODY)
    await east.unexport(prod, "leaving")
    for site in (east, west):
        await site.wait_answers(prod, before[site.name][0], 80, WEST)
        assert await addresses(site, prod, "leaving") == before[site.name]
    # The Service at home is as it was.
    assert set(await east.ask(prod, "leaving", 80, times=10)) == EAST
    await west.unexport(prod, "leaving")
    for site in (east, west):
        await site.wait_no_import(prod, "leaving")
        await site.wait_answers(prod, before[site.name][0], 80, {NOBODY})


@pytest.mark.requirement("MCS-70", "MCS-46")
async def test_pods_that_come_and_go_are_followed_from_the_other_cluster(east: Site, west: Site, prod: str) -> None:
    await east.offer(prod, "moving", selector={"app": "moving"})
    await east.export(prod, "moving")
    await east.make(prod, pods.answering(prod, "first", {"app": "moving"}))
    name = f"moving.{prod}.svc.clusterset.local"
    await west.wait_answers(prod, name, 80, {"first"})
    await east.make(prod, pods.answering(prod, "second", {"app": "moving"}))
    await west.wait_answers(prod, name, 80, {"first", "second"})
    await east.client.delete(PODS, "first", namespace=prod)
    await west.wait_answers(prod, name, 80, {"second"})


@pytest.mark.requirement("MCS-107")
async def test_nobody_turns_a_clusterset_address_to_other_pods_for_long(east: Site, west: Site, prod: str) -> None:
    await export(prod, "guarded", east)
    name = f"guarded.{prod}.svc.clusterset.local"
    await west.wait_answers(prod, name, 80, EAST)
    derived = await west.derived(prod, "guarded")
    assert derived is not None
    service = derived.metadata.name
    stray = {
        "metadata": {"name": "stray", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [(await west.pod_addresses(prod, "west-1"))[0]]}],
        "ports": [{"name": "http", "port": pods.PORT}],
    }
    with pytest.raises(Refused, match="only imported EndpointSlices may back it"):
        await west.client.apply(ENDPOINT_SLICES, stray, namespace=prod, options=BY_HAND)
    with pytest.raises(Refused, match="denied"):
        await west.client.merge_patch(SERVICES, service, {"spec": {"selector": {"app": "shop"}}}, namespace=prod)
    # An admin may; it does not last.
    imported = (await west.slices(prod, "guarded"))[0].metadata.name
    await west.client.merge_patch(ENDPOINT_SLICES, imported, {"endpoints": stray["endpoints"]}, namespace=prod)
    await west.wait_answers(prod, name, 80, EAST)
    assert set(await west.ask(prod, name, 80, times=20)) == EAST
