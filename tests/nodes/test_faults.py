"""Parts of a node that are killed, frozen or cut off, under a steady load of requests by name from both clusters."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from isthmus.api.core import PODS
from isthmus.testing.waiting import eventually
from tests.nodes import pods
from tests.nodes.site import NOBODY, Site
from tests.nodes.steady import PATIENCE, Steady
from tests.nodes.test_traffic import EAST, EVERYBODY, export

# Requests that are made while a part is away: a few seconds' worth. Of those into a cut cable each takes five.
FEW, WHILE_CUT = 15, 6
BACK_WITHIN = 30.0


@asynccontextmanager
async def loaded(name: str, namespace: str, *sites: Site, limit: int = PATIENCE) -> AsyncIterator[list[Steady]]:
    """A Service that all export, and requests to it from all, answered by everybody before anything happens."""
    await export(namespace, name, *sites)
    host = f"{name}.{namespace}.svc.clusterset.local"
    for site in sites:
        await site.wait_answers(namespace, host, 80, EVERYBODY)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Steady(site, namespace, host, limit=limit)) for site in sites]


def is_back(site: Site, part: str, before: int) -> Callable[[], bool]:
    def check() -> bool:
        try:
            return site.node.process_of(part) != before and site.node.is_ready()
        except LookupError:
            return False

    return check


@pytest.mark.requirement("MCS-33", "MCS-70")
@pytest.mark.parametrize("part", ["kubelet", "kube-proxy", "containerd"])
async def test_no_request_is_lost_while_a_part_of_a_node_is_away_and_it_works_again_soon(
    east: Site, west: Site, prod: str, part: str
) -> None:
    before = west.node.process_of(part)
    async with loaded(f"without-{part}", prod, east, west) as loads:
        west.node.kill(part)
        await loads[0].wait_requests(FEW)
        back = is_back(west, part, before)

        async def runs() -> bool:
            return back()

        await eventually(runs, within=BACK_WITHIN, what=f"{part} runs again")
        west.node.freeze(part)
        try:
            await loads[0].wait_requests(FEW)
        finally:
            west.node.freeze(part, frozen=False)
        await wait_new_pod_serves(east, west, prod, f"after-{part}")
        for load in loads:
            await load.none_was_lost(at_least=2 * FEW)


async def wait_new_pod_serves(east: Site, west: Site, namespace: str, name: str) -> None:
    """Return once a pod that west starts now answers in east, and an address that west learns now leads there too."""
    await export(namespace, name, west, selector={"app": name})
    await west.make(namespace, pods.answering(namespace, name, {"app": name}))
    for site in (east, west):
        await site.wait_answers(namespace, f"{name}.{namespace}.svc.clusterset.local", 80, {name}, within=BACK_WITHIN)
    await west.client.delete(PODS, name, namespace=namespace)


@pytest.mark.requirement("MCS-33", "MCS-76")
async def test_a_cable_that_is_pulled_for_a_moment_costs_no_more_than_what_went_through_it(
    east: Site, west: Site, prod: str
) -> None:
    async with loaded("pulled", prod, east, west, limit=5) as (near, _):
        imported = await east.service_import(prod, "pulled")
        west.node.cut()
        since = time.time()
        try:
            await near.wait_requests(WHILE_CUT)
        finally:
            until = time.time()
            west.node.cut(cut=False)
        during = [each for each in await near.requests(since=since) if each.ended < until]
        # The other exporter goes on; what fails is what was on its way to the pods behind the cable.
        assert {each.who for each in during} - {NOBODY} <= EAST
        assert [each for each in during if not each.is_lost], during

        async def reached() -> bool:
            return west.node.server.is_ready()

        await eventually(reached, within=BACK_WITHIN, what="west is reached again")
        await near.wait_answered_by(EVERYBODY, within=BACK_WITHIN)
        assert (await east.service_import(prod, "pulled")).spec == imported.spec
