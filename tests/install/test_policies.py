"""What admission policies refuse, to whom, and what they say; on both kinds of server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias, cast

import pytest

from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES, CLUSTER_SET
from isthmus.api.access import POLICIES
from isthmus.api.core import ENDPOINT_SLICES, LEASES, MANAGED_BY_LABEL, SERVICE_NAME_LABEL, SERVICES
from isthmus.api.isthmus import (
    CLUSTER_LABEL,
    EXPORTED_ENDPOINTS,
    EXPORTED_SERVICES,
    MANAGED_BY,
    MARKER_LABEL,
    MEMBERS,
    MEMBERS_NAMESPACE,
    NAMESPACE_LABEL,
)
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.mcs import SERVICE_NAME_LABEL as IMPORT_NAME_LABEL
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import NotFound, Refused
from isthmus.install.roles import AGENT_USER, HUB_USER, MEMBER_ACCOUNT_PREFIX
from isthmus.kube.client import Client, WriteOptions
from isthmus.mcs.rules.names import derived_name
from isthmus.testing import objects
from isthmus.testing.waiting import eventually
from tests.conftest import CONTROL_PLANE
from tests.install.conftest import ADMIN, BY_HAND, EAST, EDITOR, POWERFUL, ROOT, SET, TEAM, WEST, Secured, refused

pytestmark = pytest.mark.usefixtures("kind")

# Only Kubernetes' own controller manager does what these look at.
on_a_control_plane = pytest.mark.parametrize("kind", [CONTROL_PLANE], indirect=True)
by_either_name = pytest.mark.parametrize("user", [EAST, f"{MEMBER_ACCOUNT_PREFIX}east"])

Act: TypeAlias = Callable[[str], Awaitable[Client]]
DERIVED = derived_name(TEAM, "shop")
ENDPOINTS: Resource[Manifest] = Resource("", "v1", "endpoints", "Endpoints", dict)
TRIAL = WriteOptions(dry_run=True)


def export(name: str, /, *, cluster: str = "", label: str = "", **spec: object) -> Manifest:
    """An ExportedService of that name; cluster and label as the name says unless told otherwise."""
    owner, namespace, service = name.split(".")
    return {
        "metadata": {"name": name, "labels": {CLUSTER_LABEL: label or owner, NAMESPACE_LABEL: namespace}},
        "spec": {
            "cluster": cluster or owner,
            "namespace": namespace,
            "name": service,
            "uid": "u",
            "created": "2026-01-01T00:00:00Z",
            "type": "ClusterSetIP",
            **spec,
        },
    }


def chunk(name: str, *, cluster: str, service: str = "shop", **piece: object) -> Manifest:
    return {
        "metadata": {"name": name, "labels": {CLUSTER_LABEL: cluster, NAMESPACE_LABEL: TEAM}},
        "spec": {
            "cluster": cluster,
            "namespace": TEAM,
            "name": service,
            "generation": 1,
            "index": 0,
            "slice": {"addressType": "IPv4", **piece},
        },
    }


def slices(endpoints: int) -> Manifest:
    return {"slices": [{"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.0.1"]}] * endpoints}]}


@on_a_control_plane
async def test_kubernetes_finds_nothing_to_say_of_any_expression(root: Client) -> None:
    async def checked() -> list[Manifest] | None:
        found = [each for each in (await root.list(POLICIES)).items if each["metadata"]["name"].startswith("isthmus-")]
        return found if all("typeChecking" in each.get("status", {}) for each in found) else None

    found = await eventually(checked, within=60.0)
    assert len(found) == 27
    assert {each["metadata"]["name"]: each["status"]["typeChecking"] for each in found} == {
        each["metadata"]["name"]: {} for each in found
    }


@by_either_name
async def test_a_member_writes_what_is_its_own(act: Act, user: str) -> None:
    east = await act(user)
    mine = export("east.team.shop", **slices(100))
    await east.apply(EXPORTED_SERVICES, mine, namespace=SET, options=BY_HAND)
    mine["spec"]["type"] = "Headless"
    await east.apply(EXPORTED_SERVICES, mine, namespace=SET, options=BY_HAND)
    await east.apply(EXPORTED_ENDPOINTS, chunk("east.team.shop.ipv4.0", cluster="east"), namespace=SET, options=BY_HAND)
    await east.delete(EXPORTED_ENDPOINTS, "east.team.shop.ipv4.0", namespace=SET)
    await east.delete(EXPORTED_SERVICES, "east.team.shop", namespace=SET)


LONG = "n" * 400


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        pytest.param(export("west.team.shop"), 'begins with "east."', id="another's whole"),
        pytest.param(
            export("west.team.shop", cluster="east", label="east"), 'begins with "east."', id="another's name"
        ),
        pytest.param(export("eastern.team.shop", cluster="east", label="east"), 'begins with "east."', id="no dot"),
        pytest.param(export("east.team.shop", cluster="west"), "spec.cluster must be east", id="another's content"),
        pytest.param(export("east.team.shop", label="west"), "cluster must be east", id="another's label"),
        pytest.param(export("east.team.shop", name="other"), "must be those of spec", id="another service's name"),
        pytest.param(
            export("east.team.shop", namespace="prod"), "must be those of spec", id="another namespace's name"
        ),
        pytest.param({"metadata": {"name": "east.team.shop"}}, "spec.cluster must be east", id="without content"),
        pytest.param(export("east.team.shop", **slices(101)), "more than 100 endpoints", id="too many endpoints"),
        pytest.param(
            export("east.team.shop", ports=[{"port": 80, "appProtocol": LONG}]), "too long", id="a port's long protocol"
        ),
        pytest.param(
            export("east.team.shop", slices=[{"addressType": "IPv4", "ports": [{"name": LONG}]}]),
            "too long",
            id="a slice port's long name",
        ),
        pytest.param(export("east.team.shop", exportedLabels={LONG: ""}), "key longer", id="a label's long key"),
        pytest.param(
            export("east.team.shop", exportedAnnotations={f"k{n}": "v" * 60_000 for n in range(5)}),
            "larger than 65536",
            id="annotations too large together",
        ),
    ],
)
@by_either_name
async def test_a_member_cannot_export_as_another_or_too_much(
    act: Act, user: str, manifest: Manifest, words: str
) -> None:
    east = await act(user)
    await refused(east.apply(EXPORTED_SERVICES, manifest, namespace=SET, options=BY_HAND), words)
    full = {"apiVersion": EXPORTED_SERVICES.api_version, "kind": EXPORTED_SERVICES.kind, **manifest}
    await refused(east.create(EXPORTED_SERVICES, full, namespace=SET), words)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        pytest.param(chunk("west.team.shop.ipv4.0", cluster="west"), 'begins with "east."', id="another's"),
        pytest.param(chunk("east.team.shop.ipv4.0", cluster="west"), "spec.cluster must be east", id="content"),
        pytest.param(chunk("east.team.shop2.ipv4.0", cluster="east"), "must be those of spec", id="service"),
        pytest.param(
            chunk("east.team.shop.ipv4.0", cluster="east", ports=[{"name": LONG}]), "too long", id="a port's long name"
        ),
    ],
)
async def test_a_member_cannot_write_endpoints_as_another(act: Act, manifest: Manifest, words: str) -> None:
    east = await act(EAST)
    await refused(east.apply(EXPORTED_ENDPOINTS, manifest, namespace=SET, options=BY_HAND), words)


@pytest.fixture
async def exported(act: Act, root: Client) -> AsyncIterator[None]:
    """Both members export the shop."""
    for user, name in ((EAST, "east.team.shop"), (WEST, "west.team.shop")):
        await (await act(user)).apply(EXPORTED_SERVICES, export(name), namespace=SET, options=BY_HAND)
    yield
    await root.delete_collection(EXPORTED_SERVICES, namespace=SET)


@pytest.mark.usefixtures("exported")
async def test_a_member_neither_changes_nor_deletes_what_another_exports(act: Act, root: Client) -> None:
    east = await act(EAST)
    words = 'begins with "east."'
    theirs, mine = "west.team.shop", "east.team.shop"
    change = {"spec": {"type": "Headless"}}
    await refused(east.merge_patch(EXPORTED_SERVICES, theirs, change, namespace=SET), words)
    await refused(east.delete(EXPORTED_SERVICES, theirs, namespace=SET), words)
    # Granted here for once: the policy holds without RBAC too.
    await refused(east.delete_collection(EXPORTED_SERVICES, namespace=SET), words)
    await east.apply(EXPORTED_SERVICES, export(mine), namespace=SET, options=BY_HAND)
    seen = await root.get(EXPORTED_SERVICES, theirs, namespace=SET)
    assert seen.spec is not None
    assert seen.spec.type == "ClusterSetIP"
    give_away = {"metadata": {"labels": {CLUSTER_LABEL: "west"}}}
    await refused(east.merge_patch(EXPORTED_SERVICES, mine, give_away, namespace=SET), "cluster must be east")
    await refused(
        east.merge_patch(EXPORTED_SERVICES, mine, {"spec": {"cluster": "west"}}, namespace=SET),
        "spec.cluster must be east",
    )


async def test_the_hub_and_admins_may_clear_away_what_a_member_left(act: Act, root: Client) -> None:
    hub = await act(HUB_USER)
    for remover in (hub, root):
        await (await act(EAST)).apply(EXPORTED_SERVICES, export("east.team.shop"), namespace=SET, options=BY_HAND)
        await remover.delete(EXPORTED_SERVICES, "east.team.shop", namespace=SET)


@by_either_name
async def test_a_member_gives_signs_of_its_own_life_only(act: Act, root: Client, user: str) -> None:
    east, west = await act(user), await act(WEST)
    for client, name in ((east, "east"), (west, "west")):
        manifest = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": {"name": name}}
        if client is west:
            await refused(east.create(LEASES, manifest, namespace=MEMBERS_NAMESPACE), "only the Lease of its own name")
        await client.create(LEASES, manifest, namespace=MEMBERS_NAMESPACE)
        await client.merge_patch(LEASES, name, {"spec": {"holderIdentity": "me"}}, namespace=MEMBERS_NAMESPACE)
    alive = {"spec": {"holderIdentity": "east"}}
    await refused(east.merge_patch(LEASES, "west", alive, namespace=MEMBERS_NAMESPACE), "cannot patch")
    await root.delete_collection(LEASES, namespace=MEMBERS_NAMESPACE)


async def test_a_status_has_an_end(act: Act) -> None:
    east = await act(EAST)
    status: Manifest = {"metadata": {"name": "east"}, "status": {"properties": {LONG: "v"}}}
    write = east.apply(MEMBERS, status, namespace=SET, subresource="status", options=BY_HAND)
    await refused(write, "status.properties has a key longer")
    status["status"] = {"properties": {"a": "v"}, "exports": {"epoch": 1, "namespaces": {}}}
    await east.apply(MEMBERS, status, namespace=SET, subresource="status", options=BY_HAND)


@pytest.fixture
async def imported(act: Act, root: Client) -> AsyncIterator[Client]:
    """The agent, which has imported a shop into the team's namespace; policies know the derived Service."""
    agent = await act(AGENT_USER)
    made = await agent.apply(SERVICE_IMPORTS, service_import("shop"), namespace=TEAM, options=BY_HAND)
    owner = {"apiVersion": made.api_version, "kind": made.kind, "name": "shop", "uid": made.metadata.uid}
    derived = objects.service(TEAM, DERIVED)
    derived["metadata"] |= {
        "labels": {MARKER_LABEL: MANAGED_BY, IMPORT_NAME_LABEL: "shop"},
        "ownerReferences": [owner],
    }
    await agent.apply(SERVICES, derived, namespace=TEAM, options=BY_HAND)
    backing = imported_slice("shop.west.ipv4.0")
    backing["metadata"]["ownerReferences"] = [owner]
    await agent.apply(ENDPOINT_SLICES, backing, namespace=TEAM, options=BY_HAND)

    async def known() -> bool:
        try:
            await root.create(SERVICE_EXPORTS, objects.service_export(TEAM, DERIVED), namespace=TEAM, options=TRIAL)
            await root.create(
                ENDPOINT_SLICES, objects.endpoints(TEAM, DERIVED, ["10.6.6.6"]), namespace=TEAM, options=TRIAL
            )
        except Refused:
            return True
        return False

    await eventually(known, what="the policies' parameters follow")
    yield agent
    try:
        await agent.delete(SERVICE_IMPORTS, "shop", namespace=TEAM)
    except NotFound:
        return
    await wait_gone(root)


