"""Names under clusterset.local, asked by stock resolvers in pods, through the cluster's own CoreDNS."""

import pytest

from isthmus.api.apps import STATEFUL_SETS
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.waiting import eventually
from tests.nodes import pods
from tests.nodes.site import Site

ZONE = "clusterset.local"


@pytest.fixture
async def db(east: Site, west: Site, prod: str) -> dict[str, dict[str, list[str]]]:
    """A headless service of StatefulSets, exported by both clusters: addresses by cluster and pod."""
    addresses: dict[str, dict[str, list[str]]] = {}
    for site, replicas in ((east, 2), (west, 1)):
        labels = {"app": "db"}
        spec = {
            "serviceName": "db",
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": pods.spec(["python3", "-c", pods.ANSWERS], ready_at=pods.PORT),
            },
        }
        manifest = {"metadata": {"name": "db"}, "spec": spec}
        await site.client.apply(STATEFUL_SETS, manifest, namespace=prod, options=BY_HAND)
        await site.offer(prod, "db", clusterIP="None", selector=labels)
        await site.export(prod, "db")
    for site, replicas in ((east, 2), (west, 1)):
        names = [f"db-{index}" for index in range(replicas)]
        addresses[site.name] = {name: await pod_addresses(site, prod, name) for name in names}
    return addresses


async def pod_addresses(site: Site, namespace: str, name: str) -> list[str]:
    async def check() -> list[str]:
        return await site.pod_addresses(namespace, name)

    return await eventually(check, what=f"pod {name} in {site.name}")


@pytest.mark.requirement("MCS-81", "MCS-82", "MCS-32", "MCS-90")
async def test_a_service_has_its_clusterset_addresses_under_its_name(east: Site, west: Site, prod: str) -> None:
    await east.offer(prod, "shop")
    await east.export(prod, "shop")
    for site in (east, west):
        item = await site.wait_import(prod, "shop")
        assert item.spec is not None
        first, second = item.spec.ips
        await site.wait_names(prod, f"shop.{prod}.svc.{ZONE}", {first})
        await site.wait_names(prod, f"shop.{prod}.svc.{ZONE}", {second}, kind="AAAA")
        # Also over TCP, and whatever the case.
        code, said = await site.run(prod, "client", "dig", "+tcp", "+short", f"SHOP.{prod}.svc.ClusterSet.local.")
        assert (code, said.split()) == (0, [first])


@pytest.mark.requirement("MCS-83", "MCS-87", "MCS-92", "MCS-93", "MCS-97", "MCS-102")
async def test_named_ports_have_service_records_with_the_addresses_beside_them(
    east: Site, west: Site, prod: str
) -> None:
    await east.offer(prod, "ports")
    await east.export(prod, "ports")
    name = f"ports.{prod}.svc.{ZONE}"
    for site in (east, west):
        await site.wait_names(prod, f"_http._tcp.{name}", {f"0 100 80 {name}."}, kind="SRV")
        await site.wait_names(prod, f"_echo._udp.{name}", {f"0 100 81 {name}."}, kind="SRV")
        await site.wait_names(prod, name, {f"0 100 80 {name}.", f"0 100 81 {name}."}, kind="SRV")
        assert await site.look_up(prod, f"_echo._tcp.{name}", "SRV") == set()
        item = await site.wait_import(prod, "ports")
        assert item.spec is not None
        beside = await dig(site, prod, "+noall", "+additional", "SRV", f"_http._tcp.{name}.")
        assert {line.split()[-1] for line in beside.splitlines()} == set(item.spec.ips)
        # Where nothing is but names below, resolvers are not told that there are none.
        above = (f"_tcp.{name}", f"{prod}.svc.{ZONE}", f"svc.{ZONE}", ZONE)
        assert [await status(site, prod, each) for each in above] == ["NOERROR"] * len(above)
        assert await status(site, prod, f"_sctp.{name}") == "NXDOMAIN"


async def dig(site: Site, namespace: str, *words: str) -> str:
    """What dig prints."""
    code, said = await site.run(namespace, "client", "dig", "+timeout=2", "+tries=2", *words)
    assert code == 0, said
    return said


async def status(site: Site, namespace: str, name: str) -> str:
    """Whether a resolver is told that a name exists."""
    said = await dig(site, namespace, "+noall", "+comments", f"{name}.")
    return said.partition("status: ")[2].partition(",")[0]


