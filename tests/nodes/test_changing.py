"""Services that become others under their consumers, and imports that a quota forbids."""

import pytest

from isthmus.api.mcs import ZONE
from isthmus.api.scheme import Manifest, Resource
from isthmus.testing.waiting import eventually
from tests.nodes import pods
from tests.nodes.site import NOBODY, Site
from tests.nodes.test_merging import one_after_the_other
from tests.nodes.test_policies import everybodys_addresses
from tests.nodes.test_traffic import EAST, EVERYBODY, addresses, export

QUOTAS: Resource[Manifest] = Resource("", "v1", "resourcequotas", "ResourceQuota", dict)


@pytest.mark.requirement("MCS-33", "MCS-34", "MCS-37", "MCS-42", "MCS-51", "MCS-53")
async def test_a_service_that_becomes_headless_has_its_address_again_once_it_is_none_any_more(
    east: Site, west: Site, prod: str
) -> None:
    await one_after_the_other(prod, "becomes", east, west, ({}, {}))
    name = f"becomes.{prod}.svc.{ZONE}"
    before = {site.name: await addresses(site, prod, "becomes") for site in (east, west)}
    for site in (east, west):
        await site.wait_answers(prod, before[site.name][0], 80, EVERYBODY)
    await east.withdraw(prod, "becomes")
    await east.offer(prod, "becomes", clusterIP="None")
    found = await everybodys_addresses(east, west, prod)
    for site in (east, west):
        await site.wait_names(prod, name, {each for each in found if ":" not in each})
        await site.wait_names(prod, name, {each for each in found if ":" in each}, kind="AAAA")
        item = await site.wait_import(prod, "becomes")
        assert item.spec is not None
        assert (item.spec.type, item.spec.ips, item.spec.ip_families) == ("Headless", (), ("IPv4", "IPv6"))
        assert set(await site.ask(prod, name, pods.PORT, times=5)) <= EVERYBODY
        await site.wait_answers(prod, before[site.name][0], 80, {NOBODY})
        await site.wait_condition(prod, "becomes", "Conflict", "True/TypeConflict")
    await east.withdraw(prod, "becomes")
    await east.offer(prod, "becomes")
    for site in (east, west):
        await site.wait_names(prod, name, {before[site.name][0]})
        await site.wait_answers(prod, name, 80, EVERYBODY)
        assert await addresses(site, prod, "becomes") == before[site.name]
        await site.wait_condition(prod, "becomes", "Conflict", "False/NoConflicts")


@pytest.mark.requirement("MCS-28", "MCS-33", "MCS-38", "MCS-82")
async def test_a_family_that_comes_has_an_address_which_stays_when_the_family_goes(
    east: Site, west: Site, prod: str
) -> None:
    await export(prod, "grows", east, ipFamilyPolicy="SingleStack", ipFamilies=["IPv4"])
    name = f"grows.{prod}.svc.{ZONE}"
    await west.wait_answers(prod, name, 80, EAST)
    item = await west.wait_import(prod, "grows")
    assert item.spec is not None
    (first,) = item.spec.ips
    assert await west.look_up(prod, name, "AAAA") == set()
    await east.offer(prod, "grows", ipFamilyPolicy="PreferDualStack", ipFamilies=["IPv4", "IPv6"])
    both = await addresses(west, prod, "grows")
    assert both[0] == first
    await west.wait_names(prod, name, {both[1]}, kind="AAAA")
    for address in both:
        await west.wait_answers(prod, address, 80, EAST)
    await east.offer(prod, "grows", ipFamilyPolicy="SingleStack", ipFamilies=["IPv4"])
    await west.wait_answers(prod, both[1], 80, {NOBODY})
    await west.wait_answers(prod, first, 80, EAST)
    assert await addresses(west, prod, "grows") == both
    assert "the IPv6 address stays" in await ready_of(west, prod, "grows")


async def ready_of(site: Site, namespace: str, name: str) -> str:
    """The import's Ready, with its reason and message."""
    item = await site.service_import(namespace, name)
    conditions = item.status.conditions if item.status else ()
    return next((f"{each.status} {each.reason} {each.message}" for each in conditions if each.type == "Ready"), "")


@pytest.mark.requirement("MCS-28")
async def test_a_quota_of_no_services_is_told_and_overcome_once_it_is_lifted(east: Site, west: Site, prod: str) -> None:
    used = {"metadata": {"name": "none"}, "spec": {"hard": {"services": "0"}}}
    await west.client.create(QUOTAS, {"apiVersion": "v1", "kind": "ResourceQuota", **used}, namespace=prod)
    try:

        async def in_force() -> bool:
            return "hard" in (await west.client.get(QUOTAS, "none", namespace=prod)).get("status", {})

        await eventually(in_force, what="the quota is in force")
        await export(prod, "counted", east)

        async def told() -> bool:
            said = await ready_of(west, prod, "counted")
            return said.startswith("False Failed") and "exceeded quota" in said and "raise" in said

        await eventually(told, what="the quota told in the import's Ready")
        assert await west.look_up(prod, f"counted.{prod}.svc.{ZONE}") == set()
    finally:
        await west.client.delete(QUOTAS, "none", namespace=prod)
    await west.wait_answers(prod, f"counted.{prod}.svc.{ZONE}", 80, EAST)
