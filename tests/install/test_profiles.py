"""Who may write ClusterProfiles, and what those of ours must be like; on both kinds of server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest

from isthmus.api.access import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from isthmus.api.inventory import CLUSTER_PROFILES, MANAGER_LABEL
from isthmus.api.isthmus import CLUSTER_LABEL, MANAGED_BY, MARKER_LABEL
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, NotFound, Refused
from isthmus.install.roles import HUB_USER
from isthmus.kube.client import Client, WriteOptions
from isthmus.testing.waiting import eventually
from tests.install.conftest import BY_HAND, EAST, OTHER_SET, SET, TEAM, refused

pytestmark = pytest.mark.usefixtures("kind")

Act: TypeAlias = Callable[[str], Awaitable[Client]]
# One with every right on profiles, as another cluster manager has.
OTHER_MANAGER = "otto"
OURS = f"isthmus-{SET}"
# No other test here has a cluster of that name.
HELD = "held"


def profile(name: str = HELD, *, manager: str = OURS, label: str = "", namespace: str = SET, **more: str) -> Manifest:
    """A ClusterProfile as we write it, but for what is told."""
    labels = {MANAGER_LABEL: label or manager, MARKER_LABEL: MANAGED_BY, CLUSTER_LABEL: name} | more
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"clusterManager": {"name": manager}},
    }


def foreign(name: str = "theirs") -> Manifest:
    """Another cluster manager's."""
    metadata = {"name": name, "namespace": SET, "labels": {MANAGER_LABEL: "otto.example"}}
    return {"metadata": metadata, "spec": {"clusterManager": {"name": "otto.example"}}}


async def put(client: Client, manifest: Manifest, subresource: str = "") -> Manifest:
    namespace = manifest["metadata"]["namespace"]
    options = WriteOptions(manager="test", force=True)
    await client.apply(CLUSTER_PROFILES, manifest, namespace=namespace, subresource=subresource, options=options)
    return manifest


@pytest.fixture
async def otto(act: Act, root: Client) -> AsyncIterator[Client]:
    """Another cluster manager; the profiles of the test are gone after it."""
    rules = [{"apiGroups": [CLUSTER_PROFILES.group], "resources": ["*"], "verbs": ["*"]}]
    await root.apply(CLUSTER_ROLES, {"metadata": {"name": "test-otto"}, "rules": rules}, options=BY_HAND)
    group = CLUSTER_ROLES.group
    binding = {
        "metadata": {"name": "test-otto"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "test-otto"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user} for user in (OTHER_MANAGER, EAST)],
    }
    await root.apply(CLUSTER_ROLE_BINDINGS, binding, options=BY_HAND)
    client = await act(OTHER_MANAGER)

    async def may() -> bool:
        try:
            await client.list(CLUSTER_PROFILES, namespace=SET)
        except Refused:
            return False
        return True

    await eventually(may, what="the roles have effect")
    yield client
    await root.delete(CLUSTER_ROLE_BINDINGS, "test-otto")
    await root.delete_collection(CLUSTER_PROFILES, namespace=SET)


@pytest.mark.requirement("INV-2", "INV-3")
async def test_only_their_manager_writes_profiles_of_ours(act: Act, root: Client, otto: Client) -> None:
    hub = await act(HUB_USER)
    await put(hub, profile())
    patch = {"spec": {"displayName": "mine"}}
    for who in (otto, await act(EAST)):
        await refused(who.merge_patch(CLUSTER_PROFILES, HELD, patch, namespace=SET), "only the hub's controller")
        await refused(who.delete(CLUSTER_PROFILES, HELD, namespace=SET), "only the hub's controller")
        await refused(who.delete_collection(CLUSTER_PROFILES, namespace=SET), "only the hub's controller")
        # Neither is anything made to look like one of ours, here or elsewhere, by its label or by its content.
        await refused(put(who, profile("forged")), "only the hub's controller")
        for forged in (
            profile("forged", manager="isthmus-x", namespace=TEAM),
            profile("forged", manager="otto.example", label=OURS),
        ):
            # Of two policies that refuse it, either may be the one that says so.
            await refused(put(who, forged), "only the hub's controller|the cluster manager|of cluster manager")
    status = {"status": {"version": {"kubernetes": "v9"}}}
    await refused(
        (await act(EAST)).merge_patch(CLUSTER_PROFILES, HELD, status, namespace=SET, subresource="status"),
        "only the hub's controller",
    )
    # Helpers may add to the status, by the rights that an admin gave them (INV-28).
    await otto.merge_patch(CLUSTER_PROFILES, HELD, status, namespace=SET, subresource="status")
    await root.merge_patch(CLUSTER_PROFILES, HELD, patch, namespace=SET)
    await hub.delete(CLUSTER_PROFILES, HELD, namespace=SET)


