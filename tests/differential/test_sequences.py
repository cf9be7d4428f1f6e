"""Whatever is asked of an embedded server, a real one gives the same answer: the table, one test a sequence."""

import pytest

from tests.differential.conftest import Pair
from tests.differential.sequences import ALL
from tests.differential.steps import Sequence


def test_every_sequence_has_a_namespace_of_its_own() -> None:
    assert len({each.namespace for each in ALL}) == len(ALL)


@pytest.mark.parametrize("sequence", ALL, ids=lambda each: each.name)
def test_both_servers_answer_alike(pair: Pair, sequence: Sequence) -> None:
    if differences := pair.compare(sequence):
        pytest.fail(differences, pytrace=False)