def service_import(name: str) -> Manifest:
    return {"metadata": {"name": name}, "spec": {"type": "ClusterSetIP", "ports": [{"port": 80}]}}


def imported_slice(name: str) -> Manifest:
    manifest = objects.endpoints(TEAM, DERIVED, ["10.2.0.1"])
    labels = {SERVICE_NAME_LABEL: DERIVED, MANAGED_BY_LABEL: MANAGED_BY, IMPORT_NAME_LABEL: "shop"}
    manifest["metadata"] |= {"name": name, "labels": labels}
    return manifest


async def wait_gone(root: Client) -> None:
    async def gone() -> bool:
        left = [each.metadata.name for each in (await root.list(SERVICES, namespace=TEAM)).items]
        left += [each.metadata.name for each in (await root.list(ENDPOINT_SLICES, namespace=TEAM)).items]
        return DERIVED not in left and "shop.west.ipv4.0" not in left

    await eventually(gone, within=30.0, what="garbage is collected")


@pytest.mark.parametrize("user", [ADMIN, POWERFUL, ROOT])
@pytest.mark.usefixtures("imported")
async def test_nobody_else_touches_a_derived_service(act: Act, user: str) -> None:
    person = await act(user)
    words = "only the Isthmus agent may write a Service that stands in"
    lure = {"spec": {"selector": {"app": "mine"}}}
    await refused(person.merge_patch(SERVICES, DERIVED, lure, namespace=TEAM), words)
    unmark = {"metadata": {"labels": {MARKER_LABEL: None, IMPORT_NAME_LABEL: None}}}
    await refused(person.merge_patch(SERVICES, DERIVED, unmark, namespace=TEAM), words)
    await refused(person.delete(SERVICES, DERIVED, namespace=TEAM), words)
    for labels in ({MARKER_LABEL: MANAGED_BY}, {IMPORT_NAME_LABEL: "shop"}):
        forged = objects.service(TEAM, "forged")
        forged["metadata"]["labels"] = labels
        await refused(person.create(SERVICES, forged, namespace=TEAM), words)
    await person.apply(SERVICES, objects.service(TEAM, f"of-{user}"), namespace=TEAM, options=BY_HAND)
    await person.delete(SERVICES, f"of-{user}", namespace=TEAM)


