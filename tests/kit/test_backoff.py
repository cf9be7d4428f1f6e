"""Delays grow, are capped, and start anew after success."""

from itertools import pairwise

from isthmus.kit.backoff import Backoff


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff(base=0.1, cap=1.0, jitter=lambda: 1.0)
    delays = [backoff.next() for _ in range(6)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_success_makes_the_next_delay_short_again() -> None:
    backoff = Backoff(base=0.1, cap=1.0, jitter=lambda: 1.0)
    first = [backoff.next() for _ in range(3)]
    backoff.reset()
    assert [backoff.next() for _ in range(3)] == first


def test_delays_are_spread_over_their_whole_range() -> None:
    parts = [n / 10 for n in range(10)]
    drawn = iter(parts)
    backoff = Backoff(base=1.0, cap=1.0, jitter=lambda: next(drawn))
    delays = [backoff.next() for _ in parts]
    assert delays == parts
    assert all(earlier < later for earlier, later in pairwise(delays))


def test_many_failures_do_not_overflow() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    assert max(backoff.next() for _ in range(5000)) == 5.0
