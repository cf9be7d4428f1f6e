"""An upgrade, and nodes that are drained, under a steady load of requests by name."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import LEASES, PODS
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.errors import IsthmusError
from isthmus.install.kinds import whole
from isthmus.install.workloads import NAME_LABEL
from isthmus.testing.waiting import eventually
from tests.nodes.installed import install
from tests.nodes.site import Site
from tests.nodes.steady import Steady
from tests.nodes.test_traffic import EVERYBODY, addresses, export
from tests.real.images import IMAGE

# The same image under another name: to Kubernetes another one.
NEXT = f"{IMAGE}-next"
REPLICAS = 2
AGENT, DNS = "isthmus-agent", "isthmus-dns"
EVERY = 0.25


@dataclass
class Seen:
    """The fewest ready pods of each Deployment at any moment, and the most pods that were not about to end."""

    fewest: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)

    async def look(self, site: Site) -> None:
        """Count them now."""
        ready: Counter[str] = Counter()
        running: Counter[str] = Counter()
        for pod in (await site.client.list(PODS, namespace=SYSTEM_NAMESPACE)).items:
            if "deletionTimestamp" in pod["metadata"]:
                continue
            name = f"{site.name}/{pod['metadata']['labels'][NAME_LABEL]}"
            conditions = pod.get("status", {}).get("conditions", ())
            ready[name] += any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)
            running[name] += 1
        for name, count in running.items():
            self.fewest[name] = min(ready[name], self.fewest.get(name, count))
            self.most[name] = max(count, self.most.get(name, 0))


@contextlib.asynccontextmanager
async def observed(sites: Sequence[Site]) -> AsyncIterator[Seen]:
    """Look again and again, for the length of the block."""
    seen = Seen()

    async def look() -> None:
        while True:
            for site in sites:
                await seen.look(site)
            await asyncio.sleep(EVERY)

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look(), name="look at pods")
        yield seen
        looking.cancel()


async def images(site: Site) -> set[str]:
    """What the pods of our Deployments run that are there to stay."""
    found = (await site.client.list(PODS, namespace=SYSTEM_NAMESPACE)).items
    kept = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
    return {container["image"] for pod in kept for container in pod["spec"]["containers"]}


# Two upgrades of everything, on machines of any speed.
@pytest.mark.timeout(420, func_only=True)
@pytest.mark.requirement("MCS-30", "MCS-45")
async def test_no_request_is_lost_while_everything_is_upgraded_and_put_back(east: Site, west: Site, prod: str) -> None:
    sites = (east, west)
    await export(prod, "rolling", *sites)
    before = {site.name: await addresses(site, prod, "rolling") for site in sites}
    name = f"rolling.{prod}.svc.clusterset.local"
    for site in sites:
        await site.wait_answers(prod, name, 80, EVERYBODY)
        site.node.inside("ctr", "-n", "k8s.io", "images", "tag", "--force", IMAGE, NEXT)
    nodes = [site.node for site in sites]
    async with observed(sites) as seen, Steady(east, prod, name) as near, Steady(west, prod, name) as far:
        try:
            upgrade = asyncio.create_task(asyncio.to_thread(install, nodes, image=NEXT), name="upgrade")
            # What is exported meanwhile is not forgotten either.
            await export(prod, "meanwhile", west)
            await upgrade
            for site in sites:
                assert await images(site) == {NEXT}
            await east.wait_import(prod, "meanwhile")
            await west.wait_condition(prod, "meanwhile", "Ready", "True/Exported")
        finally:
            await asyncio.to_thread(install, nodes, image=IMAGE)
        await near.none_was_lost(at_least=30)
        await far.none_was_lost(at_least=30)
    for site in sites:
        assert await images(site) == {IMAGE}
        assert await addresses(site, prod, "rolling") == before[site.name]
    deployments = {"east/isthmus-hub", *(f"{site.name}/{each}" for site in sites for each in (AGENT, DNS))}
    # Never fewer than wanted, and never more than one beside them.
    assert seen.fewest == dict.fromkeys(deployments, REPLICAS)
    assert seen.most == dict.fromkeys(deployments, REPLICAS + 1)
    await wait_led(east, west)


async def wait_led(*sites: Site) -> None:
    """Return once a pod that is there leads in each cluster."""
    for site in sites:

        async def is_led(site: Site = site) -> bool:
            lease = await site.client.get(LEASES, AGENT, namespace=SYSTEM_NAMESPACE)
            pods = (await site.client.list(PODS, namespace=SYSTEM_NAMESPACE)).items
            holder = lease.spec.holder_identity or ""
            return any(holder.startswith(pod["metadata"]["name"]) for pod in pods)

        await eventually(is_led, what=f"an agent leads in {site.name}")


async def test_a_drain_gets_one_pod_at_a_time_and_loses_no_request(east: Site, west: Site, prod: str) -> None:
    await export(prod, "drained", east, west)
    name = f"drained.{prod}.svc.clusterset.local"
    await west.wait_answers(prod, name, 80, EVERYBODY)
    async with Steady(west, prod, name) as load:
        for deployment in (DNS, AGENT):
            first, second = await pods_of(west, deployment)
            evict(west, first)
            with pytest.raises(RuntimeError, match="disruption budget"):
                evict(west, second)
            await wait_replaced(west, deployment, first)
        await load.none_was_lost()


def evict(site: Site, pod: str) -> None:
    """As `kubectl drain` does; RuntimeError where it is not allowed now."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": SYSTEM_NAMESPACE},
    }
    site.node.server.create(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{pod}/eviction", body)


async def pods_of(site: Site, deployment: str) -> list[str]:
    found = (await site.client.list(PODS, namespace=SYSTEM_NAMESPACE)).items
    return sorted(
        pod["metadata"]["name"]
        for pod in found
        if pod["metadata"]["labels"][NAME_LABEL] == deployment and "deletionTimestamp" not in pod["metadata"]
    )


async def wait_replaced(site: Site, deployment: str, gone: str) -> None:
    async def check() -> bool:
        try:
            seen = await site.client.get(whole(DEPLOYMENTS), deployment, namespace=SYSTEM_NAMESPACE)
        except IsthmusError:
            return False
        names = await pods_of(site, deployment)
        return seen.get("status", {}).get("availableReplicas") == REPLICAS == len(names) and gone not in names

    await eventually(check, within=60.0, what=f"{deployment} has {REPLICAS} pods again")
