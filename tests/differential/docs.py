"""Writes the list of differences in docs/embedded.md from what the table declares.

python -m tests.differential.docs
"""

from pathlib import Path

from tests.differential.declared import DECLARED, GENERAL
from tests.differential.sequences import ALL
from tests.differential.steps import Reason

PAGE = Path(__file__).parents[2] / "docs" / "embedded.md"
BEGIN, END = "<!-- differences: made by tests/differential/docs.py -->\n", "<!-- end of differences -->\n"


def reasons() -> list[Reason]:
    """Every reason for which the two servers may differ, once."""
    declared = [reason for steps in DECLARED.values() for reason in steps]
    of_steps = [step.differs.reason for each in ALL for step in each.steps if step.differs]
    return list(dict.fromkeys([*GENERAL, *declared, *of_steps]))


def section() -> str:
    """The list, one line each."""
    lines = sorted(f"- {reason.what[0].upper()}{reason.what[1:]}: {reason.why}.\n" for reason in reasons())
    return BEGIN + "\n" + "".join(lines) + "\n" + END


def main() -> None:
    """Put the list into its place in the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + section() + rest.partition(END)[2])


if __name__ == "__main__":
    main()