@pytest.mark.requirement("MCS-107")
@pytest.mark.usefixtures("imported")
async def test_only_the_agent_and_cluster_admins_write_what_is_imported(act: Act) -> None:
    paul, root = await act(POWERFUL), await act(ROOT)
    words = "only the Isthmus agent and cluster admins may write"
    change = {"metadata": {"labels": {"a": "b"}}}
    made: Manifest = {"apiVersion": SERVICE_IMPORTS.api_version, "kind": SERVICE_IMPORTS.kind, **service_import("new")}
    await refused(paul.create(SERVICE_IMPORTS, made, namespace=TEAM), words)
    await refused(paul.merge_patch(SERVICE_IMPORTS, "shop", change, namespace=TEAM), words)
    await refused(paul.delete(SERVICE_IMPORTS, "shop", namespace=TEAM), words)
    await refused(paul.delete_collection(SERVICE_IMPORTS, namespace=TEAM), words)
    await refused(paul.create(ENDPOINT_SLICES, imported_slice("forged"), namespace=TEAM), words)
    await refused(paul.merge_patch(ENDPOINT_SLICES, "shop.west.ipv4.0", change, namespace=TEAM), words)
    await refused(paul.delete(ENDPOINT_SLICES, "shop.west.ipv4.0", namespace=TEAM), words)
    await refused(paul.delete_collection(ENDPOINT_SLICES, namespace=TEAM), words)
    poison = objects.endpoints(TEAM, "own", ["10.6.6.6"])
    poison["metadata"]["labels"][IMPORT_NAME_LABEL] = "shop"
    await refused(paul.create(ENDPOINT_SLICES, poison, namespace=TEAM), words)
    await root.create(SERVICE_IMPORTS, made, namespace=TEAM)
    await root.merge_patch(ENDPOINT_SLICES, "shop.west.ipv4.0", change, namespace=TEAM)
    await root.delete(SERVICE_IMPORTS, "new", namespace=TEAM)


