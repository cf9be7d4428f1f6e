"""Imports that somebody or something works against: tenants, quotas, names that are taken, other versions."""

import copy

import pytest

from isthmus.api.core import CRDS, ENDPOINT_SLICES, EVENTS, MANAGED_BY_LABEL, NAMESPACES, SERVICE_NAME_LABEL, SERVICES
from isthmus.api.crds import MCS_CRDS
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL
from isthmus.api.mcs import SERVICE_NAME_LABEL as IMPORT_NAME_LABEL
from isthmus.api.mcs import SOURCE_CLUSTER_LABEL, ServiceImport
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import NotFound
from isthmus.testing import objects
from isthmus.testing.cluster import BY_HAND, TestCluster
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually, throughout
from tests.conftest import CONTROL_PLANE
from tests.fleets import MakeFleet

EAST, THIEF = "10.77.0.5", "10.66.0.6"
QUOTAS: Resource[Manifest] = Resource("", "v1", "resourcequotas", "ResourceQuota", dict)


async def shop_from_east(fleet: Fleet) -> tuple[TestCluster, str, str]:
    """East exports a shop; west has it, and its derived Service has this name."""
    east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
    await east.serve(namespace, "shop", [EAST])
    await east.export(namespace, "shop")
    await west.wait_import(namespace, "shop")
    await west.wait_addresses(namespace, "shop", {EAST})
    derived = await west.derived(namespace, "shop")
    assert derived is not None
    return west, namespace, derived.metadata.name


EDITS: list[tuple[str, Manifest]] = [
    ("a selector", {"spec": {"selector": {"app": "thief"}}}),
    ("addresses of others", {"spec": {"externalIPs": ["10.66.0.1"]}}),
    ("backends that are not ready", {"spec": {"publishNotReadyAddresses": True}}),
    ("another type", {"spec": {"type": "NodePort"}}),
    ("another port", {"spec": {"ports": [{"name": "http", "port": 8888, "protocol": "TCP"}]}}),
    ("affinity", {"spec": {"sessionAffinity": "ClientIP"}}),
    ("traffic that stays on its node", {"spec": {"internalTrafficPolicy": "Local"}}),
    ("our mark taken off", {"metadata": {"labels": {MARKER_LABEL: None, IMPORT_NAME_LABEL: None}}}),
]


