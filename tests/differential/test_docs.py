"""The list of differences in the docs is the one that the table declares."""

from tests.differential.declared import DECLARED
from tests.differential.docs import PAGE, section
from tests.differential.sequences import ALL


def test_the_page_lists_what_is_declared() -> None:
    assert section() in PAGE.read_text(), "type: python -m tests.differential.docs"


def test_declared_steps_are_in_the_table() -> None:
    lengths = {each.name: len(each.steps) for each in ALL}
    for name, steps in DECLARED.items():
        assert name in lengths, name
        assert all(1 <= number <= lengths[name] for numbers in steps.values() for number in numbers), name
