"""Life in an embedded cluster set: its processes, nodes, workloads and network."""
