"""A real cluster moves between two hubs by one command: the one is in the cluster itself, the other embedded."""

from collections.abc import AsyncIterator, Iterator

import pytest

from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.isthmus import MEMBERS
from isthmus.hub.bootstrap import bootstrap_hub
from isthmus.install.manifests import apply
from isthmus.install.policies import hub_policies
from isthmus.install.roles import HUB_USER, hub_roles
from isthmus.kube.client import Client
from isthmus.kube.config import load_kubeconfig
from tests.install.conftest import EmbeddedPlane
from tests.registry.site import Site, died, ended, running, typed

NUMBER = 9
# The set on the cluster's own hub, and that on the other.
HOME, AWAY = "prod", "dev"
# After the question; the word to the old hub; in the middle of leaving.
DEATHS = (1, 2, 20)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPlane]:
    """Another hub's server."""
    plane = EmbeddedPlane(tmp_path_factory.mktemp("other") / "plane", number=NUMBER)
    plane.start()
    try:
        yield plane
    finally:
        plane.stop()


@pytest.fixture
async def other_hub(other: EmbeddedPlane) -> AsyncIterator[Client]:
    """Its client, with the controller at work."""
    async with Client(load_kubeconfig([other.kubeconfig])) as client:
        await bootstrap_hub(client, AWAY, [])
        await apply(client, (*hub_roles(AWAY), *hub_policies()))
        identity = other.kubeconfig_of(HUB_USER)
        hub = await running("hub", f"--kubeconfig={identity}", f"--set={AWAY}", log=other.folder / "hub.log")
        async with ended(hub):
            yield client


async def token_of(other: EmbeddedPlane, *words: str) -> str:
    """A token that names an address which only the proxy reaches."""
    config = load_kubeconfig([other.kubeconfig])
    address = f"https://10.{NUMBER}.128.1:{config.server.rpartition(':')[2]}"
    done = await typed(other, "token", "create", f"--server={address}", *words)  # type: ignore[arg-type]  # has a kubeconfig
    assert done.code == 0, done.err
    return done.out.strip()


async def sets(site: Site, other_hub: Client) -> list[str]:
    """In which sets it is, on both hubs."""
    found = [item.metadata for hub in (site.client, other_hub) for item in (await hub.list(MEMBERS)).items]
    assert {each.name for each in found} <= {"west"}
    return [each.namespace for each in found]


async def properties(site: Site) -> dict[str, str]:
    """What the cluster says of itself."""
    items = (await site.client.list(CLUSTER_PROPERTIES)).items
    return {item.metadata.name: item.spec.value for item in items if item.spec is not None}


@pytest.mark.requirement("ABOUT-21", "ABOUT-22", "ABOUT-27")
@pytest.mark.timeout(500)
async def test_a_cluster_moves_between_hubs_and_a_move_that_dies_is_run_again(
    site: Site, other: EmbeddedPlane, other_hub: Client
) -> None:
    done = await site.join(await site.token("--cluster=west"), "--property=region=eu")
    assert done.code == 0, done.err
    deaths, wanted = 0, [AWAY, HOME]
    for writes in DEATHS:
        cluster = "--cluster=west"
        token = await (token_of(other, cluster) if wanted[0] == AWAY else site.token(cluster))
        words = ("join", token, f"--proxy={site.proxy.url}", "--move")
        if writes == 1:
            plan = await site.join(token, "--move", "--dry-run")
            assert f"names of set {HOME} below clusterset.local answer no more" in plan.out
        deaths += await died(site, str(writes), *words)
        assert len(await sets(site, other_hub)) <= 1, "never in two sets"
        again = await site.join(token, "--move")
        assert again.code == 0, (writes, again.err)
        assert await sets(site, other_hub) == [wanted[0]]
        said = {"cluster.clusterset.k8s.io": "west", "clusterset.k8s.io": wanted[0], "region": "eu"}
        assert await properties(site) == said
        wanted.reverse()
    assert deaths == len(DEATHS)
    left = await typed(site.plane, "leave", "--yes")
    assert left.code == 0, left.err
    assert await properties(site) == {}


async def test_nothing_is_given_up_where_the_old_hub_cannot_be_told(
    site: Site, other: EmbeddedPlane, other_hub: Client
) -> None:
    done = await site.join(await token_of(other, "--cluster=west"))
    assert done.code == 0, done.err
    before = await site.objects()
    other.stop()
    try:
        refused = await site.join(await site.token("--cluster=west"), "--move")
        assert refused.code == 3
        assert "nothing was given up" in refused.err
        assert await site.objects() >= before
    finally:
        left = await typed(site.plane, "leave", "--yes")
    assert "isthmus remove west" in left.err
