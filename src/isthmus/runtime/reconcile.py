"""What a control loop is asked, and what it may answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Request:
    """A key, never an event: look at this name, in this cluster, and make true what should be."""

    cluster: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do until something changes."""


@dataclass(frozen=True, slots=True)
class After:
    """Look again in `seconds`, even if nothing changes."""

    seconds: float


Reconcile: TypeAlias = Callable[[Request], Awaitable[Done | After]]
