"""A small Kubernetes API server: a guest in the house, one process per embedded cluster."""
