"""What a cluster exports, as the hub holds it."""

import asyncio
from functools import partial
from typing import TypeVar

import pytest

from isthmus.api.core import ENDPOINT_SLICES, SERVICES
from isthmus.api.isthmus import (
    AGENT_MANAGER,
    CLUSTER_LABEL,
    EXPORTED_ENDPOINTS,
    EXPORTED_SERVICES,
    NAMESPACE_LABEL,
)
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Refused
from isthmus.install.admission import CREATE, Check, Scope, policy
from isthmus.install.manifests import apply, remove
from isthmus.kube.client import WriteOptions
from isthmus.mcs.controllers.export import Exporter
from isthmus.mcs.controllers.views import HubView, MemberView, Views, Writers, key_of
from isthmus.runtime.converge import Converger
from isthmus.runtime.source import Following
from isthmus.testing import objects
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.fleet import Fleet
from isthmus.testing.waiting import eventually, throughout
from tests.fleets import MakeFleet

T = TypeVar("T")


async def wait_exported(fleet: Fleet, *names: str) -> None:
    """Return once the hub holds exactly these exports, "<cluster>.<name>"."""
    wanted = {name.replace(".", f".{fleet.namespace}.") for name in names}

    async def check() -> bool:
        return {item.metadata.name for item in await fleet.exported()} == wanted

    await eventually(check, what=f"exported: {sorted(wanted)}")


