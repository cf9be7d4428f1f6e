"""A client for any Kubernetes: how bytes travel to an API server and come back as objects."""
