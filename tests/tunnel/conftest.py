"""Fleets of either kind."""

from tests.fleets import make_fleet

__all__ = ["make_fleet"]
