"""The workload controllers of an embedded cluster: when to read, when to write."""
