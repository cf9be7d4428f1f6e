"""Joining and leaving by the command line."""
