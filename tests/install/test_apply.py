"""Installing on both kinds of cluster: what is accepted, who may, what is refused before anything is written."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from isthmus.api.access import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CRDS, ENDPOINT_SLICES, MANAGED_BY_LABEL, NAMESPACES
from isthmus.api.crds import MCS_CRDS, RELEASE_LABEL
from isthmus.api.isthmus import MEMBERS, SYSTEM_NAMESPACE
from isthmus.api.mcs import SERVICE_NAME_LABEL
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid, NotFound, Unreachable
from isthmus.install.apply import install, wait_running
from isthmus.install.hub import HubOptions, hub_manifests
from isthmus.install.kinds import BY_KIND, versions_of, whole
from isthmus.install.member import MemberOptions, member_manifests
from isthmus.install.rights import rights_for
from isthmus.kit.clock import FakeClock
from isthmus.kube.client import Client
from isthmus.testing.cluster import TestCluster
from tests.clusters import cluster
from tests.conftest import CONTROL_PLANE, EMBEDDED
from tests.install.conftest import BY_HAND, ROOT, SET, TEAM, Secured

__all__ = ["cluster"]

on_a_control_plane = pytest.mark.parametrize("kind", [CONTROL_PLANE], indirect=True)
HUB_KUBECONFIG = "apiVersion: v1\nkind: Config\n"
HUB = hub_manifests(HubOptions(SET, ("east", "west")))
MEMBER = member_manifests(MemberOptions(SET, "east", HUB_KUBECONFIG))
INSTALLER, NOBODY = "ines", "norman"


@pytest.fixture
async def root(secured: Secured) -> AsyncIterator[Client]:
    async with secured.client(ROOT) as client:
        yield client


def quiet(_: str) -> None:
    """Progress is of no interest here."""


async def strictly(client: Client, manifest: Manifest) -> bytes:
    """What the server makes of a manifest if it is to take every field seriously."""
    kind = BY_KIND[manifest["kind"]]
    metadata = manifest["metadata"]
    path = kind.path(metadata["name"], namespace=metadata.get("namespace", ""))
    query = {"fieldManager": "test", "force": "true", "dryRun": "All", "fieldValidation": "Strict"}
    return await client.raw(
        "PATCH", path, query=query, body=msgspec.json.encode(manifest), content_type="application/apply-patch+yaml"
    )


@pytest.mark.parametrize("kind", [EMBEDDED], indirect=True)
async def test_an_embedded_server_accepts_every_manifest_strictly(cluster: TestCluster, kind: str) -> None:
    client = cluster.client
    served = [each for each in (*HUB, *MEMBER) if await client.serves(BY_KIND[each["kind"]])]
    # Nothing asks an embedded cluster for these two, and Members are defined by the installation itself.
    left_out = {each["kind"] for each in (*HUB, *MEMBER)} - {each["kind"] for each in served}
    assert left_out == {"Member", "PodDisruptionBudget", "PriorityClass"}
    for manifest in served:
        if manifest["kind"] == NAMESPACES.kind:
            await client.apply(whole(NAMESPACES), manifest, options=BY_HAND)
    for manifest in served:
        answer = msgspec.json.decode(await strictly(client, manifest))
        assert answer["metadata"]["name"] == manifest["metadata"]["name"]


class TestWithRolesAndPolicies:
    """In place already, and without privileges but those that are asked for."""

    @on_a_control_plane
    async def test_a_real_control_plane_accepts_every_manifest_strictly(self, kind: str, root: Client) -> None:
        for manifest in (*HUB, *MEMBER):
            answer = msgspec.json.decode(await strictly(root, manifest))
            assert answer["metadata"]["name"] == manifest["metadata"]["name"]

    async def test_whoever_has_the_rights_that_are_asked_for_can_install_twice(
        self, kind: str, secured: Secured, root: Client
    ) -> None:
        await grant(root, INSTALLER, rights=rights_for((*HUB, *MEMBER)))
        said: list[str] = []
        async with secured.client(INSTALLER) as installer:
            for _ in range(2):
                await install(installer, HUB, say=said.append, wait=False)
                await install(installer, MEMBER, say=said.append, wait=False)
        seen = await root.get(whole(DEPLOYMENTS), "isthmus-agent", namespace=SYSTEM_NAMESPACE)
        assert seen["spec"]["replicas"] == 2
        assert (await root.get(MEMBERS, "east", namespace=SET)).spec is not None
        assert said[-1] == f"{len(MEMBER)} objects are in place"

    @on_a_control_plane
    async def test_what_is_installed_is_not_touched_by_installing_it_again(self, kind: str, root: Client) -> None:
        async def versions() -> dict[str, object]:
            found = {}
            for manifest in (*HUB, *MEMBER):
                of_kind, metadata = whole(BY_KIND[manifest["kind"]]), manifest["metadata"]
                seen = (await root.get(of_kind, metadata["name"], namespace=metadata.get("namespace", "")))["metadata"]
                # What has a status is written by controllers too: its generation counts writes of its spec.
                found[f"{of_kind.kind} {seen['name']}"] = seen.get("generation", seen["resourceVersion"])
            return found

        await install(root, HUB, say=quiet, wait=False)
        await install(root, MEMBER, say=quiet, wait=False)
        before = await versions()
        await install(root, HUB, say=quiet, wait=False)
        await install(root, MEMBER, say=quiet, wait=False)
        assert await versions() == before

    async def test_all_missing_rights_are_named_at_once_and_nothing_is_written(
        self, kind: str, secured: Secured, root: Client
    ) -> None:
        rights = rights_for(MEMBER)
        lacking = {("create", "apps", "deployments", SYSTEM_NAMESPACE), ("escalate", CLUSTER_ROLES.group, "roles", "")}
        lacking |= {right for right in rights if right[2] == "customresourcedefinitions"}
        await grant(root, NOBODY, rights=[right for right in rights if right not in lacking])
        manifests = [
            each | {"metadata": each["metadata"] | {"name": "never"}} if each["kind"] == NAMESPACES.kind else each
            for each in MEMBER
        ]
        async with secured.client(NOBODY) as nobody:
            with pytest.raises(Invalid, match="nothing was written") as caught:
                await install(nobody, manifests, say=quiet, wait=False)
        for words in ("create deployments.apps in isthmus-system", "create customresourcedefinitions.apiextensions"):
            assert words in str(caught.value)
        assert "secrets" not in str(caught.value)
        with pytest.raises(NotFound):
            await root.get(NAMESPACES, "never")

    async def test_a_member_of_another_set_and_a_namespace_of_others_are_left_alone(
        self, kind: str, root: Client
    ) -> None:
        await install(root, HUB, say=quiet, wait=False)
        await install(root, MEMBER, say=quiet, wait=False)
        moved = member_manifests(MemberOptions("set-c", "east", HUB_KUBECONFIG))
        with pytest.raises(Invalid, match=f"member of set {SET} already.*uninstall member"):
            await install(root, moved, say=quiet, wait=False)
        with pytest.raises(Invalid, match=f"namespace {TEAM} is there and not ours"):
            await install(root, hub_manifests(HubOptions(TEAM)), say=quiet, wait=False)

    @on_a_control_plane
    async def test_what_does_not_run_is_said_with_where_to_look(self, kind: str, root: Client) -> None:
        await install(root, MEMBER, say=quiet, wait=False)
        deployment = next(each for each in MEMBER if each["kind"] == DEPLOYMENTS.kind)
        said: list[str] = []
        # No node is there to run it.
        with pytest.raises(Unreachable, match=r"describe pods -l app.kubernetes.io/name=isthmus-"):
            await wait_running(root, deployment, say=said.append, clock=Hurried())
        assert said[0].endswith("0 of 2 pods ready")


class Hurried(FakeClock):
    """A clock on which each wait is over at once."""

    async def sleep(self, seconds: float) -> None:
        await self.advance(max(seconds, 60.0))


async def grant(root: Client, user: str, *, rights: list[tuple[str, str, str, str]]) -> None:
    rules = [{"verbs": [verb], "apiGroups": [group], "resources": [plural]} for verb, group, plural, _ in rights]
    # To define a policy takes the right to read what it is asked about.
    rules += [
        {"verbs": ["get", "list", "watch"], "apiGroups": ["", "about.k8s.io"], "resources": ["*"]},
    ]
    name = f"test-{user}"
    await root.apply(CLUSTER_ROLES, {"metadata": {"name": name}, "rules": rules}, options=BY_HAND)
    group = CLUSTER_ROLES.group
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    await root.apply(CLUSTER_ROLE_BINDINGS, binding, options=BY_HAND)


def of_release(release: str, *, versions: tuple[str, ...], stored: str, group: str) -> Manifest:
    """A definition like the SIG's, of a group that nothing else uses."""
    like = MCS_CRDS[0]
    made = [
        each | {"name": name, "storage": name == stored} for name in versions for each in like["spec"]["versions"][:1]
    ]
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    return {
        "apiVersion": like["apiVersion"],
        "kind": CRDS.kind,
        "metadata": {"name": f"things.{group}", "labels": {RELEASE_LABEL: release}},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": made},
    }


