"""Regular expressions out of schemas, in Go's syntax, searched in time linear to the text.

Python's own engine backtracks: a hostile pattern would stop the server. This one is an automaton
whose states are made as texts need them (RE2's syntax, without captures, which nobody asks for).
"""

import functools
import itertools
from dataclasses import dataclass, field

from isthmus.apiserver.regex import WORD, BadPattern, Node, parsed

MAX_PATTERN = 4096
MAX_PROGRAM = 20_000
MAX_STATES = 5_000


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in the text. Raises BadPattern."""
    return compiled(pattern).search(text)


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> "Automaton":
    """The pattern, ready to search with. Raises BadPattern."""
    if len(pattern) > MAX_PATTERN:
        raise BadPattern(f"longer than {MAX_PATTERN} characters")
    return Automaton(_Program().of(parsed(pattern)))


@dataclass
class _Program:
    """Steps: ("set", test), ("at", place), ("go", targets), ("end",); a step leads to the next one."""

    steps: list[Node] = field(default_factory=list)

    def of(self, node: Node) -> list[Node]:
        self.add(node)
        self.steps.append(("end",))
        return self.steps

    def add(self, node: Node) -> None:
        if len(self.steps) > MAX_PROGRAM:
            raise BadPattern("expression too large")
        kind = node[0]
        if kind == "cat":
            for each in node[1]:  # type: ignore[attr-defined]  # a list of nodes, as every "cat" has
                self.add(each)
        elif kind == "alt":
            self.alternatives(node[1])  # type: ignore[arg-type]  # the same
        elif kind == "rep":
            self.repeat(*node[1:])  # type: ignore[arg-type]  # node, least, most
        else:
            self.steps.append(node)

    def jump(self) -> int:
        self.steps.append(("go", []))
        return len(self.steps) - 1

    def alternatives(self, nodes: list[Node]) -> None:
        fork, ends = self.jump(), []
        targets = []
        for node in nodes:
            targets.append(len(self.steps))
            self.add(node)
            ends.append(self.jump())
        self.steps[fork] = ("go", targets)
        for end in ends:
            self.steps[end] = ("go", [len(self.steps)])

    def repeat(self, node: Node, least: int, most: int | None) -> None:
        for _ in range(least):
            self.add(node)
        if most is None:
            fork = self.jump()
            self.add(node)
            self.steps.append(("go", [fork]))
            self.steps[fork] = ("go", [fork + 1, len(self.steps)])
            return
        forks = []
        for _ in range(most - least):
            forks.append(self.jump())
            self.add(node)
        for fork in forks:
            self.steps[fork] = ("go", [fork + 1, len(self.steps)])


class Automaton:
    """Runs all ways through the program at once; what one character does to a state is remembered."""

    def __init__(self, steps: list[Node]) -> None:
        self._steps = steps
        self._known: dict[tuple[frozenset[int], str, str], frozenset[int] | None] = {}

    def search(self, text: str) -> bool:
        """Whether the pattern is found in the text."""
        state = frozenset((0,))
        before = ""
        for char in itertools.chain(text, [""]):
            key = (state, _kind(before), char)
            if key not in self._known:
                if len(self._known) > MAX_STATES:
                    self._known.clear()
                self._known[key] = self._after(state, before, char)
            after = self._known[key]
            if after is None:
                return True
            state, before = after, char
        return False

    def _after(self, state: frozenset[int], before: str, char: str) -> frozenset[int] | None:
        """The state once `char` was read, None if the pattern has been found. "" is the text's end."""
        todo, seen, out = list(state), set(state), {0}
        while todo:
            at = todo.pop()
            step = self._steps[at]
            targets: list[int] = []
            if step[0] == "end":
                return None
            if step[0] == "go":
                targets = step[1]  # type: ignore[assignment]  # a list of steps
            elif step[0] == "at":
                targets = [at + 1] if _is_at(str(step[1]), before, char) else []
            elif char and step[1](char):  # type: ignore[operator]  # a test of characters
                out.add(at + 1)
            todo.extend(target for target in targets if target not in seen)
            seen.update(targets)
        return frozenset(out)


def _kind(before: str) -> str:
    """All that places know of the character before: the start, a line's end, a word's, or another."""
    if not before or before == "\n":
        return before
    return "w" if WORD(before) else "-"


def _is_at(place: str, before: str, char: str) -> bool:
    match place:
        case "start":
            return not before
        case "end":
            return not char
        case "line start":
            return before in {"", "\n"}
        case "line end":
            return char in {"", "\n"}
    at_word = (bool(before) and WORD(before)) != (bool(char) and WORD(char))
    return at_word if place == "word" else not at_word
