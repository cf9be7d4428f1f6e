"""How often a profile may be written."""

import pytest

from isthmus.inventory.rules.budget import BURST, EVERY, RESERVE, Budget


def written(budget: Budget, now: float, *, urgent: bool) -> tuple[Budget, int]:
    """As many single writes as are allowed at once."""
    count = 0
    while budget.wait(now, 1, urgent=urgent) == 0:
        budget, count = budget.spent(now, 1), count + 1
    return budget, count


@pytest.mark.requirement("INV-21")
def test_ten_writes_come_at_once_and_then_fewer_than_one_in_thirty_seconds() -> None:
    budget, count = written(Budget(), 0.0, urgent=True)
    assert count == BURST == 10
    for second in range(36_000):
        budget, more = written(budget, float(second), urgent=True)
        count += more
    assert (count - BURST) / 36_000 < 1 / 30


@pytest.mark.requirement("INV-21")
def test_what_can_wait_leaves_enough_for_what_cannot() -> None:
    budget, count = written(Budget(), 0.0, urgent=False)
    assert count == BURST - RESERVE
    assert budget.wait(0.0, 1, urgent=True) == 0
    assert budget.wait(0.0, 1, urgent=False) == pytest.approx(EVERY)
