"""One expression: compiled by the CEL library, its errors put as Kubernetes puts them.

The library bounds an evaluation to 10,000 rounds of macros, and the nesting and length of an expression.
"""

import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings

from isthmus.apiserver.cel.library import declarations
from isthmus.errors import Invalid, IsthmusError

BOOL, STRING, NULL, DYN = "bool", "string", "null_type", "dyn"
_TYPES: Final = {
    "dyn": cel.Type.DYN,
    "list": cel.Type.LIST,
    "map": cel.Type.MAP,
    "request": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
}
_KINDS: Final = {"NULL": NULL, "DURATION": "google.protobuf.Duration", "TIMESTAMP": "google.protobuf.Timestamp"}
_STATUS: Final = re.compile(r"^(?!ERROR)[A-Z_]+: | \[[A-Z_]+\]$")
_TEXT: Final = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
# The library's words, and Kubernetes'.
_WORDS: Final = (
    (re.compile(r'Key not found in map : "?(.*?)"?'), r"no such key: \1"),
    (re.compile(r"divide by zero"), "division by zero"),
    (re.compile(r"Index error: index=(-?\d+) size=\d+"), r"index out of bounds: \1"),
    (re.compile(r"No matching overloads found : .*"), "no such overload"),
    (re.compile(r"Applying SELECT to non-message type"), "no such key"),
    (re.compile(r"Iteration budget exceeded"), "operation cancelled: actual cost limit exceeded"),
)


class BadExpression(Invalid):
    """The text is no expression, or one whose types do not fit; the message points to the place."""


class EvaluationError(IsthmusError):
    """An expression came to nothing: no such key, division by zero, too many rounds."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression: its text, the type of its value, and the paths that it mentions."""

    text: str
    kind: str
    _expression: cel.Expression

    def mentions(self, name: str) -> bool:
        """Whether it uses a variable; what stands in quotes does not count."""
        return re.search(rf"(?<![\w.]){name}\b", _without_texts(self.text)) is not None

    def members(self, name: str) -> list[str]:
        """The members of a variable that it uses, in order."""
        return re.findall(rf"(?<![\w.]){name}\.\??(\w+)", _without_texts(self.text))

    def evaluate(self, values: Mapping[str, object]) -> object:
        """The value. Raises EvaluationError."""
        try:
            value = self._expression.eval(data=dict(values))
            if value.type() == cel.Type.ERROR:
                raise EvaluationError(_told(str(value.plain_value())))
            plain: object = value.plain_value()
        except (RuntimeError, TypeError, ValueError) as error:
            raise EvaluationError(_told(str(error))) from error
        return plain


def compile_expression(text: str, variables: Mapping[str, str], *, around: tuple[str, str] = ("", "")) -> Program:
    """Compile an expression that may use these variables (their types by name), inside of other text if need be.

    Raises BadExpression.
    """
    environment = _environment(tuple(sorted(variables.items())))
    before, after = around
    try:
        if before:
            # The errors point into the author's own text.
            _environment(tuple(sorted({**variables, "oldSelf": DYN}.items()))).compile(text)
        expression = environment.compile(before + text + after)
    except RuntimeError as error:
        faults = re.split(r"\n(?=ERROR: )", _STATUS.sub("", str(error)).rstrip())
        raise BadExpression("\n".join(sorted(faults, key=_place))) from error
    return Program(text, _kind(expression.return_type().name()), expression)


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
def _environment(variables: tuple[tuple[str, str], ...]) -> cel.Env:
    extensions = [ext_optional.ExtOptional(), ext_strings.ExtStrings(2), ext_bindings.ExtBindings()]
    known = {name: _TYPES[kind] for name, kind in variables}
    return cel.NewEnv(variables=known, extensions=extensions, functions=declarations())


def _kind(name: str) -> str:
    return _KINDS.get(name) or name.lower().replace("<", "(").replace(">", ")")


def _told(message: str) -> str:
    message = _STATUS.sub("", message)
    for pattern, words in _WORDS:
        if found := pattern.fullmatch(message):
            return found.expand(words)
    return message
