"""The cluster that judges schemas."""

from tests.clusters import cluster

__all__ = ["cluster"]