@pytest.mark.requirement("INV-3")
async def test_profiles_of_another_manager_are_left_alone(act: Act, otto: Client) -> None:
    hub = await act(HUB_USER)
    await put(otto, foreign())
    await otto.merge_patch(CLUSTER_PROFILES, "theirs", {"spec": {"displayName": "mine"}}, namespace=SET)
    told = {"status": {"version": {"kubernetes": "v9"}}}
    alone = "leaves ClusterProfiles of other cluster managers alone"
    for attempt in (
        lambda: hub.merge_patch(CLUSTER_PROFILES, "theirs", {"spec": {"displayName": "x"}}, namespace=SET),
        lambda: hub.merge_patch(CLUSTER_PROFILES, "theirs", told, namespace=SET, subresource="status"),
        lambda: hub.delete(CLUSTER_PROFILES, "theirs", namespace=SET),
        lambda: put(hub, foreign("mine")),
    ):
        await refused(attempt(), alone)
    await otto.delete(CLUSTER_PROFILES, "theirs", namespace=SET)


@pytest.mark.requirement("INV-1", "INV-4", "INV-10", "INV-12")
@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        pytest.param(profile(label="isthmus-x"), f"must be the name of the cluster manager, {OURS}", id="label"),
        pytest.param(profile(manager=f"isthmus-{OTHER_SET}"), "is not that of cluster manager", id="another set's"),
        pytest.param(profile(**{CLUSTER_LABEL: "west"}), "one profile, one cluster", id="another cluster's"),
    ],
)
async def test_a_profile_of_ours_says_whose_it_is(
    act: Act, root: Client, otto: Client, manifest: Manifest, words: str
) -> None:
    for client in (await act(HUB_USER), root):
        await refused(put(client, manifest), words)
    with pytest.raises(NotFound):
        await otto.get(CLUSTER_PROFILES, HELD, namespace=SET)


@pytest.mark.requirement("INV-2", "INV-4", "INV-25", "INV-26")
async def test_what_a_profile_of_ours_says_stays_so(act: Act, root: Client, otto: Client) -> None:
    hub = await act(HUB_USER)
    await put(hub, profile())
    for change, words in (
        ({"metadata": {"labels": {MANAGER_LABEL: None}}}, "must be the name of the cluster manager"),
        ({"metadata": {"labels": {CLUSTER_LABEL: "west"}}}, "one profile, one cluster"),
    ):
        for client in (hub, root):
            await refused(client.merge_patch(CLUSTER_PROFILES, HELD, change, namespace=SET), words)
    # The definition refuses that too, where it comes first.
    renamed = {
        "spec": {"clusterManager": {"name": "otto.example"}},
        "metadata": {"labels": {MANAGER_LABEL: "otto.example"}},
    }
    with pytest.raises((Refused, Invalid), match=r"never changes|immutable"):
        await root.merge_patch(CLUSTER_PROFILES, HELD, renamed, namespace=SET)
    access = {"name": "reader", "cluster": {"server": "http://east.example"}}
    for status, words in (
        ({"accessProviders": [access]}, "does not begin with https"),
        ({"credentialProviders": [{"name": "old"}]}, "credentialProviders is given up"),
    ):
        for client in (hub, otto):
            written = client.merge_patch(
                CLUSTER_PROFILES, HELD, {"status": status}, namespace=SET, subresource="status"
            )
            await refused(written, words)
