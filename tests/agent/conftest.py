"""Fleets, and one bare cluster."""

from tests.clusters import cluster
from tests.fleets import embedded_fleet, make_fleet

__all__ = ["cluster", "embedded_fleet", "make_fleet"]
