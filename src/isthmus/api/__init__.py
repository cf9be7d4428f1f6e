"""What the SIG, Kubernetes and we wrote down: wire types, names, schemas."""
