"""What the pods of Isthmus take of a node, beside what they ask for."""

import re
from collections.abc import Callable
from decimal import Decimal

from isthmus.api.core import PODS
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.install.workloads import METRICS_PORT
from isthmus.kube.client import ListOptions
from tests.nodes.site import CLIENT, Site

MIB = 1 << 20
RESIDENT = re.compile(r"(?m)^process_resident_memory_bytes (\S+)$")


async def resident(site: Site, namespace: str) -> dict[str, tuple[int, int]]:
    """Of each pod what its process has in memory, and what its manifest asks for, in bytes."""
    found: dict[str, tuple[int, int]] = {}
    running = ListOptions(fields="status.phase=Running")
    for pod in (await site.client.list(PODS, namespace=SYSTEM_NAMESPACE, options=running)).items:
        if "deletionTimestamp" in pod["metadata"]:
            continue
        container = pod["spec"]["containers"][0]
        asked = container["resources"]["requests"]["memory"]
        assert asked.endswith("Mi")
        url = f"http://{pod['status']['podIP']}:{METRICS_PORT}/metrics"
        _, said = await site.run(namespace, CLIENT, "curl", "-sS", "--max-time", "5", url)
        match = RESIDENT.search(said)
        assert match, f"{pod['metadata']['name']}: {said[:200]}"
        found[pod["metadata"]["name"]] = int(Decimal(match[1])), int(asked.removesuffix("Mi")) * MIB
    return found


async def test_what_pods_ask_for_is_what_they_take(
    east: Site, west: Site, prod: str, record_property: Callable[[str, object], None]
) -> None:
    for site in (east, west):
        for pod, (taken, asked) in (await resident(site, prod)).items():
            record_property(f"{site.name}/{pod} resident MiB", round(taken / MIB, 1))
            # Enough to be scheduled by; not so much that nodes seem full which are not.
            assert asked / 3 < taken < asked, f"{site.name}/{pod}: {taken / MIB:.1f} MiB, asked for {asked / MIB:.0f}"
