"""What should be true in an embedded cluster: pods of workloads, endpoints, routes, names. Pure."""
