"""What roles grant and what they do not, and that a whole set runs with them; on both kinds of server."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from isthmus.agent import app as agent
from isthmus.agent.agent import Duty
from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES, CLUSTER_SET
from isthmus.api.core import CRDS, ENDPOINT_SLICES, EVENTS, LEASES, NAMESPACES, NODES, PODS, SECRETS, SERVICES
from isthmus.api.isthmus import (
    EXPORT_GRANTS,
    EXPORTED_SERVICES,
    MEMBERS,
    MEMBERS_NAMESPACE,
    SYSTEM_NAMESPACE,
)
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Manifest
from isthmus.errors import NotFound
from isthmus.hub import app as hub
from isthmus.install.manifests import apply
from isthmus.install.roles import AGENT_USER, DNS_USER, HUB_USER, hub_roles, member_user
from isthmus.inventory.rules.health import Grace
from isthmus.kube.client import Client, WriteOptions
from isthmus.testing import objects
from isthmus.testing.fleet import Fleet, Process
from isthmus.testing.waiting import eventually
from tests.fleets import RealHost
from tests.install.conftest import (
    ADMIN,
    BY_HAND,
    EAST,
    EDITOR,
    OTHER_SET,
    SET,
    TEAM,
    VIEWER,
    Secured,
    refused,
)
from tests.install.test_policies import cluster_property, export, service_import

pytestmark = pytest.mark.usefixtures("kind")

Act: TypeAlias = Callable[[str], Awaitable[Client]]
Attempt: TypeAlias = Callable[[Client], Awaitable[object]]
TRIAL = WriteOptions(manager="test", dry_run=True)
MINE = {"metadata": {"labels": {"a": "b"}}}
LEASE: Manifest = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": {"name": "l"}}
POD: Manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}}


@pytest.mark.parametrize(
    ("user", "attempt"),
    [
        pytest.param(EAST, lambda c: c.list(MEMBERS, namespace=SET), id="a member reads the members of its set"),
        pytest.param(EAST, lambda c: c.list(EXPORTED_SERVICES, namespace=SET), id="a member reads exports"),
        pytest.param(EAST, lambda c: c.list(EXPORT_GRANTS, namespace=SET), id="a member reads grants"),
        pytest.param(HUB_USER, lambda c: c.list(LEASES, namespace=MEMBERS_NAMESPACE), id="the hub hears signs of life"),
        pytest.param(
            HUB_USER,
            lambda c: c.merge_patch(MEMBERS, "east", {"spec": {"podRanges": []}}, namespace=SET),
            id="the hub writes Members",
        ),
        pytest.param(AGENT_USER, lambda c: c.list(SERVICES), id="the agent reads Services"),
        pytest.param(AGENT_USER, lambda c: c.list(NODES), id="the agent reads nodes"),
        pytest.param(AGENT_USER, lambda c: c.list(CRDS), id="the agent reads definitions"),
        pytest.param(DNS_USER, lambda c: c.list(SERVICE_IMPORTS), id="DNS reads imports"),
        pytest.param(DNS_USER, lambda c: c.list(ENDPOINT_SLICES), id="DNS reads slices"),
        pytest.param(DNS_USER, lambda c: c.list(NAMESPACES), id="DNS reads namespaces"),
    ],
)
async def test_each_identity_can_do_its_work(act: Act, user: str, attempt: Attempt) -> None:
    await attempt(await act(user))


@pytest.mark.parametrize(
    ("user", "attempt", "words"),
    [
        pytest.param(EAST, lambda c: c.list(MEMBERS, namespace=OTHER_SET), "cannot list", id="another set's members"),
        pytest.param(
            EAST, lambda c: c.list(EXPORTED_SERVICES, namespace=OTHER_SET), "cannot list", id="another set's exports"
        ),
        pytest.param(EAST, lambda c: c.list(EXPORTED_SERVICES), "at the cluster scope", id="all sets' exports"),
        pytest.param(
            EAST,
            lambda c: c.apply(EXPORTED_SERVICES, export("east.team.shop"), namespace=OTHER_SET, options=BY_HAND),
            "cannot patch",
            id="an export into another set",
        ),
        pytest.param(
            EAST,
            lambda c: c.merge_patch(MEMBERS, "west", {"status": {}}, namespace=SET, subresource="status"),
            "cannot patch",
            id="another's status",
        ),
        pytest.param(
            EAST,
            lambda c: c.merge_patch(MEMBERS, "east", {"spec": {"podRanges": ["0.0.0.0/0"]}}, namespace=SET),
            "cannot patch",
            id="its own pod ranges",
        ),
        pytest.param(EAST, lambda c: c.delete(MEMBERS, "west", namespace=SET), "cannot delete", id="another Member"),
        pytest.param(
            EAST,
            lambda c: c.apply(EXPORT_GRANTS, {"metadata": {"name": "g"}}, namespace=SET, options=BY_HAND),
            "cannot patch",
            id="a grant",
        ),
        pytest.param(EAST, lambda c: c.list(LEASES, namespace=MEMBERS_NAMESPACE), "cannot list", id="others' life"),
        pytest.param(EAST, lambda c: c.list(SECRETS, namespace=MEMBERS_NAMESPACE), "cannot list", id="credentials"),
        pytest.param(EAST, lambda c: c.list(NAMESPACES), "cannot list", id="the hub's namespaces"),
        pytest.param(
            HUB_USER, lambda c: c.list(SECRETS, namespace=SYSTEM_NAMESPACE), "cannot list", id="the hub: credentials"
        ),
        pytest.param(
            HUB_USER,
            lambda c: c.apply(EXPORTED_SERVICES, export("east.team.shop"), namespace=SET, options=BY_HAND),
            "only members write exports",
            id="the hub: an export",
        ),
        pytest.param(
            HUB_USER, lambda c: c.merge_patch(NAMESPACES, TEAM, MINE), "cannot patch", id="the hub: another namespace"
        ),
        pytest.param(AGENT_USER, lambda c: c.list(SECRETS), "cannot list", id="the agent: secrets"),
        pytest.param(AGENT_USER, lambda c: c.list(PODS), "cannot list", id="the agent: pods"),
        pytest.param(AGENT_USER, lambda c: c.create(PODS, POD, namespace=TEAM), "cannot create", id="the agent: a pod"),
        pytest.param(
            AGENT_USER, lambda c: c.merge_patch(NAMESPACES, TEAM, MINE), "cannot patch", id="the agent: a namespace"
        ),
        pytest.param(
            AGENT_USER,
            lambda c: c.create(SERVICE_EXPORTS, objects.service_export(TEAM, "shop"), namespace=TEAM),
            "cannot create",
            id="the agent: an export",
        ),
        pytest.param(
            AGENT_USER,
            lambda c: c.create(LEASES, LEASE, namespace=TEAM),
            "cannot create",
            id="the agent: others' lease",
        ),
        pytest.param(DNS_USER, lambda c: c.list(SERVICES), "cannot list", id="DNS: Services"),
        pytest.param(
            DNS_USER,
            lambda c: c.apply(SERVICE_IMPORTS, service_import("x"), namespace=TEAM, options=BY_HAND),
            "cannot patch",
            id="DNS: an import",
        ),
    ],
)
async def test_nobody_can_do_more(act: Act, user: str, attempt: Attempt, words: str) -> None:
    await refused(attempt(await act(user)), words)


@pytest.mark.requirement("ABOUT-38")
async def test_the_agent_reads_all_properties_and_writes_the_two_of_identity(act: Act, root: Client) -> None:
    agent_client, viewer = await act(AGENT_USER), await act(VIEWER)
    other = "team.example.com"
    await root.apply(CLUSTER_PROPERTIES, cluster_property(other, "x"), options=BY_HAND)
    for name in (CLUSTER_ID, CLUSTER_SET):
        await agent_client.apply(CLUSTER_PROPERTIES, cluster_property(name, "x"), options=TRIAL)
        await agent_client.apply(CLUSTER_PROPERTIES, cluster_property(name, "x"), options=BY_HAND)
    for name in (CLUSTER_SET, other, CLUSTER_ID):
        for reader in (agent_client, viewer):
            assert (await reader.get(CLUSTER_PROPERTIES, name)).metadata.name == name
    assert len((await agent_client.list(CLUSTER_PROPERTIES)).items) == 3
    await refused(agent_client.merge_patch(CLUSTER_PROPERTIES, other, MINE), "cannot patch")
    await refused(agent_client.delete(CLUSTER_PROPERTIES, other), "cannot delete")
    await refused(viewer.apply(CLUSTER_PROPERTIES, cluster_property(CLUSTER_ID, "x"), options=BY_HAND), "cannot patch")
    await agent_client.delete(CLUSTER_PROPERTIES, CLUSTER_SET)
    await root.delete(CLUSTER_PROPERTIES, other)

    async def left() -> bool:
        try:
            await root.delete(CLUSTER_PROPERTIES, CLUSTER_ID)
        except NotFound:
            return True
        return True

    await eventually(left)


@pytest.mark.requirement("ABOUT-39")
async def test_view_reads_properties_and_neither_edit_nor_admin_writes_them(act: Act) -> None:
    for user in (VIEWER, ADMIN):
        assert (await (await act(user)).list(CLUSTER_PROPERTIES)).undecodable == {}
    for user in (VIEWER, EDITOR, ADMIN):
        manifest = cluster_property("team.example.com", "x")
        await refused((await act(user)).create(CLUSTER_PROPERTIES, manifest), "cannot create")


@pytest.mark.requirement("MCS-109")
async def test_edit_and_admin_write_exports_and_view_reads_both(act: Act) -> None:
    for user in (EDITOR, ADMIN):
        person = await act(user)
        await person.create(SERVICE_EXPORTS, objects.service_export(TEAM, "shop"), namespace=TEAM)
        await person.merge_patch(SERVICE_EXPORTS, "shop", MINE, namespace=TEAM)
        forged: Manifest = {"status": {"conditions": []}}
        attempt = person.merge_patch(SERVICE_EXPORTS, "shop", forged, namespace=TEAM, subresource="status")
        await refused(attempt, "cannot patch")
        await person.list(SERVICE_IMPORTS, namespace=TEAM)
        await refused(
            person.apply(SERVICE_IMPORTS, service_import("x"), namespace=TEAM, options=BY_HAND), "cannot patch"
        )
        await person.delete(SERVICE_EXPORTS, "shop", namespace=TEAM)
    vera = await act(VIEWER)
    await vera.list(SERVICE_EXPORTS)
    await vera.list(SERVICE_IMPORTS)
    manifest = objects.service_export(TEAM, "shop")
    await refused(vera.create(SERVICE_EXPORTS, manifest, namespace=TEAM), "cannot create")


@pytest.mark.requirement("MCS-108")
@pytest.mark.parametrize("namespace", ["default", "kube-system"])
async def test_admins_say_in_which_namespaces_somebody_may_export(act: Act, namespace: str) -> None:
    eddie = await act(EDITOR)  # whose right to edit is bound in his team's namespace
    await eddie.create(SERVICE_EXPORTS, objects.service_export(TEAM, "shop"), namespace=TEAM, options=TRIAL)
    manifest = objects.service_export(namespace, "shop")
    await refused(eddie.create(SERVICE_EXPORTS, manifest, namespace=namespace), "cannot create")


class LeastPrivilege(Fleet):
    """A fleet on the secured planes, whose processes have the rights of their roles and no others."""

    def __init__(self, folder: Path, secured: Secured) -> None:
        self._secured = secured
        self._plane = {"alpha": 0, "beta": 1}
        super().__init__(
            folder,
            list(self._plane),
            hosts=lambda name, _: RealHost(secured.planes[self._plane.get(name, 0)].kubeconfig),
        )

    async def register(self) -> None:
        await super().register()
        await apply(self.hub.client, hub_roles(self.set))

    async def start_agent(self, name: str, *, identity: str = "", id_: str = "", cluster_set: str = "") -> Process:
        duty = Duty(id_ or name, cluster_set or self.set, identity or f"{name}-agent", 0.5)

        async def work() -> None:
            async with (
                self._secured.client(AGENT_USER, self._plane[name]) as member,
                self._secured.client(member_user(name)) as hub_client,
            ):
                await agent.serve(duty, member=member, hub=hub_client)

        return Process(self._tasks.create_task(work(), name=f"agent {name}"))

    async def start_hub(self, *, identity: str = "hub-1") -> Process:
        async def work() -> None:
            async with self._secured.client(HUB_USER) as client:
                options = hub.HubOptions(None, self.set, Grace(silent_after=3.0, hold=5.0))
                await hub.serve(client, options, identity=identity)

        return Process(self._tasks.create_task(work(), name="hub controller"))


async def test_a_set_runs_with_no_more_rights_than_its_roles(
    tmp_path: Path, secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with LeastPrivilege(tmp_path, secured) as fleet:
        alpha, beta, ns = fleet["alpha"], fleet["beta"], fleet.namespace
        await alpha.serve(ns, "shop", ["10.1.0.7", "10.1.0.8"])
        await alpha.export(ns, "shop", exportedLabels={"tier": "one"})
        await beta.wait_import(ns, "shop", within=20.0)
        await beta.wait_addresses(ns, "shop", {"10.1.0.7", "10.1.0.8"})
        await alpha.wait_condition(ns, "shop", "Ready", "True/Exported")
        await alpha.back(ns, "shop", ["10.1.0.9"])
        await beta.wait_addresses(ns, "shop", {"10.1.0.9"})
        # A second exporter that disagrees: conditions, and Events on the exports.
        await beta.serve(ns, "shop", ["10.2.0.7"])
        await beta.export(ns, "shop", exportedLabels={"tier": "two"})
        await alpha.wait_condition(ns, "shop", "Conflict", "True/LabelsConflict")
        await beta.wait_condition(ns, "shop", "Conflict", "True/LabelsConflict")
        await eventually(lambda: _events(alpha.client, ns), what="an Event on the export")
        await alpha.wait_addresses(ns, "shop", {"10.1.0.9", "10.2.0.7"})
        await _silence_and_return(fleet)
        await alpha.unexport(ns, "shop")
        await beta.wait_addresses(ns, "shop", {"10.2.0.7"})
        # A namespace goes with all that was imported into it.
        await alpha.client.delete(NAMESPACES, ns)
        await eventually(lambda: _is_gone(alpha.client, ns), within=60.0, what="the namespace is gone")
        await beta.unexport(ns, "shop")
        await beta.wait_no_import(ns, "shop")
    said = [record for record in caplog.records if "orbidden" in f"{record.getMessage()} {record.__dict__}"]
    assert not said, [record.__dict__ for record in said]


async def _silence_and_return(fleet: Fleet) -> None:
    """The hub's verdicts have effect: a silent member's slices go, and come back with it."""
    alpha, ns = fleet["alpha"], fleet.namespace
    await fleet.agents["beta"].kill()
    await alpha.wait_addresses(ns, "shop", {"10.1.0.9"}, within=30.0)
    fleet.agents["beta"] = await fleet.start_agent("beta")
    await alpha.wait_addresses(ns, "shop", {"10.1.0.9", "10.2.0.7"}, within=30.0)


async def _events(client: Client, namespace: str) -> bool:
    return any(each.reason == "Conflict" for each in (await client.list(EVENTS, namespace=namespace)).items)


async def _is_gone(client: Client, namespace: str) -> bool:
    try:
        await client.get(NAMESPACES, namespace)
    except NotFound:
        return True
    return False
