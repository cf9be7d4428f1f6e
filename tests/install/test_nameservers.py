"""Clusters with kube-dns, or NodeLocal DNSCache before their DNS: who is told, and how it gets back what it had."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

import pytest

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CONFIG_MAPS, SERVICES
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict, Invalid, NotFound
from isthmus.install.corefile import read
from isthmus.install.handover import carry_out, configure, plan, restart
from isthmus.install.kinds import DAEMON_SETS, whole
from isthmus.install.member import DNS_SERVICE
from isthmus.install.nameservers import USUAL_COREDNS, find
from isthmus.kube.client import Client
from isthmus.testing.cluster import TestCluster
from tests.clusters import cluster
from tests.install.conftest import BY_HAND
from tests.install.test_corefile import KUBEADM, OTHERS, STOCK
from tests.install.test_handover import changed, config_map, have_our_service
from tests.install.test_stubdomains import RIVAL, TWO

__all__ = ["cluster"]

SYSTEM = "kube-system"
COREDNS, KUBE_DNS = USUAL_COREDNS, (SYSTEM, "kube-dns")
CACHE, SPRAYED = (SYSTEM, "node-local-dns"), (SYSTEM, "nodelocaldns")
KEYS = {COREDNS: "Corefile", CACHE: "Corefile", SPRAYED: "Corefile", KUBE_DNS: "stubDomains"}
TOLD = {
    COREDNS: "kube-system/coredns (CoreDNS)",
    CACHE: "kube-system/node-local-dns (NodeLocal DNSCache)",
    SPRAYED: "kube-system/nodelocaldns (NodeLocal DNSCache)",
    KUBE_DNS: "kube-system/kube-dns (kube-dns)",
}


@pytest.fixture
async def client(cluster: TestCluster) -> AsyncIterator[Client]:
    """A cluster with our DNS server's Service, and no DNS of its own yet; it has none afterwards either."""
    await have_our_service(cluster.client)
    yield cluster.client
    for _, name in KEYS:
        with suppress(NotFound):
            await cluster.client.delete(CONFIG_MAPS, name, namespace=SYSTEM)
    with suppress(NotFound):
        await cluster.client.delete(whole(DEPLOYMENTS), "kube-dns", namespace=SYSTEM)
    with suppress(NotFound):
        await cluster.client.delete(DAEMON_SETS, "node-local-dns", namespace=SYSTEM)


async def have(client: Client, texts: Mapping[tuple[str, str], str | None]) -> None:
    """These ConfigMaps are there, None means without the key."""
    for where, text in texts.items():
        data = {} if text is None else {KEYS[where]: text}
        await client.apply(CONFIG_MAPS, config_map(*where, **data), options=BY_HAND)


async def texts(client: Client) -> dict[tuple[str, str], str | None]:
    """What stands in all of them; what does not ask us has no annotation of ours either."""
    found: dict[tuple[str, str], str | None] = {}
    for where, key in KEYS.items():
        with suppress(NotFound):
            seen = await client.get(CONFIG_MAPS, where[1], namespace=where[0])
            found[where] = (seen.get("data") or {}).get(key)
            if "isthmus.dev" in json.dumps(seen["metadata"].get("annotations", {})):
                assert await address(client) in (found[where] or "")
    return found


async def run(client: Client, name: str, *mounted: str, container: str = "kubedns") -> None:
    """A Deployment kube-dns, or a DaemonSet with these ConfigMaps as files."""
    labels = {"k8s-app": name}
    volumes = [{"name": each, "configMap": {"name": each, "optional": True}} for each in mounted]
    pod = {"containers": [{"name": container, "image": "dns"}], "volumes": volumes}
    kind = DAEMON_SETS if mounted else whole(DEPLOYMENTS)
    workload: Manifest = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": SYSTEM, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **({} if mounted else {"replicas": 0}),
        },
    }
    await client.create(kind, workload)


async def address(client: Client) -> str:
    return (await client.get(SERVICES, DNS_SERVICE, namespace=SYSTEM_NAMESPACE)).spec.cluster_ips[0]


