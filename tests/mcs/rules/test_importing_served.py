"""The derived Service as API servers take it, through all that a service can turn into; its addresses never change."""

import itertools

import msgspec
import pytest

from isthmus.api.core import CRDS, ENDPOINT_SLICES, SERVICES, Service
from isthmus.api.crds import MCS_CRDS
from isthmus.api.mcs import SERVICE_IMPORTS, ServiceImport
from isthmus.kube.client import ListOptions, WriteOptions
from isthmus.mcs.rules.constituent import Constituent
from isthmus.mcs.rules.importing import Here, Plan, imported
from isthmus.mcs.rules.merge import Merged
from isthmus.mcs.rules.slices import Sources, wanted_slices
from isthmus.testing.cluster import TestCluster
from isthmus.testing.waiting import eventually
from tests.mcs.rules.examples import NAME, constituent, exported_slice, merged_of, port

AGENT = WriteOptions(manager="isthmus-agent", force=True)
NUMBERS = itertools.count()
DUAL = ("IPv4", "IPv6")
HERE = Here("north", families=DUAL, region="eu", zones=frozenset({"a"}))


class Importer:
    """Does by hand, in one namespace, what a controller does with the rules' answers."""

    def __init__(self, cluster: TestCluster, namespace: str) -> None:
        self.client = cluster.client
        self.namespace = namespace
        self.seen: ServiceImport | None = None
        self.plan: Plan | None = None

    async def imports(self, *exporters: Constituent) -> ServiceImport:
        """Apply until nothing is left to do: five passes are plenty."""
        merged = merged_of(*(self._here(each) for each in exporters))
        for _ in range(5):
            before = (self.seen, self.plan)
            await self._apply(merged)
            if before == (self.seen, self.plan) and self.seen is not None:
                return self.seen
        raise AssertionError(f"still something to do: {self.plan}")

    def _here(self, each: Constituent) -> Constituent:
        spec = msgspec.structs.replace(each.spec, namespace=self.namespace)
        return Constituent(each.cluster, each.created, spec, each.notes)

    async def _apply(self, merged: Merged) -> None:
        services = {each.metadata.name: each for each in await self.services()}
        self.plan = imported(merged, HERE, seen=self.seen, services=services)
        wanted = msgspec.to_builtins(self.plan.service_import)
        self.seen = await self.client.apply(SERVICE_IMPORTS, wanted, namespace=self.namespace, options=AGENT)
        if self.plan.derived is not None:
            await self.client.apply(SERVICES, self.plan.derived, namespace=self.namespace, options=AGENT)
        slices = wanted_slices(merged, self.plan, Sources(), HERE, owner=self.seen)
        for each in slices.wanted:
            await self.client.apply(ENDPOINT_SLICES, msgspec.to_builtins(each), namespace=self.namespace, options=AGENT)

    async def services(self) -> list[Service]:
        listed = await self.client.list(SERVICES, namespace=self.namespace)
        return list(listed.items)

    async def derived(self) -> Service:
        (service,) = await self.services()
        return service


@pytest.fixture
async def importer(cluster: TestCluster) -> Importer:
    """A namespace of its own, and the MCS API."""
    name = f"importing-{next(NUMBERS)}"
    await cluster.namespace(name)
    for crd in MCS_CRDS:
        await cluster.client.apply(CRDS, crd, options=WriteOptions(manager="test", force=True))

    async def served() -> bool:
        await cluster.client.list(SERVICE_IMPORTS, namespace=name)
        return True

    await eventually(served)
    return Importer(cluster, name)


def ips(seen: ServiceImport) -> tuple[str, ...]:
    assert seen.spec
    return seen.spec.ips


@pytest.mark.requirement("MCS-31", "MCS-32", "MCS-33", "MCS-61")
async def test_addresses_survive_everything_a_service_can_turn_into(importer: Importer) -> None:
    first = ips(await importer.imports(constituent("east")))
    assert len(first) == 1
    turned = [
        constituent("east", port("web", 8080), port("dns", 53, "UDP")),
        constituent("east", port("", 80), session_affinity="ClientIP"),
        constituent("east", internal_traffic_policy="Local", traffic_distribution="PreferSameNode"),
        constituent("east", port("s", 9, "SCTP"), port("h", 80, app="kubernetes.io/h2c")),
        constituent("east"),
    ]
    for each in turned:
        assert ips(await importer.imports(each)) == first
    assert (await importer.derived()).spec.session_affinity == "None"
    assert (await importer.derived()).spec.traffic_distribution == ""
    union = await importer.imports(constituent("east", port("", 80)), constituent("west", port("b", 81), on=2))
    assert ips(union) == first
    assert [each.name for each in (await importer.derived()).spec.ports] == ["tcp-80", "b"]


@pytest.mark.requirement("MCS-32", "MCS-33", "MCS-38")
async def test_a_second_family_may_come_and_then_stays(importer: Importer) -> None:
    (first,) = ips(await importer.imports(constituent("east")))
    both = ips(await importer.imports(constituent("east", ip_families=("IPv6", "IPv4"))))
    assert both[0] == first
    assert ":" in both[1]
    for families in (("IPv4",), ("IPv6",), ("IPv6", "IPv4")):
        seen = await importer.imports(constituent("east", ip_families=families))
        assert ips(seen) == both
        assert seen.spec
        assert seen.spec.ip_families == ("IPv4", "IPv6")


@pytest.mark.requirement("MCS-33", "MCS-34", "MCS-38")
async def test_headless_and_back_gives_the_same_addresses_even_if_the_service_was_lost(importer: Importer) -> None:
    dual = constituent("east", ip_families=DUAL)
    before = ips(await importer.imports(dual))
    assert len(before) == 2
    assert ips(await importer.imports(constituent("east", type="Headless"))) == ()
    derived = await importer.derived()
    assert derived.spec.cluster_ips == before
    await importer.client.delete(SERVICES, derived.metadata.name, namespace=importer.namespace)
    assert ips(await importer.imports(dual)) == before
    assert (await importer.derived()).spec.cluster_ips == before


@pytest.mark.requirement("MCS-33")
async def test_a_lost_service_comes_back_with_its_addresses(importer: Importer) -> None:
    before = ips(await importer.imports(constituent("east", ip_families=DUAL)))
    await importer.client.delete(SERVICES, (await importer.derived()).metadata.name, namespace=importer.namespace)
    assert ips(await importer.imports(constituent("east", ip_families=DUAL))) == before


@pytest.mark.requirement("MCS-62", "MCS-67", "MCS-73")
async def test_slices_are_taken_with_hints_hostnames_and_foreign_zones(importer: Importer) -> None:
    pod = msgspec.structs.replace(exported_slice("10.1.0.5").endpoints[0], hostname="shop-0", zone="a")
    v4 = msgspec.structs.replace(exported_slice(), endpoints=(pod,))
    east = constituent(
        "east",
        ip_families=DUAL,
        traffic_distribution="PreferClose",
        slices=(v4, exported_slice("fd69:1::5", family="IPv6")),
    )
    await importer.imports(east)
    options = ListOptions(labels=f"multicluster.kubernetes.io/service-name={NAME}")
    listed = await importer.client.list(ENDPOINT_SLICES, namespace=importer.namespace, options=options)
    assert sorted(each.address_type for each in listed.items) == ["IPv4", "IPv6"]
    assert all(each.endpoints[0].hints for each in listed.items)
