"""Fleets, and a grant to a consumer on their hub."""

from tests.fleets import embedded_fleet, make_fleet

__all__ = ["embedded_fleet", "make_fleet"]
