"""What a cluster's own DNS is told, and what it is given back, on both kinds of cluster."""

import pytest

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CONFIG_MAPS, NAMESPACES, SERVICES
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict, Invalid, NotFound
from isthmus.install.corefile import read
from isthmus.install.handover import carry_out, configure, plan, restart, wait_answering
from isthmus.install.kinds import whole
from isthmus.install.member import DNS_SERVICE
from isthmus.install.workloads import namespace, service
from isthmus.kube.client import Client
from isthmus.testing.cluster import TestCluster
from tests.clusters import cluster
from tests.install.conftest import BY_HAND
from tests.install.test_corefile import KUBEADM

__all__ = ["cluster"]

ZONE = "clusterset.local:53"


async def coredns(cluster: TestCluster, name: str, corefile: str) -> tuple[str, str]:
    """A cluster whose CoreDNS has this configuration; where it is."""
    await cluster.namespace(name)
    await cluster.client.apply(CONFIG_MAPS, config_map(name, "coredns", Corefile=corefile), options=BY_HAND)
    await have_our_service(cluster.client)
    return name, "coredns"


async def have_our_service(client: Client) -> None:
    """There is somebody to ask, or at least an address."""
    await client.apply(whole(NAMESPACES), namespace(SYSTEM_NAMESPACE, {}), options=BY_HAND)
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    await client.apply(whole(SERVICES), service(DNS_SERVICE, ports), options=BY_HAND)


def config_map(where: str, name: str, **data: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": where},
        "data": data,
    }


async def text(client: Client, where: tuple[str, str], key: str = "Corefile") -> str:
    found = await client.get(CONFIG_MAPS, where[1], namespace=where[0])
    return str((found.get("data") or {}).get(key, ""))


async def changed(client: Client, where: tuple[str, str], *, undo: bool) -> list[str]:
    """Configure, and say which places were written."""
    done = await configure(client, where, undo=undo)
    return [str(change.place) for change in done if change.is_needed]


async def test_the_zone_is_handed_to_our_service_and_given_back(cluster: TestCluster) -> None:
    client = cluster.client
    where = await coredns(cluster, "dns-a", KUBEADM)
    address = (await client.get(SERVICES, DNS_SERVICE, namespace=SYSTEM_NAMESPACE)).spec.cluster_ips[0]
    (planned,) = await plan(client, where, undo=False)
    assert await text(client, where) == KUBEADM
    (done,) = await configure(client, where, undo=False)
    assert done.is_needed
    assert done.reloads
    assert done.wanted == planned.wanted == await text(client, where)
    (block,) = (each for each in read(done.wanted or "") if each.zones == (ZONE,))
    assert block.body[-1] == f"forward . {address}"
    assert not await changed(client, where, undo=False)
    await configure(client, where, undo=True)
    assert await text(client, where) == KUBEADM
    assert not await changed(client, where, undo=True)


async def test_what_others_write_meanwhile_is_not_lost(cluster: TestCluster) -> None:
    client = cluster.client
    where = await coredns(cluster, "dns-b", KUBEADM)
    (planned,) = await plan(client, where, undo=False)
    theirs = KUBEADM.replace("cache 30", "cache 60")
    await client.merge_patch(CONFIG_MAPS, where[1], {"data": {"Corefile": theirs}}, namespace=where[0])
    with pytest.raises(Conflict):
        await carry_out(client, planned)
    assert await changed(client, where, undo=False) == ["dns-b/coredns (CoreDNS)"]
    assert (await text(client, where)).endswith(theirs)


async def test_where_the_provider_owns_the_corefile_the_block_goes_into_its_custom_files(cluster: TestCluster) -> None:
    client = cluster.client
    main = KUBEADM + "import custom/*.server\n"
    where = await coredns(cluster, "dns-c", main)
    for number in range(2):
        if number:
            # There already, with blocks of others.
            custom = config_map(where[0], "coredns-custom", **{"other.server": "example.org {\n    whoami\n}\n"})
            await client.apply(CONFIG_MAPS, custom, options=BY_HAND)
        await configure(client, where, undo=False)
        assert await text(client, where) == main
        ours = await text(client, (where[0], "coredns-custom"), "isthmus.server")
        assert [block.zones for block in read(ours)] == [(ZONE,)]
        await configure(client, where, undo=True)
        if number:
            assert await text(client, (where[0], "coredns-custom"), "isthmus.server") == ""
        else:
            with pytest.raises(NotFound):
                await client.get(CONFIG_MAPS, "coredns-custom", namespace=where[0])
    taken = {"data": {"other.server": "clusterset.local {\n    whoami\n}\n"}}
    await client.merge_patch(CONFIG_MAPS, "coredns-custom", taken, namespace=where[0])
    with pytest.raises(Invalid, match=r"other.server line 1: another block serves clusterset.local already, in a file"):
        await configure(client, where, undo=False, replace_others=True)
    assert "whoami" in await text(client, (where[0], "coredns-custom"), "other.server")


