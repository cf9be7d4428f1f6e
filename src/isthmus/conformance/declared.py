"""What a check says of itself: which sentence it judges, how binding that is, and what it needs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import TYPE_CHECKING

from isthmus.errors import IsthmusError

if TYPE_CHECKING:
    from isthmus.conformance.scene import Scene

Run = Callable[["Scene"], Awaitable[None]]


class Level(StrEnum):
    """Required and Optional as upstream's suite has it; Effect is what that suite does not look at."""

    REQUIRED = "Required"
    OPTIONAL = "Optional"
    EFFECT = "Effect"


class Failed(IsthmusError):
    """What was to be judged is not so; the message tells what was seen instead."""


class Hindered(IsthmusError):
    """Nothing can be said: something else went wrong first."""


class Skipped(IsthmusError):
    """The check does not apply to these clusters; the message is the reason."""


@dataclass(frozen=True)
class Check:
    """One test of a suite; `pods`: it needs clusters that run pods."""

    id: str
    title: str
    level: Level
    labels: tuple[str, ...]
    requirements: tuple[str, ...]
    clusters: int
    pods: bool
    run: Run

    def matches(self, focus: str) -> bool:
        """Whether the text is its id, its level, one of its labels, or else part of its title."""
        text = focus.lower()
        if text in {level.lower() for level in Level}:
            return text == self.level.lower()
        return text in {self.id.lower(), *(label.lower() for label in self.labels)} or text in self.title.lower()


def check(
    name: str, title: str, labels: str, covers: str, *, clusters: int = 1, pods: bool = False
) -> Callable[[Run], Check]:
    """Declares the function below as the check `name`; the first of `labels` is its level."""
    words = tuple(labels.split())

    def declare(run: Run) -> Check:
        return Check(name, title, Level(words[0]), words, tuple(covers.split()), clusters, pods, run)

    return declare


def checks_of(*modules: ModuleType) -> tuple[Check, ...]:
    """All checks that these modules declare, in their order."""
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, Check))
