"""Policies by their effect on traffic."""