@pytest.mark.requirement("MCS-8", "MCS-11", "MCS-12")
async def test_only_what_is_exported_goes_up_and_only_what_belongs_to_it(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east = fleet["east"]
        service = objects.service(fleet.namespace, "shop", sessionAffinity="ClientIP")
        service["metadata"] |= {"labels": {"team": "web"}, "annotations": {"team": "web"}}
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"], service=service)
        await east.serve(fleet.namespace, "private", ["10.77.0.6"])
        await east.export(fleet.namespace, "shop", exportedLabels={"tier": "front"})
        await wait_exported(fleet, "east.shop")
        (item,) = await fleet.exported()
        assert item.spec is not None
        assert (item.spec.exported_labels, item.spec.exported_annotations) == ({"tier": "front"}, {})
        assert item.spec.session_affinity == "ClientIP"
        assert "team" not in item.metadata.labels
        imported = await fleet["west"].wait_import(fleet.namespace, "shop")
        assert imported.metadata.labels["tier"] == "front"
        assert "team" not in {**imported.metadata.labels, **imported.metadata.annotations}


@pytest.mark.requirement("MCS-16")
async def test_an_export_goes_with_its_service_and_comes_back_with_it(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east = fleet["east"]
        await east.export(fleet.namespace, "shop")
        await east.wait_condition(fleet.namespace, "shop", "Valid", "False/NoService")
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await wait_exported(fleet, "east.shop")
        await east.wait_condition(fleet.namespace, "shop", "Valid", "True/Valid")
        await fleet["west"].wait_import(fleet.namespace, "shop")
        await east.client.delete(SERVICES, "shop", namespace=fleet.namespace)
        await wait_exported(fleet)
        await east.wait_condition(fleet.namespace, "shop", "Valid", "False/NoService")
        await fleet["west"].wait_no_import(fleet.namespace, "shop")


@pytest.mark.requirement("MCS-14", "MCS-15")
async def test_an_external_name_cannot_be_exported(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east = fleet["east"]
        manifest = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": fleet.namespace, "name": "shop"},
            "spec": {"type": "ExternalName", "externalName": "example.com"},
        }
        await east.client.apply(SERVICES, manifest, namespace=fleet.namespace, options=BY_HAND)
        await east.export(fleet.namespace, "shop")
        await east.wait_condition(fleet.namespace, "shop", "Valid", "False/InvalidServiceType")
        await east.wait_condition(fleet.namespace, "shop", "Ready", "False/Pending")

        async def nothing_went_up() -> bool:
            return not await fleet.exported()

        await throughout(nothing_went_up, seconds=1)


async def test_what_others_do_to_an_export_on_the_hub_is_undone(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east = fleet["east"]
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")
        await wait_exported(fleet, "east.shop")
        name = f"east.{fleet.namespace}.shop"
        await fleet.hub.client.merge_patch(EXPORTED_SERVICES, name, {"spec": {"ports": []}}, namespace=fleet.set)

        async def undone() -> bool:
            (item,) = await fleet.exported()
            return item.spec is not None and [port.port for port in item.spec.ports] == [80]

        await eventually(undone)
        await fleet.hub.client.delete(EXPORTED_SERVICES, name, namespace=fleet.set)
        await wait_exported(fleet, "east.shop")
        await fleet["west"].wait_addresses(fleet.namespace, "shop", {"10.77.0.5"})


@pytest.mark.requirement("MCS-55")
async def test_an_export_made_anew_is_another_and_younger_export(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east = fleet["east"]
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")
        await wait_exported(fleet, "east.shop")
        (first,) = await fleet.exported()

        async def younger() -> bool:
            # Creation times have a resolution of one second.
            await east.unexport(fleet.namespace, "shop")
            await east.export(fleet.namespace, "shop")
            created = (await east.service_export(fleet.namespace, "shop")).metadata.creation_timestamp
            assert first.spec is not None
            return created is not None and created > first.spec.created

        await eventually(younger)
        made = (await east.service_export(fleet.namespace, "shop")).metadata

        async def renewed() -> bool:
            found = [item.spec for item in await fleet.exported() if item.spec is not None]
            return [(spec.uid, spec.created) for spec in found] == [(made.uid, made.creation_timestamp)]

        await eventually(renewed)
        await east.wait_condition(fleet.namespace, "shop", "Ready", "True/Exported")


@pytest.mark.requirement("MCS-20")
async def test_what_the_hub_refuses_is_told_and_holds_up_nothing_else(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        east, west, hub = fleet["east"], fleet["west"], fleet.hub.client
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")
        await west.wait_import(fleet.namespace, "shop")
        unwanted = f"east.{fleet.namespace}.cart"
        check = Check(f"object.metadata.name != '{unwanted}'", "carts are not wanted here")
        refusing = policy(fleet.set, Scope("isthmus.dev", ("exportedservices",), (CREATE,)), (check,))
        await apply(hub, refusing)
        try:
            await eventually(lambda: is_refused(fleet, unwanted), what="the policy is in force")
            await east.serve(fleet.namespace, "cart", ["10.77.0.6"])
            await east.export(fleet.namespace, "cart")
            await east.wait_condition(fleet.namespace, "cart", "Ready", "False/Failed")
            export = await east.service_export(fleet.namespace, "cart")
            assert export.status is not None
            assert any("carts are not wanted here" in each.message for each in export.status.conditions)
            await east.unexport(fleet.namespace, "shop")
            await west.wait_no_import(fleet.namespace, "shop")
        finally:
            await remove(hub, refusing)
        await east.wait_condition(fleet.namespace, "cart", "Ready", "True/Exported")
        await west.wait_import(fleet.namespace, "cart")


async def is_refused(fleet: Fleet, name: str) -> bool:
    """Whether an ExportedService of that name, made for trial, is turned down."""
    metadata = {"name": name, "namespace": fleet.set}
    manifest = {"apiVersion": EXPORTED_SERVICES.api_version, "kind": EXPORTED_SERVICES.kind, "metadata": metadata}
    try:
        options = WriteOptions(dry_run=True)
        await fleet.hub.client.create(EXPORTED_SERVICES, manifest, namespace=fleet.set, options=options)
    except Refused:
        return True
    return False


async def test_what_a_former_agent_exported_from_a_namespace_that_is_gone_is_taken_back(make_fleet: MakeFleet) -> None:
    async with make_fleet() as fleet:
        await fleet.agents["east"].kill()
        now = {"uid": "1", "created": "2026-01-01T00:00:00Z", "type": "ClusterSetIP"}
        piece = {"generation": 1, "index": 0, "slice": {"addressType": "IPv4"}}
        await left_behind(fleet, EXPORTED_SERVICES, "", now | {"chunks": {"generation": 1, "count": 1}})
        await left_behind(fleet, EXPORTED_ENDPOINTS, ".ipv4.0", piece)
        fleet.agents["east"] = await fleet.start_agent("east")

        async def nothing_is_left() -> bool:
            services = (await fleet.hub.client.list(EXPORTED_SERVICES, namespace=fleet.set)).items
            chunks = (await fleet.hub.client.list(EXPORTED_ENDPOINTS, namespace=fleet.set)).items
            return not any(".elsewhere." in item.metadata.name for item in (*services, *chunks))

        await eventually(nothing_is_left)


async def left_behind(fleet: Fleet, kind: Resource[T], suffix: str, spec: Manifest) -> None:
    """Something that east exported from a namespace that it has no more."""
    labels = {CLUSTER_LABEL: "east", NAMESPACE_LABEL: "elsewhere"}
    manifest = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": f"east.elsewhere.shop{suffix}", "labels": labels},
        "spec": {"cluster": "east", "namespace": "elsewhere", "name": "shop", **spec},
    }
    await fleet.hub.client.create(kind, manifest, namespace=fleet.set)


async def test_what_is_written_where_nothing_is_watched_is_heard_of_all_the_same(make_fleet: MakeFleet) -> None:
    """As when a namespace goes while what is exported there is on its way to the hub."""
    async with make_fleet() as fleet, asyncio.TaskGroup() as tasks:
        east = fleet["east"]
        await fleet.agents["east"].kill()
        await east.serve(fleet.namespace, "shop", ["10.77.0.5"])
        await east.export(fleet.namespace, "shop")
        views, exporter, following = await exporting(fleet, tasks, frozenset())
        request = views.member.request(fleet.namespace, "shop")

        async def heard(count: int) -> bool:
            return len(views.hub.own_exports_of(key_of(request))) == count

        await exporter.reconcile(request)
        await wait_exported(fleet, "east.shop")
        await eventually(partial(heard, 1), what="it is heard of")
        await east.unexport(fleet.namespace, "shop")
        await eventually(partial(has_exports, views, 0), what="the export's end is heard of")
        await exporter.reconcile(request)
        await wait_exported(fleet)
        await eventually(partial(heard, 0), what="its end on the hub is heard of")
        for task in following.values():
            task.cancel()


async def has_exports(views: Views, count: int) -> bool:
    return len(views.member.exports.store) == count


Followed = dict[Following, asyncio.Task[None]]


async def exporting(
    fleet: Fleet, tasks: asyncio.TaskGroup, namespaces: frozenset[str]
) -> tuple[Views, Exporter, Followed]:
    """East's exporter without a control loop, with all that it reads, watched in these namespaces of the hub."""
    east, hub = fleet["east"].client, fleet.hub.client
    views = Views(MemberView("east", east), HubView("east", hub, namespace=fleet.set))
    writers = Writers(*(Converger(client, manager=AGENT_MANAGER, force=True) for client in (east, hub)))
    writers.follow(views)
    views.hub.select(namespaces)
    informers: tuple[Following, ...] = (*views.member.as_cluster().informers, *views.hub.informers)
    following = {informer: tasks.create_task(informer.run()) for informer in informers}
    for informer in informers:
        await informer.wait_synced()
    return views, Exporter(views, writers.hub, lambda _: None), following


async def test_a_change_of_a_chunk_has_a_generation_of_its_own_also_before_the_last_one_was_echoed(
    make_fleet: MakeFleet,
) -> None:
    async with make_fleet() as fleet, asyncio.TaskGroup() as tasks:
        east = fleet["east"]
        await east.serve(fleet.namespace, "shop", [f"10.77.0.{number}" for number in range(1, 101)])
        await back_more(fleet, "10.78.0.1")
        await east.export(fleet.namespace, "shop")
        await eventually(lambda: generation_of(fleet, "10.78.0.1"), what="two chunks")
        await fleet.agents["east"].kill()
        views, exporter, following = await exporting(fleet, tasks, frozenset({fleet.namespace}))
        following.pop(views.hub.chunks).cancel()
        generations = [await generation_of(fleet, "10.78.0.1")]
        for address in ("10.78.0.2", "10.78.0.3"):
            await back_more(fleet, address)
            await eventually(partial(hears, views, address), what=f"{address} is heard of")
            await exporter.reconcile(views.member.request(fleet.namespace, "shop"))
            generations.append(await generation_of(fleet, address))
        assert 0 < generations[0] < generations[1] < generations[2]
        for task in following.values():
            task.cancel()


async def back_more(fleet: Fleet, address: str) -> None:
    """A second slice of one endpoint: with the first, more than fit into one object."""
    more = objects.endpoints(fleet.namespace, "shop", [address], index=1)
    await fleet["east"].client.apply(ENDPOINT_SLICES, more, namespace=fleet.namespace, options=BY_HAND)


async def hears(views: Views, address: str) -> bool:
    """Whether the second slice is known to have this one endpoint."""
    return any([e.addresses for e in each.endpoints] == [(address,)] for each in views.member.slices.store.all())


async def generation_of(fleet: Fleet, address: str) -> int:
    """The generation of the hub's chunk of this one endpoint; 0 without."""
    chunks = [each.spec for each in (await fleet.hub.client.list(EXPORTED_ENDPOINTS, namespace=fleet.set)).items]
    found = [each.generation for each in chunks if each and [e.addresses for e in each.slice.endpoints] == [(address,)]]
    return max(found, default=0)
