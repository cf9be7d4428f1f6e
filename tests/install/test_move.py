"""What a cluster goes on to say of itself while it moves. `tests/registry` has it move."""

import pytest

from isthmus.api.about import CLUSTER_ID, CLUSTER_SET
from isthmus.install.joinable import Identity, as_left
from isthmus.install.move import kept
from isthmus.install.works import WORKS_PROPERTY

SAID = {CLUSTER_ID: "west", CLUSTER_SET: "prod", WORKS_PROPERTY: "default", "region": "eu", "color": "blue"}
SEEN = Identity("u-west", "v1.36.3", SAID, frozenset({CLUSTER_ID, CLUSTER_SET, WORKS_PROPERTY, "region"}))


@pytest.mark.requirement("ABOUT-19", "ABOUT-22", "ABOUT-27")
def test_the_membership_and_its_rights_end_and_the_id_only_with_its_name() -> None:
    assert kept(SEEN, "west") == {CLUSTER_ID, "region", "color"}
    assert kept(SEEN, "other") == {"region", "color"}


@pytest.mark.requirement("ABOUT-27", "ABOUT-32")
def test_what_others_said_of_the_cluster_stands_after_it_has_left() -> None:
    then = as_left(SEEN)
    assert then.properties == {WORKS_PROPERTY: "default", "region": "eu", "color": "blue"}
    assert then.ours == {WORKS_PROPERTY, "region"}
    foreign = Identity("u-west", "v1.36.3", SAID, frozenset({"region"}))
    assert as_left(foreign) == foreign
