"""What would make sense with no Kubernetes at all."""
