"""What came of a run: result and evidence of each check, as YAML for programs and lines for people."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import yaml

from isthmus.api.scheme import Manifest
from isthmus.conformance.declared import Check, Level


class Outcome(StrEnum):
    """How a check ended; unknown: something else went wrong first."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Result:
    """One check's outcome; `reason` says why it is not passed, `evidence` what was seen on the way."""

    check: Check
    outcome: Outcome
    seconds: float
    reason: str = ""
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A whole run; `contexts` with the version of each API server."""

    suite: str
    contexts: dict[str, str]
    started: datetime
    seconds: float
    results: tuple[Result, ...]

    def of(self, name: str) -> Result:
        """The result of one check; raises KeyError."""
        return {result.check.id: result for result in self.results}[name]

    def named(self, outcome: Outcome) -> list[str]:
        """The ids of all checks that ended so."""
        return [result.check.id for result in self.results if result.outcome is outcome]

    @property
    def conformant(self) -> bool:
        """Nothing failed, and every required check could be judged or has a reason not to apply."""
        return not any(
            result.outcome is Outcome.FAILED
            or (result.outcome is Outcome.UNKNOWN and result.check.level is Level.REQUIRED)
            for result in self.results
        )

    def summary(self) -> dict[str, dict[str, int]]:
        """How many checks of each level ended how."""
        counted = Counter((result.check.level, result.outcome) for result in self.results)
        return {
            level.value: {outcome.value: counted[level, outcome] for outcome in Outcome if counted[level, outcome]}
            for level in Level
            if any(result.check.level is level for result in self.results)
        }

    def as_manifest(self) -> Manifest:
        """The report as plain data."""
        return {
            "suite": self.suite,
            "contexts": self.contexts,
            "started": self.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "seconds": round(self.seconds, 1),
            "conformant": self.conformant,
            "summary": self.summary(),
            "tests": [_as_manifest(result) for result in self.results],
        }

    def as_yaml(self) -> str:
        """The report as YAML."""
        return yaml.safe_dump(self.as_manifest(), sort_keys=False, width=120, allow_unicode=True)


def _as_manifest(result: Result) -> Manifest:
    manifest: Manifest = {
        "id": result.check.id,
        "title": result.check.title,
        "level": result.check.level.value,
        "labels": list(result.check.labels[1:]),
        "requirements": list(result.check.requirements),
        "result": result.outcome.value,
        "seconds": round(result.seconds, 1),
    }
    if result.reason:
        manifest["reason"] = result.reason
    return manifest | {"evidence": list(result.evidence)}


def lines(results: Sequence[Result]) -> list[str]:
    """One line per check, and below it why it did not pass."""
    found: list[str] = []
    for result in results:
        found.append(f"{result.outcome.value:8} {result.check.id:5} {result.check.title}")
        if result.reason:
            found.append(f"               {result.reason}")
    return found