async def test_an_older_definition_is_renewed_its_objects_stored_anew_and_a_newer_one_stays(
    cluster: TestCluster, tmp_path: Path
) -> None:
    client, group = cluster.client, f"g{tmp_path.name[-6:].strip('_').lower().replace('_', '-')}.test.isthmus.dev"
    old = of_release("v0.4.0", versions=("v1alpha1",), stored="v1alpha1", group=group)
    new = of_release("v0.5.0", versions=("v1alpha1", "v1beta1"), stored="v1beta1", group=group)
    name = old["metadata"]["name"]
    said: list[str] = []
    await install(client, [old], say=said.append)
    things = whole(BY_KIND["ServiceAccount"]).path(namespace="default").replace("api/v1", f"apis/{group}/v1alpha1")
    path = things.replace("serviceaccounts", "things")
    for number in range(3):
        body = {"apiVersion": f"{group}/v1alpha1", "kind": "Thing", "metadata": {"name": f"t{number}"}}
        await client.raw("POST", path, body=msgspec.json.encode(body))
    await install(client, [new], say=said.append)
    seen = await client.get(CRDS, name)
    assert seen["status"]["storedVersions"] == ["v1beta1"]
    assert any("storing 3 objects as v1beta1, v1alpha1 may be among them" in line for line in said)
    await install(client, [old], say=said.append)
    assert (await client.get(CRDS, name))["metadata"]["labels"][RELEASE_LABEL] == "v0.5.0"
    assert "is left as it is" in said[-1] or "is left as it is" in said[-2]
    # Were one still stored as v1alpha1, nobody could read it once that version is gone.
    last = of_release("v0.6.0", versions=("v1beta1",), stored="v1beta1", group=group)
    await client.update(CRDS, last | {"metadata": (await client.get(CRDS, name))["metadata"]})
    listed = msgspec.json.decode(await client.raw("GET", path.replace("v1alpha1", "v1beta1")))
    assert [item["metadata"]["name"] for item in listed["items"]] == ["t0", "t1", "t2"]
    await client.delete(CRDS, name)