@pytest.mark.requirement("MCS-106")
async def test_an_answer_too_large_for_udp_says_so_and_is_whole_over_tcp(east: Site, west: Site, prod: str) -> None:
    numbers = range(8000, 8012)
    ports = [{"name": f"p{number}", "port": number, "targetPort": pods.PORT} for number in numbers]
    await east.offer(prod, "wide", ports=ports)
    await east.export(prod, "wide")
    name = f"wide.{prod}.svc.{ZONE}"
    everything = {f"0 100 {number} {name}." for number in numbers}
    for site in (east, west):
        # Stock dig asks again over TCP.
        await site.wait_names(prod, name, everything, kind="SRV")
        plain = ("+noedns", "+ignore", "+noall", "+comments", "SRV", f"{name}.")
        flags = (await dig(site, prod, *plain)).partition("flags: ")[2].partition(";")[0]
        assert "tc" in flags.split()


@pytest.mark.requirement("MCS-80")
async def test_the_zone_says_its_version(east: Site, west: Site, prod: str) -> None:
    for site in (east, west):
        await site.wait_names(prod, f"dns-version.{ZONE}", {'"1.0.0"'}, kind="TXT")


@pytest.mark.requirement("MCS-8", "MCS-105")
async def test_what_is_not_exported_has_no_name(east: Site, west: Site, prod: str) -> None:
    await east.offer(prod, "private")
    for site in (east, west):
        assert await site.look_up(prod, f"private.{prod}.svc.{ZONE}") == set()


@pytest.mark.requirement("MCS-105", "MCS-46")
async def test_a_name_goes_with_its_export_and_comes_back(east: Site, west: Site, prod: str) -> None:
    await east.offer(prod, "fleeting")
    await east.export(prod, "fleeting")
    item = await west.wait_import(prod, "fleeting")
    assert item.spec is not None
    name = f"fleeting.{prod}.svc.{ZONE}"
    await west.wait_names(prod, name, {item.spec.ips[0]})
    await east.unexport(prod, "fleeting")
    await west.wait_names(prod, name, set())
    await east.export(prod, "fleeting")
    item = await west.wait_import(prod, "fleeting")
    assert item.spec is not None
    await west.wait_names(prod, name, {item.spec.ips[0]})


@pytest.mark.requirement("MCS-7")
async def test_cluster_local_names_mean_the_own_cluster_only(east: Site, west: Site, prod: str) -> None:
    local = {}
    for site in (east, west):
        local[site.name] = (await site.offer(prod, "both"))["spec"]["clusterIPs"]
        await site.export(prod, "both")
    for site in (east, west):
        await site.wait_import(prod, "both")
        name = f"both.{prod}.svc.cluster.local"
        assert await site.look_up(prod, name) == {local[site.name][0]}
        assert await site.look_up(prod, name, "AAAA") == {local[site.name][1]}
        # Short names too: `clusterset.local` is not searched.
        _, said = await site.run(prod, "client", "getent", "ahostsv4", "both")
        assert {line.split()[0] for line in said.splitlines()} == {local[site.name][0]}


@pytest.mark.requirement("MCS-18", "MCS-84", "MCS-85", "MCS-86", "MCS-70", "MCS-88", "MCS-97", "MCS-98", "MCS-103")
async def test_a_headless_service_of_stateful_sets_has_names_for_every_pod_of_every_cluster(
    east: Site, west: Site, prod: str, db: dict[str, dict[str, list[str]]]
) -> None:
    name = f"db.{prod}.svc.{ZONE}"
    everyone = [pair for named in db.values() for pair in named.values()]
    for site in (east, west):
        await site.wait_names(prod, name, {pair[0] for pair in everyone})
        await site.wait_names(prod, name, {pair[1] for pair in everyone}, kind="AAAA")
        targets = {f"{pod}.{cluster}.{name}" for cluster, named in db.items() for pod in named}
        await site.wait_names(prod, f"_http._tcp.{name}", {f"0 100 80 {target}." for target in targets}, kind="SRV")
        for cluster, named in db.items():
            for pod, (first, second) in named.items():
                await site.wait_names(prod, f"{pod}.{cluster}.{name}", {first})
                await site.wait_names(prod, f"{pod}.{cluster}.{name}", {second}, kind="AAAA")
                assert await site.ask(prod, f"{pod}.{cluster}.{name}", pods.PORT) == {pod: 1}
            assert await site.look_up(prod, f"{cluster}.{name}") == set()
            assert await status(site, prod, f"{cluster}.{name}") == "NOERROR"


@pytest.mark.requirement("MCS-84", "MCS-70")
async def test_a_headless_name_follows_its_pods(
    east: Site, west: Site, prod: str, db: dict[str, dict[str, list[str]]]
) -> None:
    name = f"db.{prod}.svc.{ZONE}"
    await east.client.merge_patch(STATEFUL_SETS, "db", {"spec": {"replicas": 1}}, namespace=prod)
    left = {db["east"]["db-0"][0], db["west"]["db-0"][0]}
    for site in (east, west):
        await site.wait_names(prod, name, left)
        await site.wait_names(prod, f"db-1.east.{name}", set())
