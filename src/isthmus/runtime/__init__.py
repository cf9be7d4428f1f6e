"""Reconcilers over a changing set of clusters, and the one writer of what should be true."""