@pytest.mark.requirement("MCS-26", "MCS-33")
async def test_a_tenant_who_edits_the_derived_service_gains_nothing(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        west, namespace, name = await shop_from_east(fleet)
        before = await west.client.get(SERVICES, name, namespace=namespace)
        for what, edit in EDITS:
            await west.client.merge_patch(SERVICES, name, edit, namespace=namespace)

            async def undone() -> bool:
                now = await west.client.get(SERVICES, name, namespace=namespace)
                return (now.spec, now.metadata.labels) == (before.spec, before.metadata.labels)

            await eventually(undone, what=f"undone: {what}")
        listed = await west.client.list(SERVICES, namespace=namespace)
        assert {each.metadata.name for each in listed.items} == {name}


@pytest.mark.requirement("MCS-26", "MCS-33")
async def test_a_port_that_a_tenant_adds_is_taken_away_and_the_address_stays(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        west, namespace, name = await shop_from_east(fleet)
        before = await west.client.get(SERVICES, name, namespace=namespace)
        more = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": [{"name": "more", "port": 9999, "protocol": "TCP"}]},
        }
        await west.client.apply(SERVICES, more, namespace=namespace, options=BY_HAND)

        async def undone() -> bool:
            now = await west.client.get(SERVICES, name, namespace=namespace)
            return [port.port for port in now.spec.ports] == [80] and now.spec.cluster_ips == before.spec.cluster_ips

        await eventually(undone)


@pytest.mark.requirement("MCS-26", "MCS-66")
async def test_a_tenant_who_adds_slices_gains_nothing(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        west, namespace, name = await shop_from_east(fleet)
        disguises = [
            {SERVICE_NAME_LABEL: name},
            {SERVICE_NAME_LABEL: name, MANAGED_BY_LABEL: MANAGED_BY},
            {SERVICE_NAME_LABEL: name, MANAGED_BY_LABEL: MANAGED_BY, IMPORT_NAME_LABEL: "shop"},
            {IMPORT_NAME_LABEL: "shop", SOURCE_CLUSTER_LABEL: "east"},
            {IMPORT_NAME_LABEL: "shop", SOURCE_CLUSTER_LABEL: "east", MANAGED_BY_LABEL: MANAGED_BY},
        ]
        for number, labels in enumerate(disguises):
            piece = objects.endpoints(namespace, "shop", [THIEF], index=number + 10)
            piece["metadata"] |= {"name": f"thief-{number}", "labels": labels}
            await west.client.create(ENDPOINT_SLICES, piece, namespace=namespace)

        async def none_is_left() -> bool:
            listed = await west.client.list(ENDPOINT_SLICES, namespace=namespace)
            return not [each for each in listed.items if each.metadata.name.startswith("thief")]

        await eventually(none_is_left)
        assert await west.addresses(namespace, "shop") == {EAST}


def ready_of(item: ServiceImport) -> tuple[str, str, str]:
    conditions = item.status.conditions if item.status is not None else ()
    return next(((each.status, each.reason, each.message) for each in conditions if each.type == "Ready"), ("", "", ""))


@pytest.mark.requirement("MCS-28")
@pytest.mark.parametrize("kind", [CONTROL_PLANE], indirect=True)
async def test_a_quota_of_no_services_is_reported_and_overcome_once_it_is_lifted(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
        await west.client.create(QUOTAS, quota | {"spec": {"hard": {"services": "0"}}}, namespace=namespace)

        async def counted() -> bool:
            return "hard" in (await west.client.get(QUOTAS, "none", namespace=namespace)).get("status", {})

        await eventually(counted, what="the quota is in force")
        await east.serve(namespace, "shop", [EAST])
        await east.export(namespace, "shop")

        async def told() -> bool:
            status, reason, message = ready_of(await west.service_import(namespace, "shop"))
            return (status, reason) == ("False", "Failed") and "exceeded quota" in message and "raise" in message

        await eventually(told)

        async def told_by_event() -> bool:
            events = (await west.client.list(EVENTS, namespace=namespace)).items
            mine = [each for each in events if each.involved_object.kind == "ServiceImport"]
            return [(each.type, each.reason) for each in mine] == [("Warning", "Failed")]

        await eventually(told_by_event)
        await west.client.merge_patch(QUOTAS, "none", {"spec": {"hard": {"services": "5"}}}, namespace=namespace)
        await west.wait_import(namespace, "shop", within=10)
        await west.wait_addresses(namespace, "shop", {EAST})


def older(crd: Manifest) -> Manifest:
    """The definition as 0.3 had it: v1alpha1 alone, without what came later."""
    old = copy.deepcopy(crd)
    (version,) = [each for each in old["spec"]["versions"] if each["name"] == "v1alpha1"]
    version |= {"storage": True, "served": True}
    old["spec"]["versions"] = [version]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    for part, names in (("spec", ("ipFamilies", "internalTrafficPolicy", "trafficDistribution")),):
        for name in names:
            properties[part]["properties"].pop(name, None)
    for name in ("endpointSliceObjects", "conditions"):
        if crd["metadata"]["name"].startswith("serviceimports"):
            properties["status"]["properties"].pop(name, None)
    return old


@pytest.mark.requirement("MCS-47")
async def test_a_cluster_whose_definitions_are_older_takes_part(make_fleet: MakeFleet) -> None:
    exports = Resource("multicluster.x-k8s.io", "v1alpha1", "serviceexports", "ServiceExport", dict)
    imports = Resource("multicluster.x-k8s.io", "v1alpha1", "serviceimports", "ServiceImport", dict)
    async with make_fleet() as fleet:
        east, west, namespace = fleet["east"], fleet["west"], fleet.namespace
        await fleet.agents["west"].kill()
        try:
            await define(west, [older(crd) for crd in MCS_CRDS])
            fleet.agents["west"] = await fleet.start_agent("west")
            await east.serve(namespace, "shop", [EAST])
            await east.export(namespace, "shop")
            await west.wait_addresses(namespace, "shop", {EAST})
            await west.serve(namespace, "cart", ["10.78.0.9"])
            export = objects.service_export(namespace, "cart") | {"apiVersion": exports.api_version}
            await west.client.apply(exports, export, namespace=namespace, options=BY_HAND)
            await east.wait_import(namespace, "cart")

            async def complete() -> bool:
                item = await west.client.get(imports, "shop", namespace=namespace)
                said = await west.client.get(exports, "cart", namespace=namespace)
                conditions = {each["type"]: each["status"] for each in said.get("status", {}).get("conditions", ())}
                return bool(
                    item["spec"].get("ips")
                    and item.get("status", {}).get("clusters") == [{"cluster": "east"}]
                    and conditions.get("Ready") == "True"
                )

            await eventually(complete)
            await east.unexport(namespace, "shop")

            async def gone() -> bool:
                listed = (await west.client.list(imports, namespace=namespace)).items
                return "shop" not in {each["metadata"]["name"] for each in listed}

            await eventually(gone)
        finally:
            await fleet.agents["west"].kill()
            await define(west, MCS_CRDS)


async def define(cluster: TestCluster, crds: list[Manifest] | tuple[Manifest, ...]) -> None:
    """Let the cluster have these definitions instead of those it has, with nothing stored."""
    for crd in crds:
        name = crd["metadata"]["name"]
        await cluster.client.delete(CRDS, name)

        async def forgotten(name: str = name) -> bool:
            try:
                await cluster.client.get(CRDS, name)
            except NotFound:
                return True
            return False

        await eventually(forgotten)
        await cluster.client.create(CRDS, crd)
    for crd in crds:
        group, names = crd["spec"]["group"], crd["spec"]["names"]
        version = crd["spec"]["versions"][-1]["name"]
        kind: Resource[Manifest] = Resource(group, version, names["plural"], names["kind"], dict)

        async def served(kind: Resource[Manifest] = kind) -> bool:
            return await cluster.client.serves(kind)

        await eventually(served)


@pytest.mark.requirement("MCS-24", "MCS-25")
async def test_nothing_is_made_in_a_namespace_that_hangs_in_termination(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, other = fleet["east"], fleet["west"], f"{fleet.namespace}-going"
        holding = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "stays", "finalizers": ["test.dev/held"]},
        }
        for cluster in (east, west):
            await cluster.namespace(other)
        await east.serve(other, "shop", [EAST])
        await east.export(other, "shop")
        await west.wait_import(other, "shop")
        await west.client.create(SERVICES, holding | {"spec": {"ports": [{"port": 1}]}}, namespace=other)
        await west.client.delete(NAMESPACES, other)
        await west.wait_no_import(other, "shop")

        async def still_nothing() -> bool:
            return {each.metadata.name for each in (await west.client.list(SERVICES, namespace=other)).items} == {
                "stays"
            }

        await eventually(still_nothing)
        await east.back(other, "shop", ["10.77.0.6"])
        await throughout(still_nothing, seconds=1)
        await west.client.merge_patch(SERVICES, "stays", {"metadata": {"finalizers": None}}, namespace=other)
        await east.wait_addresses(other, "shop", {"10.77.0.6"})