@pytest.mark.usefixtures("imported")
async def test_only_imported_slices_back_a_derived_service(act: Act, root: Client) -> None:
    paul = await act(POWERFUL)
    words = f"Service {DERIVED} stands in for an import: only imported EndpointSlices may back it"
    stray = objects.endpoints(TEAM, DERIVED, ["10.6.6.6"])
    await refused(paul.create(ENDPOINT_SLICES, stray, namespace=TEAM), words)
    await refused(root.create(ENDPOINT_SLICES, stray, namespace=TEAM), words)
    await paul.apply(ENDPOINT_SLICES, objects.endpoints(TEAM, "own", ["10.1.0.9"]), namespace=TEAM, options=BY_HAND)
    redirect = {"metadata": {"labels": {SERVICE_NAME_LABEL: DERIVED}}}
    await refused(paul.merge_patch(ENDPOINT_SLICES, "own-ipv4-0", redirect, namespace=TEAM), words)
    await paul.delete(ENDPOINT_SLICES, "own-ipv4-0", namespace=TEAM)


@pytest.mark.usefixtures("imported")
@on_a_control_plane
async def test_kubernetes_mirrors_no_endpoints_into_a_derived_service(act: Act, root: Client, secured: Secured) -> None:
    lure: Manifest = {
        "metadata": {"name": DERIVED},
        "subsets": [{"addresses": [{"ip": "10.6.6.6"}], "ports": [{"port": 8080}]}],
    }
    log = secured.planes[0].folder / "kube-controller-manager.log"
    await (await act(POWERFUL)).apply(ENDPOINTS, lure, namespace=TEAM, options=BY_HAND)

    async def told() -> bool:
        return f"failed to create EndpointSlice for Endpoints {TEAM}/{DERIVED}" in log.read_text()

    await eventually(told, within=30.0, what="the mirroring controller says that it was refused")
    pieces = (await root.list(ENDPOINT_SLICES, namespace=TEAM)).items
    backing = [each.metadata.name for each in pieces if each.metadata.labels.get(SERVICE_NAME_LABEL) == DERIVED]
    assert backing == ["shop.west.ipv4.0"]
    await root.delete(ENDPOINTS, DERIVED, namespace=TEAM)


