"""The cluster that judges what the rules want written."""

from tests.clusters import cluster

__all__ = ["cluster"]