@pytest.mark.parametrize(
    ("before", "told"),
    [
        pytest.param({KUBE_DNS: TWO}, [KUBE_DNS], id="kube-dns"),
        pytest.param({KUBE_DNS: None}, [KUBE_DNS], id="kube-dns without stub domains"),
        pytest.param({COREDNS: KUBEADM, CACHE: STOCK}, [COREDNS, CACHE], id="a cache before CoreDNS"),
        pytest.param({COREDNS: KUBEADM, SPRAYED: STOCK}, [COREDNS, SPRAYED], id="kubespray's cache"),
        pytest.param({KUBE_DNS: TWO, CACHE: STOCK}, [KUBE_DNS], id="a cache that reads kube-dns' stub domains"),
        pytest.param({COREDNS: KUBEADM, CACHE: STOCK, KUBE_DNS: "{}\n"}, [COREDNS, KUBE_DNS], id="all three"),
        pytest.param({COREDNS: KUBEADM, KUBE_DNS: TWO}, [COREDNS], id="CoreDNS, and a rest of kube-dns"),
        pytest.param({CACHE: STOCK}, [CACHE], id="a cache before something unknown"),
    ],
)
async def test_each_server_is_told_once_and_gives_back_byte_for_byte(
    client: Client, before: dict[tuple[str, str], str | None], told: list[tuple[str, str]]
) -> None:
    await have(client, before)
    await plan(client, COREDNS, undo=False)
    assert await texts(client) == before
    assert await changed(client, COREDNS, undo=False) == [TOLD[where] for where in told]
    after = await texts(client)
    assert [where for where in before if after[where] != before[where]] == sorted(told, key=list(before).index)
    for where in told:
        assert await address(client) in (after[where] or "")
        if where == KUBE_DNS:
            assert json.loads(after[where] or "")["clusterset.local"] == [await address(client)]
        else:
            assert sum(block.serves("clusterset.local") for block in read(after[where] or "")) == 1
    assert await changed(client, COREDNS, undo=False) == []
    assert set(await changed(client, COREDNS, undo=True)) == {TOLD[where] for where in told}
    assert await texts(client) == before
    assert await changed(client, COREDNS, undo=True) == []


async def test_a_kube_dns_without_any_configuration_gets_one_and_has_none_afterwards(client: Client) -> None:
    await run(client, "kube-dns")
    await configure(client, COREDNS, undo=False)
    assert json.loads((await texts(client))[KUBE_DNS] or "") == {"clusterset.local": [await address(client)]}
    await configure(client, COREDNS, undo=True)
    assert await texts(client) == {}


async def test_a_coredns_by_the_name_of_kube_dns_is_none(client: Client) -> None:
    await run(client, "kube-dns", container="coredns")
    await have(client, {COREDNS: KUBEADM, KUBE_DNS: TWO})
    assert not (await find(client, COREDNS)).uses_stubs


async def test_a_corefile_that_comes_to_take_in_others_keeps_our_block_and_gives_it_back(client: Client) -> None:
    await have(client, {COREDNS: KUBEADM})
    await configure(client, COREDNS, undo=False)
    more = "import custom/*.server\n"
    await have(client, {COREDNS: ((await texts(client))[COREDNS] or "") + more})
    assert await changed(client, COREDNS, undo=False) == []
    await configure(client, COREDNS, undo=True)
    assert await texts(client) == {COREDNS: KUBEADM + more}


async def test_a_cache_that_does_not_read_stub_domains_gets_a_block(client: Client) -> None:
    before = {KUBE_DNS: TWO, CACHE: STOCK}
    await have(client, before)
    await run(client, "node-local-dns", "node-local-dns")
    assert await changed(client, COREDNS, undo=False) == [TOLD[CACHE], TOLD[KUBE_DNS]]
    assert await changed(client, COREDNS, undo=True) == [TOLD[KUBE_DNS], TOLD[CACHE]]
    assert await texts(client) == before


async def test_the_zone_is_never_twice_in_a_cache_that_comes_to_read_stub_domains(client: Client) -> None:
    before = {COREDNS: KUBEADM, CACHE: STOCK}
    await have(client, before)
    await run(client, "node-local-dns", "node-local-dns", "kube-dns")
    await configure(client, COREDNS, undo=False)
    assert "clusterset.local" in ((await texts(client))[CACHE] or "")
    await have(client, {KUBE_DNS: TWO})
    assert await changed(client, COREDNS, undo=False) == [TOLD[CACHE], TOLD[KUBE_DNS]]
    assert (await texts(client))[CACHE] == STOCK
    await configure(client, COREDNS, undo=True)
    assert await texts(client) == {**before, KUBE_DNS: TWO}


