"""Exports that differ: what of them carries traffic, and from whom."""

import pytest

from tests.nodes import pods
from tests.nodes.site import NOBODY, Site
from tests.nodes.test_traffic import EAST, EVERYBODY, WEST, addresses, export

# Creation times of exports have a resolution of one second; the older one wins.
APART = 1.1


Fields = dict[str, object]


async def one_after_the_other(
    namespace: str, name: str, older: Site, younger: Site, fields: tuple[Fields, Fields]
) -> None:
    """Two exports with different Services, the second clearly younger."""
    await export(namespace, name, older, **fields[0])
    await older.wait_import(namespace, name)
    await younger.run(namespace, "client", "sleep", str(APART))
    await export(namespace, name, younger, **fields[1])
    for site in (older, younger):
        await site.wait_condition(namespace, name, "Ready", "True/Exported")


def port(name: str, number: int) -> Fields:
    return {"name": name, "port": number, "targetPort": pods.PORT}


@pytest.mark.requirement("MCS-48", "MCS-56", "MCS-58", "MCS-51")
async def test_of_two_ports_of_one_name_the_older_exports_is_served(east: Site, west: Site, prod: str) -> None:
    fields: tuple[Fields, Fields] = ({"ports": [port("http", 80)]}, {"ports": [port("http", 8888)]})
    await one_after_the_other(prod, "same-name", west, east, fields)
    for site in (east, west):
        await site.wait_condition(prod, "same-name", "Conflict", "True/PortConflict")
        name = f"same-name.{prod}.svc.clusterset.local"
        await site.wait_answers(prod, name, 80, WEST)
        await site.wait_answers(prod, name, 8888, {NOBODY})


@pytest.mark.requirement("MCS-59", "MCS-56")
async def test_a_port_that_goes_by_two_names_leads_to_everybody(east: Site, west: Site, prod: str) -> None:
    fields: tuple[Fields, Fields] = ({"ports": [port("http", 80)]}, {"ports": [port("web", 80)]})
    await one_after_the_other(prod, "two-names", east, west, fields)
    for site in (east, west):
        await site.wait_answers(prod, f"two-names.{prod}.svc.clusterset.local", 80, EVERYBODY)


@pytest.mark.requirement("MCS-61", "MCS-91")
async def test_an_unnamed_port_beside_a_named_one_is_served_and_only_the_named_one_has_a_service_record(
    east: Site, west: Site, prod: str
) -> None:
    unnamed = {"port": 80, "targetPort": pods.PORT}
    named = {**port("echo", 81), "protocol": "UDP"}
    await one_after_the_other(prod, "unnamed", east, west, ({"ports": [unnamed]}, {"ports": [named]}))
    name = f"unnamed.{prod}.svc.clusterset.local"
    for site in (east, west):
        await site.wait_answers(prod, name, 80, EAST)
        await site.wait_answers(prod, name, 81, WEST, udp=True)
        await site.wait_names(prod, name, {f"0 100 81 {name}."}, kind="SRV")
        item = await site.wait_import(prod, "unnamed")
        assert item.spec is not None
        assert [each.name for each in item.spec.ports] == ["", "echo"]


@pytest.mark.requirement("MCS-60", "MCS-86", "MCS-103")
async def test_each_port_of_a_headless_service_has_records_of_the_clusters_that_have_it(
    east: Site, west: Site, prod: str
) -> None:
    fields: tuple[Fields, Fields] = (
        {"clusterIP": "None", "ports": [port("http", 80)]},
        {"clusterIP": "None", "ports": [port("http", 80), port("metrics", 9000)]},
    )
    await one_after_the_other(prod, "heads", east, west, fields)
    name = f"heads.{prod}.svc.clusterset.local"
    (own,) = [await west.pod_addresses(prod, pod) for pod in WEST]
    targets = {f"{address.replace('.', '-').replace(':', '-')}.west.{name}." for address in own}
    for site in (east, west):
        await site.wait_names(prod, f"_metrics._tcp.{name}", {f"0 100 9000 {each}" for each in targets}, kind="SRV")
        await site.wait_condition(prod, "heads", "Conflict", "True/PortConflict")


@pytest.mark.requirement("MCS-42", "MCS-51", "MCS-52")
async def test_the_older_export_says_that_a_service_has_an_address(east: Site, west: Site, prod: str) -> None:
    fields: tuple[Fields, Fields] = ({}, {"clusterIP": "None"})
    await one_after_the_other(prod, "types", east, west, fields)
    for site in (east, west):
        await site.wait_condition(prod, "types", "Conflict", "True/TypeConflict")
        first, _ = await addresses(site, prod, "types")
        assert await site.look_up(prod, f"types.{prod}.svc.clusterset.local") == {first}
        await site.wait_answers(prod, first, 80, EVERYBODY)


@pytest.mark.requirement("MCS-38", "MCS-82", "MCS-96")
@pytest.mark.parametrize(("family", "kind", "other"), [("IPv4", "A", "AAAA"), ("IPv6", "AAAA", "A")])
async def test_a_service_of_one_family_has_an_address_and_traffic_of_that_family_only(
    east: Site, west: Site, prod: str, family: str, kind: str, other: str
) -> None:
    name = f"only-{family.lower()}"
    await export(prod, name, east, ipFamilyPolicy="SingleStack", ipFamilies=[family])
    for site in (east, west):
        await site.wait_answers(prod, f"{name}.{prod}.svc.clusterset.local", 80, EAST)
        item = await site.wait_import(prod, name)
        assert item.spec is not None
        assert item.spec.ip_families == (family,)
        await site.wait_names(prod, f"{name}.{prod}.svc.clusterset.local", set(item.spec.ips), kind=kind)
        assert await site.look_up(prod, f"{name}.{prod}.svc.clusterset.local", other) == set()


@pytest.mark.requirement("MCS-38", "MCS-35")
async def test_a_family_that_only_one_exporter_has_is_left_out_and_everybody_is_reached(
    east: Site, west: Site, prod: str
) -> None:
    fields: tuple[Fields, Fields] = ({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}, {})
    await one_after_the_other(prod, "mixed", east, west, fields)
    for site in (east, west):
        await site.wait_answers(prod, f"mixed.{prod}.svc.clusterset.local", 80, EVERYBODY)
        item = await site.wait_import(prod, "mixed")
        assert item.spec is not None
        assert item.spec.ip_families == ("IPv4",)
