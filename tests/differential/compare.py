"""Where two answers differ, which of that is declared, and how to tell the rest."""

import difflib
import fnmatch
import json
import re
from collections.abc import Iterator
from collections.abc import Sequence as List
from typing import TypeAlias

from tests.differential.declared import DECLARED
from tests.differential.servers import Played
from tests.differential.steps import Reason, Sequence, Step

MISSING = "<nothing>"
SHOWN = 120
Answers: TypeAlias = List[Played]


def differences(ours: object, theirs: object, path: str = "") -> Iterator[str]:
    """The dotted paths at which two values differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from differences(ours.get(key, MISSING), theirs.get(key, MISSING), f"{path}.{key}".lstrip("."))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (left, right) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(left, right, f"{path}.{index}".lstrip("."))
    elif ours != theirs:
        yield path


def judged(step: Step, ours: Played, theirs: Played, reason: Reason | None = None) -> str:
    """What is wrong with a step's answers, for a person; empty where they are alike, or differ as declared."""
    if step.unseen:
        return ""
    left, right = (loosened(each.shown) if step.loose else each.shown for each in (ours, theirs))
    found = list(differences(left, right))
    declared = step.differs.paths if step.differs else ()
    if reason is not None:
        if not found:
            return f"declared, but alike now: take it out of declared.py ({reason.what})"
        declared = (*declared, *reason.paths)
        beyond = [path for path in found if not any(_covers(pattern, path) for pattern in declared)]
        return diff(left, right) if beyond else ""
    undeclared = [path for path in found if not any(_covers(pattern, path) for pattern in declared)]
    vanished = [pattern for pattern in declared if not any(_covers(pattern, path) for path in found)]
    if vanished:
        return f"declared differences are gone, take them out of the table: {', '.join(map(repr, vanished))}"
    return diff(left, right) if undeclared else ""


def _covers(pattern: str, path: str) -> bool:
    return not pattern or fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(path, f"{pattern}.*")


def loosened(shown: object) -> object:
    """The answer with sentences and causes in an order of their own."""
    if isinstance(shown, dict):
        return {key: loosened(member) for key, member in shown.items()}
    if isinstance(shown, list):
        return sorted(map(loosened, shown), key=lambda each: json.dumps(each, sort_keys=True))
    return sorted(re.split(r", |\[|\]|\n", shown)) if isinstance(shown, str) else shown


def diff(ours: object, theirs: object) -> str:
    """Both answers, side by side as far as they differ."""
    left, right = (json.dumps(each, sort_keys=True, indent=1).splitlines() for each in (ours, theirs))
    lines = list(difflib.unified_diff(left, right, "embedded", "real", n=2, lineterm=""))
    return "\n".join(line[:400] for line in lines[:SHOWN])


def report(sequence: Sequence, ours: Answers, theirs: Answers) -> str:
    """Everything that is wrong with a sequence's answers, step by step."""
    told = []
    declared = DECLARED.get(sequence.name, {})
    reasons = {number: reason for reason, numbers in declared.items() for number in numbers}
    for number, (step, left, right) in enumerate(zip(sequence.steps, ours, theirs, strict=True), 1):
        if wrong := judged(step, left, right, reasons.get(number)):
            body = step.body if isinstance(step.body, str) else json.dumps(step.body, default=str)
            told.append(f"step {number}: {step.method} {step.path} {step.media} {body[:1000]}\n{wrong}")
    return "\n\n".join(told)
