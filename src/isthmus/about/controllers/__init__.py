"""When to mirror what the hub says of this cluster."""
