"""One measured figure, its goal, and whether it was met."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A figure; `goal` bounds it from above, or from below where `at_least`; None: only shown."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the goal, if there is one, is reached."""
        if self.goal is None:
            return True
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def row(self) -> str:
        """One line of the table."""
        goal = "" if self.goal is None else f"{'>=' if self.at_least else '<='} {self.goal:g}"
        verdict = "" if self.goal is None else "met" if self.met else "MISSED"
        return f"{self.what:66} {self.value:12.3f} {self.unit:12} {goal:>10}  {verdict}".rstrip()
