"""Isthmus installed on real clusters."""
