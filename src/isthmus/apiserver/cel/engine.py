"""One expression: compiled by the CEL library, its errors put as Kubernetes puts them.

The library bounds an evaluation to 10,000 rounds of macros, and the nesting and length of an expression. What these
can still make of large values is left to a process of its own.
"""

import functools
import importlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Final, Protocol

from isthmus.api.scheme import Manifest
from isthmus.apiserver.cel import meaning
from isthmus.apiserver.cel.apart import APART, Ended, Message
from isthmus.apiserver.cel.library import MAX_RANGE, ORACLE, declarations
from isthmus.errors import Invalid, IsthmusError

BOOL, STRING, NULL, DYN = "bool", "string", "null_type", "dyn"
_KINDS: Final = {"NULL": NULL, "DURATION": "google.protobuf.Duration", "TIMESTAMP": "google.protobuf.Timestamp"}
_STATUS: Final = re.compile(r"^(?!ERROR)[A-Z_]+: | \[[A-Z_]+\]$")
_TEXT: Final = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_TOO_DEAR: Final = "operation cancelled: actual cost limit exceeded"
# Macros, and functions that can take long or give much.
_LOOPS: Final = re.compile(
    r"\.(?:all|exists|exists_one|existsOne|map|filter|optMap|optFlatMap|replace|join|format|flatten|distinct|sort|matches"
    r"|find|findAll|transformList|transformMap|transformMapEntry)\(|\b(?:matches|range|contains|equivalent|intersects)\("
)
# Functions that can put one text into another wherever that has a letter.
_GROWING: Final = re.compile(r"\.(?:replace|join)\(")
_ROUNDS: Final = 10_000
# What is done in the time of a write anyway: steps of some nanoseconds.
_SHORT: Final = 20_000_000
# The library's words, and Kubernetes'.
_WORDS: Final = (
    (re.compile(r'Key not found in map : "?(.*?)"?'), r"no such key: \1"),
    (re.compile(r"divide by zero"), "division by zero"),
    (re.compile(r"Index error: index=(-?\d+) size=\d+"), r"index out of bounds: \1"),
    (re.compile(r"No matching overloads found : .*"), "no such overload"),
    (re.compile(r"Applying SELECT to non-message type"), "no such key"),
    (re.compile(r"Iteration budget exceeded"), _TOO_DEAR),
)


class _Typed(Protocol):
    """What the library calls Type."""

    def name(self) -> str: ...


class _Evaluated(Protocol):
    """What the library calls Value."""

    def type(self) -> _Typed: ...
    def plain_value(self) -> object: ...


class _Compiled(Protocol):
    """What the library calls Expression."""

    def eval(self, *, data: dict[str, object]) -> _Evaluated: ...
    def return_type(self) -> _Typed: ...
    def serialize(self) -> bytes: ...


class _Environment(Protocol):
    """What the library calls Env."""

    def compile(self, expression: str) -> _Compiled: ...
    def deserialize(self, serialized: bytes) -> _Compiled: ...


class BadExpression(Invalid):
    """The text is no expression, or one whose types do not fit; the message points to the place."""


class EvaluationError(IsthmusError):
    """An expression came to nothing: no such key, division by zero, too many rounds."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression: its text, the type of its value, and the paths that it mentions."""

    text: str
    kind: str
    uses: tuple[str, ...]
    variables: Mapping[str, str]
    around: tuple[str, str]
    schema: Manifest | None
    _expression: "_Compiled"

    def mentions(self, name: str) -> bool:
        """Whether it uses a variable; what stands in quotes does not count."""
        return _mentions(self.text, name)

    def members(self, name: str) -> list[str]:
        """The members of a variable that it uses, in order."""
        return re.findall(rf"(?<![\w.]){name}\.\??(\w+)", _without_texts(self.text))

    def evaluate(self, values: Mapping[str, object]) -> object:
        """The value. Raises EvaluationError."""
        given = {name: values[name] for name in self.uses if name in values}
        if not self._could_be_long(given):
            return self.evaluate_here(given)
        request: Message = {"text": self.text, "variables": self.variables, "around": self.around, "values": given}
        request["schema"] = self.schema
        try:
            answer = APART.evaluate(request, lambda question, verb: ORACLE.get().allows(question, verb))
        except Ended as error:
            raise EvaluationError(_TOO_DEAR) from error
        if "error" in answer:
            raise EvaluationError(str(answer["error"]))
        return answer["value"]

    def evaluate_here(self, values: Mapping[str, object]) -> object:
        """The value, however long it takes. Raises EvaluationError."""
        try:
            value = self._expression.eval(data=dict(values))
            if value.type().name() == "ERROR":
                raise EvaluationError(_told(str(value.plain_value())))
            plain: object = value.plain_value()
        except (RuntimeError, TypeError, ValueError) as error:
            raise EvaluationError(_told(str(error))) from error
        return plain

    def _could_be_long(self, values: Mapping[str, object]) -> bool:
        """Whether its macros, and what makes texts longer, could add up: each may go through all that is there."""
        text = _without_texts(self.text)
        steps, plus = len(_LOOPS.findall(text)), text.count("+")
        size, longest = _extent(values)
        made = MAX_RANGE if "range(" in text else text.count(",")
        rounds = min(max(longest, made) ** steps, _ROUNDS)
        work = rounds * (size + len(text) + 8 * made) * (1 + plus) ** max(steps, 1)
        if _GROWING.search(text):
            work *= size
        return bool(work > _SHORT)


