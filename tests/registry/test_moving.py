"""A cluster moves between two sets of one hub by one command, which may die at any of its steps."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from isthmus.hub.bootstrap import bootstrap_hub
from isthmus.install.manifests import apply
from isthmus.install.roles import hub_roles
from isthmus.inventory.rules.joining import read_token
from isthmus.kube.client import Client
from tests.end_to_end.conftest import eventually
from tests.registry.conftest import Hands
from tests.registry.test_interrupted import died

HOME, AWAY = "isthmus", "dev"
# After the question whether it may come; the word to the old hub; while it is taken apart; while it is put up.
DEATHS = (1, 2, 20, 60)
TEAM = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
PORTS = [{"name": "http", "port": 80}]
SHOP = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "shop", "namespace": "team"},
    "spec": {"selector": {"app": "shop"}, "ports": PORTS},
}
EXPORT = {
    "apiVersion": "multicluster.x-k8s.io/v1beta1",
    "kind": "ServiceExport",
    "metadata": {"name": "shop", "namespace": "team"},
}


@pytest.fixture(scope="module")
def two_sets(lonely_set: Hands) -> Iterator[Hands]:
    """The hub serves a second set."""

    async def prepared(hub: Client) -> set[str]:
        await bootstrap_hub(hub, AWAY, [])
        await apply(hub, hub_roles(AWAY))
        return set()

    lonely_set.ask("hub", prepared)
    kubeconfig = lonely_set.home / "dev-hub.yaml"
    config = yaml.safe_load(Path(lonely_set.extra["KUBECONFIG"]).read_text())
    kubeconfig.write_text(yaml.safe_dump(config | {"current-context": "hub"}))
    words = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "isthmus.cli.main", "hub", f"--set={AWAY}"]
    with (lonely_set.home / "dev-hub.log").open("ab") as log:
        process = subprocess.Popen([*words, f"--kubeconfig={kubeconfig}"], stdout=log, stderr=log)
    try:
        yield lonely_set
    finally:
        process.kill()
        process.wait()
        # Tests of one set do not name it.
        lonely_set.kubectl_well("hub", "delete", "namespace", AWAY)


def members(hands: Hands) -> set[str]:
    """Who is in which set."""
    return hands.objects("hub", "members")


def properties(hands: Hands, cluster: str) -> dict[str, str]:
    """What a cluster says of itself."""
    items = yaml.safe_load(hands.kubectl_well(cluster, "get", "clusterproperties", "-o", "yaml"))["items"]
    return {item["metadata"]["name"]: item["spec"]["value"] for item in items}


def imported(hands: Hands, cluster: str) -> bool:
    """Whether the shop is imported there."""
    return "serviceimports/team/shop" in hands.objects(cluster, "serviceimports")


def put(hands: Hands, cluster: str, *objects: object) -> None:
    """Apply them."""
    hands.kubectl_well(cluster, "apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


@pytest.mark.requirement("ABOUT-19", "ABOUT-21", "ABOUT-22", "ABOUT-23", "ABOUT-27")
@pytest.mark.timeout(400)
def test_a_cluster_moves_between_sets_of_one_hub_and_exports_never_cross(two_sets: Hands, hands: Hands) -> None:
    for cluster in ("east", "west"):
        words = ("--property", "region=eu") if cluster == "west" else ()
        hands.well("join", hands.token("--set", HOME, "--cluster", cluster), "--context", cluster, *words)
        put(hands, cluster, TEAM)
    put(hands, "west", SHOP, EXPORT)
    eventually(lambda: imported(hands, "east"), "east imports what west exports")
    token = hands.token("--set", AWAY, "--cluster", "west")
    refused = hands.refused("join", token, "--context", "west")
    assert "--move" in refused
    before = hands.on_member("west")
    plan = hands.well("join", token, "--context", "west", "--move", "--dry-run")
    assert "names of set isthmus below clusterset.local answer no more" in plan
    assert hands.on_member("west") == before
    moved = hands("join", token, "--context", "west", "--move")
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout.startswith(f"This cluster is member west of set {AWAY}.")
    assert members(hands) == {f"members/{HOME}/east", f"members/{AWAY}/west"}
    assert properties(hands, "west") == {
        "cluster.clusterset.k8s.io": "west",
        "clusterset.k8s.io": AWAY,
        "region": "eu",
    }
    eventually(lambda: imported(hands, "west"), "its export goes on in its new set")
    eventually(lambda: not imported(hands, "east"), "the old set has it no more")
    of_west = {name for name in hands.objects("hub", "exportedservices", "clusterprofiles") if "west" in name}
    assert of_west == {f"exportedservices/{AWAY}/west.team.shop", f"clusterprofiles/{AWAY}/west"}
    again = hands("join", token, "--context", "west", "--move")
    assert again.returncode == 0, again.stderr
    assert "repairing west" in again.stderr
    hands.kubectl_well("west", "delete", "-n", "team", "serviceexport", "shop")


@pytest.mark.timeout(580)
def test_a_move_that_dies_at_any_step_is_run_again(two_sets: Hands, hands: Hands) -> None:
    hands.well("join", hands.token("--set", HOME, "--cluster", "west"), "--context", "west", "--property", "region=eu")
    sets, deaths = [AWAY, HOME], 0
    for writes in DEATHS:
        token = hands.token("--set", sets[0], "--cluster", "west")
        if not died(hands, writes, "join", token, "--context", "west", "--move"):
            break
        deaths += 1
        assert members(hands) <= {f"members/{HOME}/west", f"members/{AWAY}/west"}
        assert len(members(hands)) <= 1, "never in two sets"
        done = hands("join", token, "--context", "west", "--move")
        assert done.returncode == 0, (writes, done.stderr)
        assert members(hands) == {f"members/{sets[0]}/west"}
        found = properties(hands, "west")
        assert found == {"cluster.clusterset.k8s.io": "west", "clusterset.k8s.io": sets[0], "region": "eu"}, writes
        sets.reverse()
    assert deaths == len(DEATHS)


def test_nothing_is_given_up_where_the_new_set_would_not_have_it(two_sets: Hands, hands: Hands) -> None:
    hands.well("join", hands.token("--set", HOME, "--cluster", "west"), "--context", "west")
    hands.well("join", hands.token("--set", AWAY, "--cluster", "east"), "--context", "east")
    before = hands.on_member("west")
    spent = hands.token("--set", AWAY, "--cluster", "west")
    hands.well("token", "revoke", read_token(spent).id, "--context", "hub")
    unnamed = hands.token("--set", AWAY)
    for words, why in (
        ((spent,), "does not know this token"),
        ((hands.token("--set", AWAY, "--cluster", "west"), "--name", "other"), "the token is for cluster west"),
        ((hands.token("--set", AWAY), "--name", "east"), "belongs to another cluster"),
        ((unnamed, "--approved-within", "1"), "isthmus approve west"),
        ((hands.token("--set", AWAY, "--cluster", "west"), "--works", "nowhere"), "no namespace nowhere"),
        ((unnamed, "--mode", "push", "--hub-context", "hub"), "isthmus leave, then"),
    ):
        assert why in hands.refused("join", *words, "--context", "west", "--move")
        assert hands.on_member("west") >= before
        assert f"members/{HOME}/west" in members(hands)
    # The admin says yes, before the cluster has given up anything.
    hands.well("approve", "west", "--context", "hub")
    hands.well("join", unnamed, "--context", "west", "--move")
    assert members(hands) == {f"members/{AWAY}/east", f"members/{AWAY}/west"}
