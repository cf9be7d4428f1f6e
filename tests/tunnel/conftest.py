"""Fleets of either kind."""

from tests.fleets import embedded_fleet, make_fleet

__all__ = ["embedded_fleet", "make_fleet"]