def _extent(values: object) -> tuple[int, int]:
    """How much there is, in letters, and the most members that one of its maps or lists has."""
    pending, size, longest = [values], 0, 1
    while pending:
        each = pending.pop()
        if isinstance(each, (dict, list)):
            pending += each.values() if isinstance(each, dict) else each
            longest = max(longest, len(each))
        size += len(each) * 8 if isinstance(each, (dict, list)) else len(each) if isinstance(each, (str, bytes)) else 8
    return size, longest


def compile_expression(
    text: str, variables: Mapping[str, str], *, around: tuple[str, str] = ("", ""), schema: Manifest | None = None
) -> Program:
    """Compile an expression that may use these variables (their types by name), inside of other text if need be.

    `schema` is that of `self`, if that holds moments or spans. Raises BadExpression.
    """
    pairs = meaning.pairs(_without_texts(text))
    known = {**dict.fromkeys(pairs, DYN), **variables}
    environment = _environment(tuple(sorted(known.items())), has_pairs=bool(pairs))
    before, after = around
    try:
        if before:
            # The errors point into the author's own text.
            told = tuple(sorted({**known, "oldSelf": DYN}.items()))
            _environment(told, has_pairs=bool(pairs)).compile(text)
        expression = environment.compile(before + text + after)
    except RuntimeError as error:
        faults = re.split(r"\n(?=ERROR: )", _STATUS.sub("", str(error)).rstrip())
        raise BadExpression("\n".join(sorted(faults, key=_place))) from error
    uses = tuple(name for name in variables if _mentions(before + text, name))
    kind = _kind(expression.return_type().name())
    if schema is not None or meaning.differs(_without_texts(text)):
        expression = environment.deserialize(meaning.rewritten(expression.serialize(), schema))
    return Program(text, kind, uses, variables, around, schema, expression)


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){name}\b", _without_texts(text)) is not None


def _place(fault: str) -> list[int]:
    """Where a fault is: its line and column."""
    return [int(number) for number in re.findall(r"\d+", fault)[:2]]


def _without_texts(text: str) -> str:
    """An expression with blanks for what stands in quotes, every other letter in its place."""
    return _TEXT.sub(lambda found: " " * len(found[0]), text)


def check_members(text: str, name: str, known: Collection[str]) -> None:
    """Raise BadExpression where an expression uses a member of a variable that it does not have."""
    for found in re.finditer(rf"(?<![\w.]){name}(\.)\??(\w+)", _without_texts(text)):
        if found[2] not in known:
            line, column = text.count("\n", 0, found.start(1)), found.start(1) - text.rfind("\n", 0, found.start(1)) - 1
            source = text.split("\n")[line]
            told = f"ERROR: <input>:{line + 1}:{column + 1}: undefined field '{found[2]}'"
            raise BadExpression(f"{told}\n | {source}\n | {'.' * column}^")


@functools.cache
def _library(name: str) -> ModuleType:
    """A part of the CEL library: loaded with the first expression, since many servers never see one."""
    return importlib.import_module(f"cel_expr_python.{name}")


@functools.cache
def _environment(variables: tuple[tuple[str, str], ...], *, has_pairs: bool = False) -> "_Environment":
    cel = _library("cel")
    types = {"dyn": cel.Type.DYN, "list": cel.Type.LIST, "map": cel.Type.MAP}
    types["request"] = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    extensions = [
        _library("ext.ext_optional").ExtOptional(),
        _library("ext.ext_strings").ExtStrings(2),
        _library("ext.ext_bindings").ExtBindings(),
    ]
    known = {name: types[kind] for name, kind in variables}
    made: _Environment = cel.NewEnv(
        variables=known, extensions=extensions, functions=declarations(cel, has_pairs=has_pairs)
    )
    return made


def _kind(name: str) -> str:
    return _KINDS.get(name) or name.lower().replace("<", "(").replace(">", ")")


def _told(message: str) -> str:
    message = _STATUS.sub("", message)
    for pattern, words in _WORDS:
        if found := pattern.fullmatch(message):
            return found.expand(words)
    return message
