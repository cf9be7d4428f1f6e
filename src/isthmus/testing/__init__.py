"""The public test kit: a fleet of clusters within one process."""
