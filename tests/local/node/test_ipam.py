"""Addresses of pods: none twice, none soon again, and those recorded come back."""

import pytest

from isthmus.errors import Invalid
from isthmus.local.addresses import ClusterAddresses
from isthmus.local.node.ipam import FIRST, LAST, Indexes


def test_an_address_is_not_used_again_soon() -> None:
    indexes = Indexes(ClusterAddresses(1))
    first = indexes.take("a")
    indexes.free("a")
    assert (first, indexes.take("b")) == (FIRST, FIRST + 1)


def test_a_recorded_address_comes_back_unless_another_has_it() -> None:
    indexes = Indexes(ClusterAddresses(1))
    assert indexes.take("a", "10.1.1.4") == 260
    assert indexes.take("a", "10.1.1.4") == 260
    assert indexes.take("b", "10.1.1.4") == 261
    assert indexes.take("c") == 262


@pytest.mark.parametrize("recorded", ["", "10.2.0.9", "10.1.128.9", "10.1.0.1", "fd69:1::9", "10.1.x.9", "10.1.0.0.9"])
def test_what_is_no_address_of_the_range_is_not_taken(recorded: str) -> None:
    assert Indexes(ClusterAddresses(1)).take("a", recorded) == FIRST


def test_the_range_has_an_end() -> None:
    indexes = Indexes(ClusterAddresses(1))
    taken = {indexes.take(str(number)) for number in range(FIRST, LAST + 1)}
    assert len(taken) == LAST - FIRST + 1
    with pytest.raises(Invalid, match="all addresses of this node are taken"):
        indexes.take("one more")
    indexes.free("7")
    assert indexes.take("one more") == 7