@pytest.mark.usefixtures("imported")
async def test_a_derived_service_cannot_be_exported(act: Act) -> None:
    eddie = await act(EDITOR)
    manifest = objects.service_export(TEAM, DERIVED)
    await refused(eddie.create(SERVICE_EXPORTS, manifest, namespace=TEAM), "cannot be exported: export the original")
    await eddie.create(SERVICE_EXPORTS, objects.service_export(TEAM, "shop"), namespace=TEAM)
    await eddie.delete(SERVICE_EXPORTS, "shop", namespace=TEAM)


@pytest.mark.requirement("MCS-109")
async def test_nobody_but_the_agent_writes_a_status(act: Act, root: Client, imported: Client) -> None:
    paul = await act(POWERFUL)
    await paul.create(SERVICE_EXPORTS, objects.service_export(TEAM, "shop"), namespace=TEAM)
    forged: Manifest = {"status": {"conditions": []}}
    for kind in cast("tuple[Resource[object], ...]", (SERVICE_EXPORTS, SERVICE_IMPORTS)):
        for client in (paul, root):
            attempt = client.merge_patch(kind, "shop", forged, namespace=TEAM, subresource="status")
            await refused(attempt, "only the Isthmus agent may write this status")
        await imported.merge_patch(kind, "shop", forged, namespace=TEAM, subresource="status")
    await paul.delete(SERVICE_EXPORTS, "shop", namespace=TEAM)


async def test_the_agent_keeps_to_what_it_has_made(root: Client, imported: Client) -> None:
    await root.apply(SERVICES, objects.service(TEAM, "own"), namespace=TEAM, options=BY_HAND)
    await root.apply(ENDPOINT_SLICES, objects.endpoints(TEAM, "own", ["10.1.0.9"]), namespace=TEAM, options=BY_HAND)
    change = {"metadata": {"labels": {"a": "b"}}}
    adopt = {"metadata": {"labels": {MARKER_LABEL: MANAGED_BY, MANAGED_BY_LABEL: MANAGED_BY}}}
    for kind, name in cast(
        "tuple[tuple[Resource[object], str], ...]", ((SERVICES, "own"), (ENDPOINT_SLICES, "own-ipv4-0"))
    ):
        words = f"may write only those {kind.plural} that it has made"
        await refused(imported.merge_patch(kind, name, change, namespace=TEAM), words)
        await refused(imported.merge_patch(kind, name, adopt, namespace=TEAM), words)
        await refused(imported.delete(kind, name, namespace=TEAM), words)
    await refused(imported.create(SERVICES, objects.service(TEAM, "new"), namespace=TEAM), "may write only those")
    await imported.create(SERVICES, objects.service(TEAM, "new"), namespace=TEAM, options=TRIAL)
    # What came before the derived Service, under its name, is the agent's to remove.
    stray = objects.endpoints(TEAM, "derived-0000000000", ["10.6.6.6"])
    await root.create(ENDPOINT_SLICES, stray, namespace=TEAM)
    await imported.delete(ENDPOINT_SLICES, stray["metadata"]["name"], namespace=TEAM)
    # So are slices of an import that somebody else made, to remove and no more, and a derived Service without marks.
    foreign = {"metadata": {"name": "foreign", "labels": {IMPORT_NAME_LABEL: "shop"}}, "addressType": "IPv4"}
    await root.apply(ENDPOINT_SLICES, foreign | {"endpoints": []}, namespace=TEAM, options=BY_HAND)
    await refused(imported.merge_patch(ENDPOINT_SLICES, "foreign", change, namespace=TEAM), "may write only those")
    await imported.delete(ENDPOINT_SLICES, "foreign", namespace=TEAM)
    bare = derived_name(TEAM, "bare")
    await root.apply(SERVICES, objects.service(TEAM, bare), namespace=TEAM, options=BY_HAND)
    await refused(imported.merge_patch(SERVICES, bare, change, namespace=TEAM), "may write only those")
    await imported.merge_patch(SERVICES, bare, adopt, namespace=TEAM)
    await imported.delete(SERVICES, bare, namespace=TEAM)
    await root.delete(ENDPOINT_SLICES, "own-ipv4-0", namespace=TEAM)
    await root.delete(SERVICES, "own", namespace=TEAM)


