"""The charts on a real control plane: installed, upgraded, beside each other, uninstalled, and definitions renewed."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from isthmus.api.access import CLUSTER_ROLES, POLICIES
from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CRDS, NAMESPACES, PODS, SECRETS
from isthmus.api.crds import HUB_CRDS
from isthmus.api.isthmus import EXPORT_GRANTS, MEMBERS, MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest, Resource
from isthmus.cli.main import cli
from isthmus.errors import NotFound
from isthmus.install.apply import install
from isthmus.install.chart import write_chart
from isthmus.install.chart_hooks import JOBS
from isthmus.install.definitions import OUR_RELEASE_LABEL
from isthmus.install.hub import HubOptions, hub_manifests
from isthmus.install.kinds import BY_KIND, PRIORITY_CLASSES, whole
from isthmus.install.member import MemberOptions, member_manifests
from isthmus.install.uninstall import uninstall
from isthmus.install.workloads import HUB, MEMBER
from isthmus.kube.client import Client, ListOptions, WriteOptions
from isthmus.kube.config import load_kubeconfig
from isthmus.kube.tokens import request_token
from isthmus.testing.waiting import eventually
from tests.install.test_chart import KUBECONFIG, options
from tests.real.controlplane import ControlPlane
from tests.real.helm import Helm, helm_at

# No pod ever runs here: the Job would be waited for.
BY_HAND = "--set=renewDefinitions=false"
PROD = "--set=set=prod"


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    """Helm at a control plane of its own: one without nodes, and without anything of ours."""
    folder = tmp_path_factory.mktemp("helm")
    helm = helm_at(folder / "home")
    plane = ControlPlane(folder / "plane", number=9)
    try:
        plane.start()
        yield replace(helm, kubeconfig=plane.kubeconfig)
    finally:
        plane.stop()


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("charts")
    for part in (HUB, MEMBER):
        write_chart(folder, part)
    return folder


@pytest.fixture
async def admin(helm: Helm) -> AsyncIterator[Client]:
    """An admin of the plane, which is left without anything of Isthmus."""
    assert helm.kubeconfig is not None
    async with Client(load_kubeconfig([helm.kubeconfig])) as client:
        yield client
        for release in json.loads(helm.done("list", "--all", "--output=json")):
            helm.done("uninstall", release["name"], "--no-hooks")
        for part in (MEMBER, HUB):
            await uninstall(client, part, crds=True, say=lambda _: None)


async def find(client: Client, kind: Resource[Manifest], name: str, namespace: str = "") -> Manifest | None:
    try:
        return await client.get(kind, name, namespace=namespace)
    except NotFound:
        return None


async def found(client: Client, manifest: Manifest) -> Manifest | None:
    metadata = manifest["metadata"]
    return await find(client, whole(BY_KIND[manifest["kind"]]), metadata["name"], metadata.get("namespace", ""))


def holds(seen: object, wanted: object) -> bool:
    """Whether all that was wanted is there; servers add what is usual."""
    if isinstance(wanted, dict):
        return isinstance(seen, dict) and all(key in seen and holds(seen[key], each) for key, each in wanted.items())
    if isinstance(wanted, list):
        return isinstance(seen, list) and len(seen) == len(wanted) and all(map(holds, seen, wanted))
    return seen == wanted


async def test_a_hub_is_installed_upgraded_and_uninstalled_and_what_people_made_stays(
    helm: Helm, charts: Path, admin: Client
) -> None:
    hub = str(charts / "isthmus-hub")
    chosen = {"set": "prod", "members": ["east", "west"]}
    assert "isthmus token create" in helm.done("install", "ours", hub, BY_HAND, *options(chosen))
    for manifest in hub_manifests(HubOptions("prod", ("east", "west"))):
        assert holds(await found(admin, manifest), manifest), manifest
    grant: Manifest = {
        "apiVersion": EXPORT_GRANTS.api_version,
        "kind": EXPORT_GRANTS.kind,
        "metadata": {"name": "open"},
    }
    grant |= {"spec": {"namespaces": ["shop"], "clusters": ["east"]}}
    await admin.create(whole(EXPORT_GRANTS), grant, namespace="prod")

    changed = {"set": "prod", "members": ["east"], "image": "localhost/isthmus:next", "replicas": 3}
    helm.done("upgrade", "ours", hub, BY_HAND, *options(changed))
    deployment = await admin.get(whole(DEPLOYMENTS), "isthmus-hub-prod", namespace=SYSTEM_NAMESPACE)
    assert deployment["spec"]["replicas"] == 3
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/isthmus:next"
    assert await find(admin, whole(MEMBERS), "east", "prod")
    assert not await find(admin, whole(MEMBERS), "west", "prod")

    code, said = helm.typed("upgrade", "ours", hub, BY_HAND, "--set=set=other")
    assert code != 0
    assert "this cluster is hub of set prod already, not of other" in said

    helm.done("uninstall", "ours")
    for kind, name, namespace in (
        (whole(DEPLOYMENTS), "isthmus-hub-prod", SYSTEM_NAMESPACE),
        (CLUSTER_ROLES, "isthmus-hub-prod", ""),
        (POLICIES, "isthmus-exports-are-their-writers", ""),
        (whole(MEMBERS), "east", "prod"),
    ):
        assert not await find(admin, kind, name, namespace), name
    assert await find(admin, whole(EXPORT_GRANTS), "open", "prod")
    for each in HUB_CRDS:
        assert await found(admin, each)

    helm.done("install", "another-name", hub, BY_HAND, PROD)
    assert await find(admin, whole(DEPLOYMENTS), "isthmus-hub-prod", SYSTEM_NAMESPACE)
    helm.done("uninstall", "another-name")
    # What Helm leaves goes when it is asked for.
    assert await uninstall(admin, HUB, crds=True, say=lambda _: None) > 0
    for kind, name in (
        *((whole(NAMESPACES), name) for name in ("prod", MEMBERS_NAMESPACE, SYSTEM_NAMESPACE)),
        (CRDS, "members.isthmus.dev"),
        (PRIORITY_CLASSES, "isthmus"),
    ):
        assert not await find(admin, kind, name), name


async def test_hub_and_member_live_in_one_cluster_and_go_one_by_one(helm: Helm, charts: Path, admin: Client) -> None:
    helm.done("install", "hub", str(charts / "isthmus-hub"), BY_HAND, PROD, "--set=members={east}")
    member = str(charts / "isthmus-member")
    chosen = {"set": "prod", "cluster": "east", "hubKubeconfig": KUBECONFIG}
    assert "is member east of set prod" in helm.done("install", "member", member, BY_HAND, *options(chosen))
    for manifest in member_manifests(MemberOptions("prod", "east", KUBECONFIG)):
        assert holds(await found(admin, manifest), manifest), manifest
    helm.done("uninstall", "hub")
    assert await find(admin, whole(NAMESPACES), SYSTEM_NAMESPACE)
    assert await find(admin, PRIORITY_CLASSES, "isthmus")
    assert await find(admin, whole(DEPLOYMENTS), "isthmus-agent", SYSTEM_NAMESPACE)
    helm.done("upgrade", "member", member, BY_HAND, *options(chosen | {"hubKubeconfig": ""}))
    assert not await find(admin, SECRETS, "isthmus-hub", SYSTEM_NAMESPACE)
    helm.done("uninstall", "member")
    assert not await find(admin, whole(DEPLOYMENTS), "isthmus-agent", SYSTEM_NAMESPACE)
    assert await find(admin, CRDS, "serviceexports.multicluster.x-k8s.io")


async def test_what_was_installed_by_hand_is_taken_over_when_asked_and_the_namespace_of_others_never(
    helm: Helm, charts: Path, admin: Client
) -> None:
    await install(admin, hub_manifests(HubOptions("prod", ("east",))), say=lambda _: None, wait=False)
    hub = (str(charts / "isthmus-hub"), BY_HAND, PROD, "--set=members={east}")
    before = await admin.get(whole(MEMBERS), "east", namespace="prod")
    code, said = helm.typed("install", "ours", *hub)
    assert code != 0
    assert "cannot be imported into the current release" in said
    helm.done("install", "ours", *hub, "--take-ownership")
    after = await admin.get(whole(MEMBERS), "east", namespace="prod")
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    helm.done("uninstall", "ours")
    await admin.apply(whole(NAMESPACES), {"metadata": {"name": "theirs"}}, options=WriteOptions(manager="test"))
    code, said = helm.typed("install", "ours", str(charts / "isthmus-hub"), BY_HAND, "--set=set=theirs")
    assert code != 0
    assert 'Namespace "theirs" in namespace "" exists and cannot be imported' in said
    await admin.delete(NAMESPACES, "theirs")


async def test_before_an_upgrade_older_definitions_are_renewed_and_newer_ones_are_not(
    helm: Helm, charts: Path, admin: Client, tmp_path: Path
) -> None:
    hub = (str(charts / "isthmus-hub"), PROD)
    helm.done("install", "ours", *hub, BY_HAND)
    for name, release in (("members", "v0.0.1"), ("exportgrants", "v9.0.0")):
        patch = {
            "metadata": {"labels": {OUR_RELEASE_LABEL: release}},
            "spec": {"names": {"shortNames": [f"edited-{name}"]}},
        }
        await admin.merge_patch(CRDS, f"{name}.isthmus.dev", patch)
    with helm.start("upgrade", "ours", *hub, "--timeout=90s") as upgrade:
        await _run_job(admin, helm, tmp_path)
        said, _ = await asyncio.to_thread(upgrade.communicate, timeout=60)
    assert upgrade.returncode == 0, said
    renewed = await admin.get(CRDS, "members.isthmus.dev")
    assert "shortNames" not in renewed["spec"]["names"]
    assert renewed["metadata"]["labels"][OUR_RELEASE_LABEL] != "v0.0.1"
    kept = await admin.get(CRDS, "exportgrants.isthmus.dev")
    assert kept["spec"]["names"]["shortNames"] == ["edited-exportgrants"]
    for kind, namespace in ((JOBS, "default"), (CLUSTER_ROLES, "")):
        assert not await find(admin, kind, "isthmus-definitions-hub", namespace)


async def _run_job(admin: Client, helm: Helm, folder: Path) -> None:
    """What a node would do: run the command of the Job's pod as its account, and say how it ended."""
    pods = ListOptions(labels="job-name=isthmus-definitions-hub")

    async def pod() -> list[Manifest]:
        return list((await admin.list(whole(PODS), namespace="default", options=pods)).items)

    await eventually(pod, within=60.0, what="the Job has a pod")
    (manifest,) = await pod()
    spec = manifest["spec"]
    issued = await request_token(admin, spec["serviceAccountName"], namespace="default", seconds=600)
    assert helm.kubeconfig is not None
    config = yaml.safe_load(helm.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": issued.token}}]
    file = folder / "job.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    args = [each for each in spec["containers"][0]["args"] if each != "--in-cluster"]
    ran = await asyncio.to_thread(CliRunner().invoke, cli, [*args, "--kubeconfig", str(file)])
    assert ran.exit_code == 0, ran.output
    assert "definition exportgrants.isthmus.dev is left as it is" in ran.output
    status = {"status": {"phase": "Succeeded"}}
    await admin.merge_patch(
        whole(PODS), manifest["metadata"]["name"], status, namespace="default", subresource="status"
    )
