"""Other versions of Kubernetes, and of ourselves."""
