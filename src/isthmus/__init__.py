"""Isthmus: one cluster set out of many Kubernetes clusters."""

__version__ = "0.1.0"