@pytest.mark.parametrize("shape", ["a line of the root block", "a block of its own"])
async def test_coredns_own_multicluster_plugin_is_left_unless_it_is_to_be_replaced(
    cluster: TestCluster, shape: str
) -> None:
    client = cluster.client
    main = KUBEADM.replace("    ready\n", "    ready\n    multicluster clusterset.local\n")
    if shape == "a block of its own":
        main = KUBEADM + "clusterset.local:53 {\n    multicluster\n}\n"
    where = await coredns(cluster, "dns-g", main)
    (left,) = await configure(client, where, undo=False)
    assert "its plugin `multicluster` answers for clusterset.local itself" in left.left
    assert not left.is_needed
    assert await text(client, where) == main
    (done,) = await configure(client, where, undo=False, replace_others=True)
    assert done.is_needed
    blocks = [block for block in read(await text(client, where)) if block.serves("clusterset.local")]
    assert [block.body[-1].split()[0] for block in blocks] == ["forward"]
    # Asked once, it need not be asked again.
    (again,) = await configure(client, where, undo=False)
    assert not again.is_needed
    assert not again.left
    await configure(client, where, undo=True)
    assert await text(client, where) == main


@pytest.mark.parametrize(
    ("corefile", "words"),
    [
        pytest.param("", "has no Corefile in ConfigMap dns-d/coredns: name the one", id="none"),
        pytest.param(".:53 {\n", "line 1: the block is not closed", id="broken"),
        pytest.param("clusterset.local {\n    whoami\n}\n", "another block serves clusterset.local", id="taken"),
        pytest.param(
            "import custom/*.server\nclusterset.local {\n    whoami\n}\n", "another block serves", id="taken elsewhere"
        ),
    ],
)
async def test_what_cannot_be_done_is_said_with_what_to_do(cluster: TestCluster, corefile: str, words: str) -> None:
    where = await coredns(cluster, "dns-d", corefile)
    with pytest.raises(Invalid, match=words):
        await configure(cluster.client, where, undo=False)
    assert await text(cluster.client, where) == corefile


async def test_without_our_service_there_is_nobody_to_ask(cluster: TestCluster) -> None:
    where = await coredns(cluster, "dns-e", KUBEADM)
    await cluster.client.delete(SERVICES, DNS_SERVICE, namespace=SYSTEM_NAMESPACE)
    with pytest.raises(Invalid, match="Type: isthmus install member"):
        await configure(cluster.client, where, undo=False)


async def test_a_coredns_that_does_not_reload_is_rolled(cluster: TestCluster) -> None:
    client = cluster.client
    where = await coredns(cluster, "dns-f", KUBEADM.replace("    reload\n", ""))
    (change,) = await plan(client, where, undo=False)
    assert not change.reloads
    with pytest.raises(Invalid, match="0 Deployments in dns-f have the label"):
        await restart(client, change.place)
    labels = {"k8s-app": "kube-dns"}
    container = {"name": "coredns", "image": "coredns"}
    deployment: Manifest = {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.kind,
        "metadata": {"name": "coredns", "namespace": where[0], "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    await client.create(whole(DEPLOYMENTS), deployment)
    assert await restart(client, change.place) == "coredns"
    seen = await client.get(whole(DEPLOYMENTS), "coredns", namespace=where[0])
    assert "isthmus.dev/restarted-at" in seen["spec"]["template"]["metadata"]["annotations"]


async def test_without_a_pod_to_ask_from_that_is_said(cluster: TestCluster) -> None:
    said: list[str] = []
    assert not await wait_answering(cluster.client, answers=True, say=said.append)
    assert "no pod of isthmus-dns can be entered" in said[0]