@pytest.mark.usefixtures("imported")
async def test_what_belongs_to_an_import_is_collected_with_it(imported: Client, root: Client) -> None:
    await imported.delete(SERVICE_IMPORTS, "shop", namespace=TEAM)
    await wait_gone(root)


def cluster_property(name: str, value: str, **labels: str) -> Manifest:
    return {
        "apiVersion": CLUSTER_PROPERTIES.api_version,
        "kind": CLUSTER_PROPERTIES.kind,
        "metadata": {"name": name, "labels": labels},
        "spec": {"value": value},
    }


@pytest.fixture
async def clean_identity(root: Client) -> AsyncIterator[None]:
    yield
    for name in (CLUSTER_SET, CLUSTER_ID):

        async def deleted(name: str = name) -> bool:
            try:
                await root.delete(CLUSTER_PROPERTIES, name)
            except NotFound:
                return True
            except Refused:
                return False
            return True

        await eventually(deleted, what="the policy's parameter follows")


@pytest.mark.requirement("ABOUT-33")
@pytest.mark.parametrize("user", [POWERFUL, ROOT, AGENT_USER])
@pytest.mark.usefixtures("clean_identity")
async def test_the_identity_of_a_member_stands(act: Act, user: str) -> None:
    client = await act(user)
    change = {"spec": {"value": "other"}}
    # Outside a membership the id is the owner's affair.
    await client.create(CLUSTER_PROPERTIES, cluster_property(CLUSTER_ID, "first"))
    await client.merge_patch(CLUSTER_PROPERTIES, CLUSTER_ID, {"spec": {"value": "east"}})
    await client.delete(CLUSTER_PROPERTIES, CLUSTER_ID)
    await client.apply(CLUSTER_PROPERTIES, cluster_property(CLUSTER_ID, "east", a="b"), options=BY_HAND)
    await client.create(CLUSTER_PROPERTIES, cluster_property(CLUSTER_SET, "prod"))

    async def stands() -> bool:
        # A write for trial: until the policy's parameter has followed, it would succeed.
        try:
            await client.apply(
                CLUSTER_PROPERTIES,
                cluster_property(CLUSTER_ID, "other"),
                options=WriteOptions(manager="trial", force=True, dry_run=True),
            )
        except Refused:
            return True
        return False

    await eventually(stands, what="the id stands")
    words = f"{CLUSTER_ID} stands while the cluster is in set prod: leave the set first"
    await refused(client.merge_patch(CLUSTER_PROPERTIES, CLUSTER_ID, change), words)
    await refused(client.merge_patch(CLUSTER_PROPERTIES, CLUSTER_ID, {"metadata": {"labels": {"a": "c"}}}), words)
    await refused(client.delete(CLUSTER_PROPERTIES, CLUSTER_ID), words)
    await refused(client.merge_patch(CLUSTER_PROPERTIES, CLUSTER_SET, change), f"{CLUSTER_SET} never changes")
    # An agent that starts applies what is there.
    await client.apply(CLUSTER_PROPERTIES, cluster_property(CLUSTER_ID, "east"), options=WriteOptions(manager="again"))
    await client.merge_patch(CLUSTER_PROPERTIES, CLUSTER_SET, {"metadata": {"labels": {"a": "b"}}})
    await client.delete(CLUSTER_PROPERTIES, CLUSTER_SET)

    async def free() -> bool:
        try:
            await client.merge_patch(CLUSTER_PROPERTIES, CLUSTER_ID, change)
        except Refused:
            return False
        return True

    await eventually(free, what="the id is free again")