@pytest.mark.parametrize("undo", [False, True])
async def test_one_that_died_between_its_writes_is_run_again(client: Client, undo: bool) -> None:
    before = {COREDNS: KUBEADM, CACHE: STOCK}
    await have(client, before)
    if undo:
        await configure(client, COREDNS, undo=False)
    first, second = await plan(client, COREDNS, undo=undo)
    await carry_out(client, first)
    assert await changed(client, COREDNS, undo=undo) == [str(second.place)]
    if not undo:
        await configure(client, COREDNS, undo=True)
    assert await texts(client) == before


async def test_what_others_write_meanwhile_is_not_lost(client: Client) -> None:
    await have(client, {KUBE_DNS: TWO, COREDNS: KUBEADM, CACHE: STOCK})
    planned = await plan(client, COREDNS, undo=False)
    theirs = {COREDNS: KUBEADM + "# more\n", CACHE: STOCK + "# more\n", KUBE_DNS: '{"new.example":["9.9.9.9"]}'}
    for where, text in theirs.items():
        await client.merge_patch(CONFIG_MAPS, where[1], {"data": {KEYS[where]: text}}, namespace=SYSTEM)
    for change in planned:
        with pytest.raises(Conflict):
            await carry_out(client, change)
    assert await texts(client) == theirs
    await configure(client, COREDNS, undo=False)
    await configure(client, COREDNS, undo=True)
    assert await texts(client) == theirs


async def test_one_who_is_there_first_is_refused_or_set_aside_and_comes_back(client: Client) -> None:
    before = {COREDNS: KUBEADM, CACHE: OTHERS + STOCK, KUBE_DNS: RIVAL}
    await have(client, before)
    with pytest.raises(Invalid, match=r"kube-system/node-local-dns .*line 2: another block serves.*--replace"):
        await configure(client, COREDNS, undo=False)
    assert await texts(client) == before
    await configure(client, COREDNS, undo=False, replace_others=True)
    after = await texts(client)
    assert "clusterset.local" not in [each for block in read(after[CACHE] or "") for each in block.zones]
    assert json.loads(after[KUBE_DNS] or "")["ClusterSet.local"] == [await address(client)]
    assert await changed(client, COREDNS, undo=False) == []
    await configure(client, COREDNS, undo=True)
    assert await texts(client) == before
    await client.delete(CONFIG_MAPS, "node-local-dns", namespace=SYSTEM)
    await client.delete(CONFIG_MAPS, "coredns", namespace=SYSTEM)
    with pytest.raises(Invalid, match=r"kube-system/kube-dns .*clusterset.local is answered by 10.0.0.9, 10.0.0.8"):
        await configure(client, COREDNS, undo=False)


async def test_what_an_add_on_manager_wrote_anew_is_told_again_and_is_as_it_wrote_it_afterwards(client: Client) -> None:
    before = {COREDNS: KUBEADM, CACHE: STOCK}
    await have(client, before)
    label = {"metadata": {"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}}
    await client.merge_patch(CONFIG_MAPS, "node-local-dns", label, namespace=SYSTEM)
    for _ in range(2):
        done = await configure(client, COREDNS, undo=False)
        assert [change.place.is_reset for change in done] == [False, True]
        await client.merge_patch(CONFIG_MAPS, "node-local-dns", {"data": {"Corefile": STOCK}}, namespace=SYSTEM)
        assert [str(each.place) for each in await plan(client, COREDNS, undo=False) if each.is_needed] == [TOLD[CACHE]]
    assert await changed(client, COREDNS, undo=True) == [TOLD[COREDNS]]
    assert await texts(client) == before


async def test_a_cache_that_does_not_reload_is_rolled(client: Client) -> None:
    await have(client, {CACHE: STOCK.replace("        reload\n", "")})
    _, change = await plan(client, COREDNS, undo=False)
    assert not change.reloads
    with pytest.raises(Invalid, match="no DaemonSet of it is seen"):
        await restart(client, change.place)
    await run(client, "node-local-dns", "node-local-dns", "kube-dns")
    assert await restart(client, change.place) == "node-local-dns"
    seen = await client.get(DAEMON_SETS, "node-local-dns", namespace=SYSTEM)
    assert "isthmus.dev/restarted-at" in seen["spec"]["template"]["metadata"]["annotations"]


async def test_a_dns_that_nobody_knows_is_said_with_what_to_put_where(client: Client) -> None:
    words = (
        rf"no Corefile in ConfigMap kube-system/coredns.*forward clusterset.local to {await address(client)} port 53"
    )
    for undo in (False, True):
        with pytest.raises(Invalid, match=words):
            await configure(client, COREDNS, undo=undo)
