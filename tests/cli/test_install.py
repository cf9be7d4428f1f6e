"""`isthmus install` and `isthmus dns configure` as they are typed."""

import asyncio
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from isthmus.api.core import CONFIG_MAPS, CRDS, NAMESPACES
from isthmus.api.crds import HUB_CRDS
from isthmus.api.isthmus import MEMBERS
from isthmus.cli.main import cli
from isthmus.errors import Invalid
from isthmus.install.credential import contained
from isthmus.install.hub import HubOptions, hub_manifests
from isthmus.install.member import MemberOptions, member_manifests
from isthmus.install.workloads import Tuning
from isthmus.testing.cluster import TestCluster
from tests.clusters import cluster
from tests.conftest import EMBEDDED
from tests.install.test_corefile import KUBEADM
from tests.install.test_handover import coredns, text

__all__ = ["cluster"]

KUBECONFIG = """\
clusters: [{name: hub, cluster: {server: "https://hub.example.org:6443", insecure-skip-tls-verify: true}}]
users: [{name: east, user: {token: secret}}]
contexts: [{name: hub, context: {cluster: hub, user: east}}]
current-context: hub
"""


def typed(line: str) -> Result:
    return CliRunner().invoke(cli, line.split())


async def typed_beside(line: str) -> Result:
    """While the cluster is served by this very process."""
    return await asyncio.to_thread(typed, line)


def test_manifests_are_printed_and_nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    file = tmp_path / "hub.kubeconfig"
    file.write_text(KUBECONFIG)
    hub = typed("install hub --set prod --members east,west --image registry/isthmus:9 -o yaml")
    assert tuple(yaml.safe_load_all(hub.output)) == hub_manifests(
        HubOptions("prod", ("east", "west"), "registry/isthmus:9")
    )
    member = typed(f"install member --set prod --cluster east --hub-kubeconfig {file} -o yaml")
    assert tuple(yaml.safe_load_all(member.output)) == member_manifests(MemberOptions("prod", "east", contained(file)))
    for output in (hub.output, member.output):
        assert "&id" not in output
    tuned = typed("install hub --set prod --silent-after 45 --replicas 3 --log-level DEBUG -o yaml")
    options = HubOptions("prod", silent_after=45.0, tuning=Tuning(3, "DEBUG"))
    assert tuple(yaml.safe_load_all(tuned.output)) == hub_manifests(options)


def test_charts_are_written_and_nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    both = typed(f"install chart --output {tmp_path}")
    assert both.output.split() == [str(tmp_path / "isthmus-hub"), str(tmp_path / "isthmus-member")]
    assert (tmp_path / "isthmus-member" / "values.yaml").exists()
    assert typed(f"install chart member --output {tmp_path}").output.split() == [str(tmp_path / "isthmus-member")]


def test_definitions_are_not_renewed_by_the_account_of_a_pod_outside_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    refused = typed("install definitions hub --in-cluster")
    assert "not in a pod" in str(refused.exception)


@pytest.mark.parametrize("kind", [EMBEDDED], indirect=True)
async def test_definitions_are_made_alone(cluster: TestCluster, kind: str) -> None:
    where = f"--kubeconfig {cluster.host.kubeconfig}"
    assert "7 objects are in place" in (await typed_beside(f"install definitions hub {where}")).output
    assert not (await cluster.client.list(MEMBERS)).items
    for each in HUB_CRDS:
        await cluster.client.delete(CRDS, each["metadata"]["name"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("install hub --set Prod -o yaml", "cluster set 'Prod' is not one DNS label"),
        ("install hub --set prod --members east,hub -o yaml", "'hub' is kept for Isthmus itself"),
    ],
)
def test_names_that_cannot_be_are_refused_at_once(line: str, words: str) -> None:
    refused = typed(line)
    assert isinstance(refused.exception, Invalid)
    assert words in str(refused.exception)


@pytest.mark.parametrize("kind", [EMBEDDED], indirect=True)
async def test_a_hub_is_installed_and_a_member_gets_its_credential(
    cluster: TestCluster, kind: str, tmp_path: Path
) -> None:
    where = f"--kubeconfig {cluster.host.kubeconfig}"
    done = await typed_beside(f"install hub --set prod --members east --no-wait {where}")
    assert "east:  isthmus install credential --set prod --cluster east > east.kubeconfig" in done.output
    assert (await cluster.client.get(MEMBERS, "east", namespace="prod")).spec is not None
    refused = await typed_beside(f"install credential --set prod --cluster east {where}")
    assert "--server https://HOST:PORT" in str(refused.exception)
    server = "https://hub.example.org:6443"
    given = await typed_beside(f"install credential --set prod --cluster east --server {server} --days 1 {where}")
    printed = yaml.safe_load(given.stdout)
    assert printed["clusters"][0]["cluster"]["server"] == server
    assert printed["users"][0]["user"]["token"].count(".") == 2
    assert "To end it now: kubectl -n isthmus-members delete secret east-" in given.stderr
    gone = await typed_beside(f"install uninstall hub --yes {where}")
    assert "objects are gone" in gone.output


@pytest.mark.parametrize("kind", [EMBEDDED], indirect=True)
async def test_the_dns_of_a_cluster_is_shown_configured_and_given_back(cluster: TestCluster, kind: str) -> None:
    where = await coredns(cluster, "dns", KUBEADM)
    command = f"dns configure --config-map dns/coredns --kubeconfig {cluster.host.kubeconfig}"
    shown = await typed_beside(f"{command} --dry-run")
    assert "+clusterset.local:53 {" in shown.output
    assert await text(cluster.client, where) == KUBEADM
    told = await typed_beside(command)
    assert "CoreDNS is told: clusterset.local is answered by Isthmus" in told.output
    assert "clusterset.local:53 {" in await text(cluster.client, where)
    assert "as it should be" in (await typed_beside(f"{command} --dry-run")).output
    assert "no longer answered" in (await typed_beside(f"{command} --undo")).output
    assert await text(cluster.client, where) == KUBEADM
    wrong = await typed_beside("dns configure --config-map coredns")
    assert "write NAMESPACE/NAME" in wrong.output
    await cluster.client.delete(CONFIG_MAPS, "coredns", namespace="dns")
    await cluster.client.delete(NAMESPACES, "dns")