async def test_objects_of_a_kind_can_be_made_as_soon_as_it_is_installed(cluster: TestCluster) -> None:
    """For a moment after a definition is established the server answers 404 to whoever uses it."""
    client = cluster.client
    for number in range(8):
        definition = of_release("v0.5.0", versions=("v1beta1",), stored="v1beta1", group=f"soon{number}.test")
        await install(client, [definition], say=quiet)
        (kind,) = versions_of(definition)
        assert await client.serves(kind)
        await client.apply(kind, {"metadata": {"name": "first"}}, namespace="default", options=BY_HAND)
        await client.delete(CRDS, definition["metadata"]["name"])


async def test_a_definition_that_cannot_be_used_stops_everything(cluster: TestCluster) -> None:
    client, group = cluster.client, "old.test.isthmus.dev"
    theirs = of_release("v0.4.0", versions=("v1alpha1",), stored="v1alpha1", group=group)
    theirs["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "Helm"
    await client.create(CRDS, theirs)
    new = of_release("v0.5.0", versions=("v1alpha1", "v1beta1"), stored="v1beta1", group=group)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "never"}}
    with pytest.raises(Invalid, match=r"managed by Helm, and does not serve v1beta1.*Upgrade it"):
        await install(client, [namespace, new], say=quiet)
    with pytest.raises(NotFound):
        await client.get(NAMESPACES, "never")
    await client.delete(CRDS, theirs["metadata"]["name"])


@pytest.mark.parametrize("kind", [EMBEDDED], indirect=True)
async def test_beside_another_implementation_nothing_is_installed(cluster: TestCluster, kind: str) -> None:
    client = cluster.client
    await cluster.namespace(TEAM)
    labels = {SERVICE_NAME_LABEL: "shop", MANAGED_BY_LABEL: "lighthouse-agent.submariner.io"}
    theirs = {"metadata": {"name": "shop-1", "labels": labels}, "addressType": "IPv4", "endpoints": []}
    await client.apply(whole(ENDPOINT_SLICES), theirs, namespace=TEAM, options=BY_HAND)
    with pytest.raises(
        Invalid, match=r"another implementation.*lighthouse-agent.*--beside-another. Nothing was written"
    ):
        await install(client, MEMBER, say=quiet, wait=False)
    with pytest.raises(NotFound):
        await client.get(NAMESPACES, SYSTEM_NAMESPACE)
    await client.delete(ENDPOINT_SLICES, "shop-1", namespace=TEAM)
    await install(client, MEMBER, say=quiet, wait=False)
