"""Policies of a Service by what traffic to its clusterset name does, in kube-proxy's hands."""

from collections import Counter

import pytest

from isthmus.testing.waiting import eventually
from tests.nodes.site import NOBODY, Site
from tests.nodes.test_traffic import EAST, WEST, addresses, export

FEW, MANY = 10, 30


@pytest.mark.requirement("MCS-39", "MCS-45")
@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
async def test_a_client_stays_with_one_pod_until_it_was_silent_for_the_timeout(
    east: Site, west: Site, prod: str, family: int
) -> None:
    name = f"sticky-{family}"
    timeout = {"clientIP": {"timeoutSeconds": 2}}
    await export(prod, name, east, west, sessionAffinity="ClientIP", sessionAffinityConfig=timeout)
    for site in (east, west):
        await site.wait_addresses(prod, name, await everybodys_addresses(east, west, prod))
    address = (await addresses(west, prod, name))[family]

    async def answered() -> bool:
        return NOBODY not in await west.ask(prod, address, 80)

    await eventually(answered)
    stays = await west.ask(prod, address, 80, times=MANY)
    assert len(stays) == 1, stays
    # After more than the timeout another pod may answer; with three pods it does before long.
    pause = f"sleep 3; {asks_once(address)}"
    seen: Counter[str] = Counter()

    async def another() -> bool:
        _, said = await west.run(prod, "client", "sh", "-c", pause)
        seen.update([said.split()[0]])
        return len(seen) > 1

    await eventually(another, within=40.0, what="another pod answers")


def asks_once(address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"curl -sS --max-time 5 http://{host}"


async def everybodys_addresses(east: Site, west: Site, namespace: str) -> set[str]:
    found = [(east, name) for name in EAST] + [(west, name) for name in WEST]
    return {address for site, name in found for address in await site.pod_addresses(namespace, name)}


@pytest.mark.requirement("MCS-40")
async def test_internal_traffic_policy_local_stays_on_the_own_node(east: Site, west: Site, prod: str) -> None:
    await export(prod, "inside", east, west, internalTrafficPolicy="Local")
    for site, own in ((east, EAST), (west, WEST)):
        for address in await addresses(site, prod, "inside"):
            await site.wait_answers(prod, address, 80, own)
            assert set(await site.ask(prod, address, 80, times=MANY)) == own


@pytest.mark.requirement("MCS-40")
async def test_internal_traffic_policy_local_reaches_nobody_where_there_is_no_own_pod(
    east: Site, west: Site, prod: str
) -> None:
    await export(prod, "inside-east", east, internalTrafficPolicy="Local")
    await east.wait_answers(prod, (await addresses(east, prod, "inside-east"))[0], 80, EAST)
    for address in await addresses(west, prod, "inside-east"):
        await west.wait_answers(prod, address, 80, {NOBODY})


@pytest.mark.requirement("MCS-41", "MCS-73")
@pytest.mark.parametrize("distribution", ["PreferClose", "PreferSameNode"])
async def test_traffic_prefers_what_is_near_and_goes_far_where_nothing_is(
    east: Site, west: Site, prod: str, distribution: str
) -> None:
    name = distribution.lower()
    await export(prod, name, east, west, trafficDistribution=distribution)
    for site, own in ((east, EAST), (west, WEST)):
        for address in await addresses(site, prod, name):
            await site.wait_answers(prod, address, 80, own)
            assert set(await site.ask(prod, address, 80, times=MANY)) == own
    # Where the own cluster has nothing to offer, the other one serves.
    await west.unexport(prod, name)
    for address in await addresses(west, prod, name):
        await west.wait_answers(prod, address, 80, EAST)
