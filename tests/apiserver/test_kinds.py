import random

from isthmus.apiserver.kinds import BUILT_IN, Kinds, by_maturity


def test_versions_are_preferred_by_maturity() -> None:
    wanted = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
    shuffled = random.Random(1).sample(wanted, len(wanted))
    assert sorted(shuffled, key=by_maturity) == wanted


def test_events_of_both_groups_are_kept_in_one_place_as_core_ones() -> None:
    kinds = Kinds(BUILT_IN)
    assert kinds.at("events.k8s.io", "v1", "events").collection == kinds.at("", "v1", "events").collection
    kept = kinds.keeping("events")
    assert kept is not None
    assert kept.group == ""
