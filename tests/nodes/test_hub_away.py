"""The hub away while pods roll in every cluster: what is local goes on, and changes, without it (design, part 1)."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from isthmus.api.core import PODS
from isthmus.api.mcs import ZONE
from tests.nodes import pods
from tests.nodes.installed import ISTHMUS, install, isthmus, join, uninstall
from tests.nodes.site import Site
from tests.nodes.steady import Steady
from tests.nodes.test_traffic import export
from tests.real.controlplane import ControlPlane, Place
from tests.real.node import NodeCluster
from tests.real.nodes import Clusters

SET = "apart"
NAMES = ("east", "west")
# From when the hub answers again until everything is right everywhere.
RIGHT_WITHIN = 60.0


class Hub:
    """A hub apart from all members: an API server at an address that pods reach, and `isthmus hub` beside it."""

    def __init__(self, folder: Path, node: NodeCluster) -> None:
        enter = ("nsenter", f"--target={node.init}", "--net", "--")
        self.plane = ControlPlane(folder, number=99, place=Place(node.node_ip[0], enter))
        self._controller: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start everything, for members of those names."""
        self.plane.start()
        isthmus(self.plane, "install", "hub", f"--set={SET}", f"--members={','.join(NAMES)}", "--no-wait")
        words = ["setpriv", "--pdeathsig", "KILL", str(ISTHMUS), "hub", f"--set={SET}"]
        with (self.plane.folder / "hub.log").open("ab") as log:
            self._controller = subprocess.Popen([*words, f"--kubeconfig={self.plane.kubeconfig}"], stderr=log)

    def admit(self, cluster: NodeCluster) -> None:
        """Make a cluster a member."""
        credential = self.plane.folder / f"{cluster.name}.kubeconfig"
        words = ("install", "credential", f"--set={SET}", f"--cluster={cluster.name}")
        credential.write_text(isthmus(self.plane, *words))
        join(cluster, SET, credential)

    def stop(self) -> None:
        """End everything."""
        if self._controller:
            self._controller.kill()
            self._controller.wait()
        self.plane.stop()


@pytest.fixture
def hub(node_clusters: Clusters, prod: str, tmp_path: Path) -> Iterator[Hub]:
    """The members of the shared set as members of another one; at the end they go back."""
    nodes = node_clusters.get(*NAMES)
    apart = Hub(tmp_path / "hub", nodes[0])
    try:
        with ThreadPoolExecutor() as together:
            leaving = together.submit(uninstall, nodes, "member")
            apart.start()
            leaving.result()
            list(together.map(apart.admit, nodes))
        yield apart
    finally:
        uninstall(nodes, "member")
        apart.stop()
        install(nodes)


async def begin(site: Site, namespace: str) -> str:
    """Two pods behind an exported Service; its name."""
    name = service_of(site)
    made = [pods.answering(namespace, f"{name}-{number}", {"app": name}) for number in (1, 2)]
    await site.make(namespace, *made)
    await export(namespace, name, site, selector={"app": name})
    return name


def service_of(site: Site) -> str:
    return f"rolls-{site.name}"


async def roll(site: Site, namespace: str) -> None:
    """Another pod takes the place of the first, which goes on answering those who know no better."""
    name = service_of(site)
    await site.make(namespace, pods.answering(namespace, f"{name}-3", {"app": name}))
    former = {"metadata": {"labels": {"app": None}}}
    await site.client.merge_patch(PODS, f"{name}-1", former, namespace=namespace)


@pytest.mark.timeout(300, func_only=True)
@pytest.mark.requirement("MCS-70", "MCS-45")
async def test_exporters_serve_their_own_new_pods_and_importers_keep_what_they_have(
    hub: Hub, east: Site, west: Site, prod: str
) -> None:
    sites = {await begin(site, prod): site for site in (east, west)}
    hosts = {name: f"{name}.{prod}.svc.{ZONE}" for name in sites}
    old = {name: {f"{name}-1", f"{name}-2"} for name in sites}
    rolled = {name: {f"{name}-2", f"{name}-3"} for name in sites}
    everywhere = [(name, site) for name in sites for site in (east, west)]
    for name, site in everywhere:
        await site.wait_answers(prod, hosts[name], 80, old[name])
    specs = {(name, site.name): (await site.service_import(prod, name)).spec for name, site in everywhere}
    async with AsyncExitStack() as stack:
        loads = {
            (name, site.name): await stack.enter_async_context(Steady(site, prod, hosts[name]))
            for name, site in everywhere
        }
        hub.plane.kill("kube-apiserver")
        for name, site in sites.items():
            await roll(site, prod)
            await site.wait_answers(prod, hosts[name], 80, rolled[name])
        for name, site in everywhere:
            if site is not sites[name]:
                assert set(await site.ask(prod, hosts[name], 80, times=20)) == old[name]
        hub.plane.start_server()
        for name, site in everywhere:
            await site.wait_answers(prod, hosts[name], 80, rolled[name], within=RIGHT_WITHIN)
        for load in loads.values():
            await load.none_was_lost()
    for name, site in everywhere:
        assert (await site.service_import(prod, name)).spec == specs[name, site.name]
        await sites[name].wait_condition(prod, name, "Ready", "True/Exported")
