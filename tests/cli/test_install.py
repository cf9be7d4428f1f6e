"""`isthmus install` and `isthmus dns configure` as they are typed."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from isthmus.api.core import CONFIG_MAPS, CRDS, NAMESPACES
from isthmus.api.crds import HUB_CRDS
from isthmus.api.isthmus import MEMBERS
from isthmus.cli.handover import asked
from isthmus.cli.main import cli
from isthmus.errors import Invalid
from isthmus.install.credential import contained
from isthmus.install.hub import TUNNEL_URL, HubOptions, hub_manifests
from isthmus.install.member import MemberOptions, member_manifests
from isthmus.install.monitoring.alerts import rules
from isthmus.install.monitoring.dashboard import dashboard
from isthmus.install.monitoring.objects import monitoring_manifests
from isthmus.install.nameservers import USUAL_COREDNS
from isthmus.install.workloads import Tuning
from isthmus.testing.cluster import TestCluster
from tests.clusters import cluster
from tests.conftest import EMBEDDED
from tests.install.conftest import BY_HAND
from tests.install.test_corefile import KUBEADM, STOCK
from tests.install.test_handover import config_map, coredns, text

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
    through = typed("install hub --tunnel --set prod -o yaml")
    assert tuple(yaml.safe_load_all(through.output)) == hub_manifests(HubOptions("prod", tunnel=TUNNEL_URL))
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


def test_alerts_and_dashboard_are_printed_for_whoever_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    objects = tuple(yaml.safe_load_all(typed("install monitoring --namespace watch --label release=prometheus").output))
    assert objects == monitoring_manifests("watch", {"release": "prometheus"})
    assert yaml.safe_load(typed("install monitoring -o rules").output) == rules()
    assert json.loads(typed("install monitoring -o dashboard").output) == dashboard()
    refused = typed("install monitoring --label release")
    assert (refused.exit_code, "write NAME=VALUE" in refused.output) == (2, True)


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
    assert "dns/coredns (CoreDNS): asks Isthmus about clusterset.local" in told.stderr
    assert "The cluster's DNS is told: clusterset.local is answered by Isthmus" in told.output
    assert "clusterset.local:53 {" in await text(cluster.client, where)
    assert "as it should be" in (await typed_beside(f"{command} --dry-run")).output
    assert "no longer answered" in (await typed_beside(f"{command} --undo")).output
    assert await text(cluster.client, where) == KUBEADM
    wrong = await typed_beside("dns configure --config-map coredns")
    assert "write NAMESPACE/NAME" in wrong.output
    await cluster.client.delete(CONFIG_MAPS, "coredns", namespace="dns")
    await cluster.client.delete(NAMESPACES, "dns")


@pytest.mark.parametrize("kind", [EMBEDDED], indirect=True)
async def test_every_place_is_shown_and_said_in_a_line(cluster: TestCluster, kind: str) -> None:
    client, where = cluster.client, await coredns(cluster, "dns", KUBEADM)
    for name, data in (("coredns", {"Corefile": KUBEADM}), ("node-local-dns", {"Corefile": STOCK})):
        await client.apply(CONFIG_MAPS, config_map("kube-system", name, **data), options=BY_HAND)
    label = {"metadata": {"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}}
    await client.merge_patch(CONFIG_MAPS, "node-local-dns", label, namespace="kube-system")
    assert await asked(client, USUAL_COREDNS) == "CoreDNS and NodeLocal DNSCache"
    command = f"dns configure --kubeconfig {cluster.host.kubeconfig}"
    shown = (await typed_beside(f"{command} --dry-run")).output
    assert "+++ kube-system/coredns/Corefile (wanted)" in shown
    assert "+++ kube-system/node-local-dns/Corefile (wanted)" in shown
    told = (await typed_beside(command)).stderr.splitlines()
    assert "kube-system/coredns (CoreDNS): asks Isthmus about clusterset.local" in told
    assert any("node-local-dns" in line and "its add-on manager will write it anew" in line for line in told)
    assert not await asked(client, USUAL_COREDNS)
    await client.apply(CONFIG_MAPS, config_map("kube-system", "kube-dns", stubDomains="{}"), options=BY_HAND)
    shown = (await typed_beside(f"{command} --dry-run")).output
    assert '+{"clusterset.local":["' in shown
    told = (await typed_beside(command)).stderr.splitlines()
    assert any("(NodeLocal DNSCache): nothing else answers" in line for line in told)
    undone = (await typed_beside(f"{command} --undo")).stderr
    assert "kube-system/kube-dns (kube-dns): as it was before Isthmus" in undone
    main = KUBEADM.replace("    ready\n", "    multicluster clusterset.local\n")
    await client.merge_patch(CONFIG_MAPS, "coredns", {"data": {"Corefile": main}}, namespace=where[0])
    left = await typed_beside(f"{command} --config-map dns/coredns")
    assert "dns/coredns (CoreDNS): line 6: its plugin `multicluster` answers" in left.stderr
