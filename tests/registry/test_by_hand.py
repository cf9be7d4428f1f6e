"""A token on one side, a join on the other; and out again: what a new user types, on embedded clusters."""

import json

import pytest
import yaml

from tests.end_to_end.conftest import eventually
from tests.registry.conftest import Hands

WEST = ("--context", "west")


@pytest.mark.requirement("ABOUT-11", "ABOUT-15", "ABOUT-21", "ABOUT-26", "ABOUT-29", "ABOUT-34", "ABOUT-22")
def test_a_cluster_joins_says_who_it_is_and_leaves_nothing_behind(hands: Hands) -> None:
    before_hub, before_west = hands.on_hub(), hands.on_member("west")
    assert before_west == set()
    joined = hands("join", hands.token("--cluster", "west"), *WEST, "--property", "region=eu-west")
    assert joined.returncode == 0, joined.stderr
    assert "This cluster is member west of set isthmus." in joined.stdout
    assert "west is approved: its token names this cluster" in joined.stderr
    said = json.loads(hands.kubectl_well("west", "get", "clusterproperties", "-o", "json"))["items"]
    assert {item["metadata"]["name"]: item["spec"]["value"] for item in said} == {
        "cluster.clusterset.k8s.io": "west",
        "clusterset.k8s.io": "isthmus",
        "region": "eu-west",
    }
    assert "members/isthmus/west" in hands.on_hub()
    left = hands("leave", *WEST, "--crds", "--yes")
    assert left.returncode == 0, left.stderr
    assert hands.on_member("west") == set()
    # The audiences that the hub's own tokens are for stay: they are no member's.
    before_hub.add("configmaps/isthmus-members/isthmus-tokens")
    eventually(lambda: hands.on_hub() <= before_hub, "the hub is clean")


def test_who_has_no_named_token_waits_for_an_admin(hands: Hands) -> None:
    token = hands.token()
    waiting = hands("join", token, *WEST, "--approved-within", "1")
    assert waiting.returncode == 3
    assert "isthmus approve west" in waiting.stderr
    assert hands.on_member("west") == set(), "a cluster that only asks is not touched"
    hands.well("approve", "west", "--context", "hub")
    assert "member west" in hands.well("join", token, *WEST)


def test_who_is_denied_is_told_why_and_not_touched(hands: Hands) -> None:
    token = hands.token()
    hands("join", token, *WEST, "--approved-within", "1")
    hands.well("deny", "west", "--context", "hub", "--reason", "not this one")
    assert "not this one" in hands.refused("join", token, *WEST)
    assert hands.on_member("west") == set()


@pytest.mark.requirement("ABOUT-32")
def test_joining_again_repairs_and_under_another_name_is_refused(hands: Hands) -> None:
    token = hands.token("--cluster", "west")
    hands.well("join", token, *WEST)
    hands.kubectl_well("west", "delete", "clusterrole", "isthmus-agent")
    again = hands("join", token, *WEST)
    assert again.returncode == 0, again.stderr
    assert "the token has done its work: repairing west with what it holds" in again.stderr
    assert "clusterroles/isthmus-agent" in hands.on_member("west")
    said = hands.refused("join", token, *WEST, "--server", "https://elsewhere.example:6443")
    assert "the hub would not hear of --server https://elsewhere.example:6443 (it knows no address)" in said
    assert "isthmus token create --cluster west" in said
    anew = hands("join", hands.token("--cluster", "west"), *WEST)
    assert anew.returncode == 0, anew.stderr
    said = hands.refused("join", hands.token(), *WEST, "--name", "other")
    assert "this cluster has joined set isthmus as west: join as that, which repairs, or leave first" in said
    assert hands.objects("hub", "members") == {"members/isthmus/west"}


@pytest.mark.requirement("ABOUT-9", "ABOUT-30")
def test_of_two_clusters_that_claim_one_name_the_first_keeps_it(hands: Hands) -> None:
    hands.well("join", hands.token("--cluster", "west"), *WEST)
    token = hands.token()
    assert "the name west belongs to another cluster" in hands.refused(
        "join", token, "--context", "east", "--name", "west"
    )
    assert hands.on_member("east") == set()


def test_works_get_no_rights_unless_the_members_admin_gives_them(hands: Hands) -> None:
    token = hands.token("--cluster", "west")
    hands.well("join", token, *WEST)
    assert not {name for name in hands.on_member("west") if "works" in name}
    hands.well("join", token, *WEST, "--works", "default")
    assert {"rolebindings/default/isthmus-works", "clusterproperties/works.isthmus.dev"} <= _works(hands)
    hands.well("join", token, *WEST, "--works", "clusterrole/view")
    assert "rolebindings/default/isthmus-works" not in _works(hands)
    assert "clusterrolebindings/isthmus-works" in _works(hands)
    hands.well("join", token, *WEST)
    assert _works(hands) == set()


def _works(hands: Hands) -> set[str]:
    found = hands.objects("west", "serviceaccounts", "rolebindings", "clusterrolebindings", "clusterproperties")
    return {name for name in found if "works" in name}


def test_a_dry_run_prints_what_the_cluster_would_get_and_touches_nothing(hands: Hands) -> None:
    token = hands.token("--cluster", "west")
    before = hands.on_hub()
    printed = hands.well("join", token, *WEST, "--property", "region=eu", "--dry-run", "-o", "yaml")
    manifests = list(yaml.safe_load_all(printed))
    assert {"Namespace", "ClusterRole", "ValidatingAdmissionPolicy", "ClusterProperty"} <= {
        each["kind"] for each in manifests
    }
    assert hands.on_member("west") == set()
    assert hands.on_hub() == before


def test_a_cluster_that_joined_by_hand_is_a_member_after_a_restart(hands: Hands) -> None:
    hands.well("join", hands.token("--cluster", "west"), *WEST)
    hands.well("stop", "west")
    hands.well("start", "west")
    units = hands.units()
    assert units["west/agent"]["state"] == "running"
    assert "east/agent" not in units


def test_a_hub_that_is_away_is_told_of_when_leaving(hands: Hands) -> None:
    hands.well("join", hands.token("--cluster", "west"), *WEST)
    hands.well("stop", "hub")
    try:
        said = hands.refused("leave", *WEST, "--crds", "--yes")
    finally:
        hands.well("start", "hub")
    assert "On the hub, type: isthmus remove west" in said
    assert hands.on_member("west") == set()
    hands.well("remove", "west", "--context", "hub", "--force", "--yes")
    assert not {name for name in hands.on_hub() if name.rpartition("/")[2].startswith("west")}


def test_a_cluster_that_never_joined_cannot_leave(hands: Hands) -> None:
    assert "nothing that joining brought" in hands.refused("leave", *WEST, "--yes")


def test_a_cluster_that_the_hub_removed_is_cleaned_by_leaving(hands: Hands) -> None:
    hands.well("join", hands.token("--cluster", "west"), *WEST)
    hands.well("remove", "west", "--context", "hub", "--yes", "--force")
    left = hands("leave", *WEST, "--crds", "--yes")
    assert left.returncode == 0, left.stderr
    assert hands.on_member("west") == set()
