"""Conformance: what any implementation of MCS and About does, judged from outside."""
