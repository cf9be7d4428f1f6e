"""What exports say of themselves, in every cluster that takes part."""

import pytest

from isthmus.api.core import EVENTS
from isthmus.api.mcs import SERVICE_EXPORTS
from isthmus.testing import objects
from isthmus.testing.waiting import eventually
from tests.fleets import MakeFleet

# An affinity that is ClientIP has a time-out, too: of the same meaning, but a setting that the other lacks.
BOTH = "True/PortConflict,SessionAffinityConflict,SessionAffinityConfigConflict"
HTTP_8080 = {"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8080}


@pytest.mark.requirement("MCS-20", "MCS-22")
async def test_an_export_that_is_published_says_so(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east = fleet["east"]
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")
        await east.wait_condition(fleet.namespace, "shop", "Valid", "True/Valid")
        await east.wait_condition(fleet.namespace, "shop", "Ready", "True/Exported")
        await east.wait_condition(fleet.namespace, "shop", "Conflict", "False/NoConflicts")
        export = await east.service_export(fleet.namespace, "shop")
        assert export.status is not None
        assert {each.observed_generation for each in export.status.conditions} == {export.metadata.generation}


@pytest.mark.requirement("MCS-48", "MCS-51", "MCS-52", "MCS-53", "MCS-57")
async def test_a_conflict_is_told_on_both_sides_while_it_lasts(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west = fleet["east"], fleet["west"]
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")
        before = await west.wait_import(fleet.namespace, "shop")
        other = objects.service(fleet.namespace, "shop", ports=[HTTP_8080], sessionAffinity="ClientIP")
        await west.serve(fleet.namespace, "shop", ["10.78.0.5"], service=other)
        export = await east.service_export(fleet.namespace, "shop")

        async def later() -> bool:
            # Creation times have a resolution of one second: a younger export needs another second.
            await west.unexport(fleet.namespace, "shop")
            await west.export(fleet.namespace, "shop")
            made = await west.service_export(fleet.namespace, "shop")
            assert made.metadata.creation_timestamp is not None
            assert export.metadata.creation_timestamp is not None
            return made.metadata.creation_timestamp > export.metadata.creation_timestamp

        await eventually(later)
        for cluster in (east, west):
            await cluster.wait_condition(fleet.namespace, "shop", "Conflict", BOTH)
        now = await west.wait_import(fleet.namespace, "shop")
        assert now.spec == before.spec
        await west.wait_addresses(fleet.namespace, "shop", {"10.77.0.5"})
        await east.unexport(fleet.namespace, "shop")
        await west.wait_condition(fleet.namespace, "shop", "Conflict", "False/NoConflicts")

        async def recomputed() -> bool:
            item = await east.service_import(fleet.namespace, "shop")
            return item.spec is not None and [port.port for port in item.spec.ports] == [8080]

        await eventually(recomputed)


@pytest.mark.requirement("MCS-21")
async def test_a_conflict_is_one_event_per_change_of_its_reason(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west = fleet["east"], fleet["west"]
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")
        other = objects.service(fleet.namespace, "shop", ports=[HTTP_8080])
        await west.serve(fleet.namespace, "shop", ["10.78.0.5"], service=other)
        await west.export(fleet.namespace, "shop")
        await east.wait_condition(fleet.namespace, "shop", "Conflict", "True/PortConflict")

        async def told() -> bool:
            listed = await east.client.list(EVENTS, namespace=fleet.namespace)
            mine = [item for item in listed.items if item.involved_object.kind == "ServiceExport"]
            assert len(mine) <= 1
            return [(item.type, item.reason) for item in mine] == [("Warning", "Conflict")]

        await eventually(told)
        await west.back(fleet.namespace, "shop", ["10.78.0.6"])
        await east.back(fleet.namespace, "shop", ["10.77.0.6"])
        await west.wait_addresses(fleet.namespace, "shop", {"10.77.0.6"})
        assert await told()


@pytest.mark.requirement("MCS-69")
async def test_an_export_that_is_being_deleted_is_withdrawn_though_a_finalizer_holds_it(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west = fleet["east"], fleet["west"]
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")
        await west.wait_import(fleet.namespace, "shop")
        held = {"metadata": {"finalizers": ["test.dev/held"]}}
        await east.client.merge_patch(SERVICE_EXPORTS, "shop", held, namespace=fleet.namespace)
        await east.unexport(fleet.namespace, "shop")
        for cluster in (east, west):
            await cluster.wait_no_import(fleet.namespace, "shop")
        await east.wait_condition(fleet.namespace, "shop", "Ready", "False/Pending")
        export = await east.service_export(fleet.namespace, "shop")
        assert export.status is not None
        assert any("test.dev/held" in condition.message for condition in export.status.conditions)
        await east.client.merge_patch(
            SERVICE_EXPORTS, "shop", {"metadata": {"finalizers": None}}, namespace=fleet.namespace
        )
