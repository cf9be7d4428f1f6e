"""Control loops over a changing set of clusters: a public library. README.md shows one in twenty lines."""

from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.fleet import Cluster, Engagement, Fleet
from isthmus.runtime.manager import Manager, every_object
from isthmus.runtime.reconcile import After, Done, Reconcile, Request
from isthmus.runtime.source import Source, each

__all__ = [
    "After",
    "Cluster",
    "Controller",
    "Converger",
    "Done",
    "Engagement",
    "Fleet",
    "Manager",
    "Reconcile",
    "Request",
    "Source",
    "each",
    "every_object",
]
