"""What admission policies' expressions see: the request, the objects, parameters, rights, and their own variables.

Kubernetes, "Validating Admission Policy".
"""

from collections.abc import Mapping
from typing import Final

from isthmus.apiserver.cel.engine import (
    BOOL,
    DYN,
    NULL,
    STRING,
    EvaluationError,
    Program,
    check_members,
    compile_expression,
)

_ALWAYS: Final = {"object": "dyn", "oldObject": "dyn", "namespaceObject": "dyn", "request": "request"}
# Kubernetes knows the types of what these hold; here they are known when they are there.
_TYPED_THERE: Final = ("request", "variables", "namespaceObject")
_REQUEST: Final = (
    *("kind", "resource", "subResource", "requestKind", "requestResource", "requestSubResource", "name", "namespace"),
    *("operation", "userInfo", "dryRun", "options"),
)
BOOLEAN: Final = (BOOL,)
TEXT: Final = (STRING,)
TEXT_OR_NULL: Final = (STRING, NULL)


class Misfit(ValueError):
    """An expression's value has not the type that its place asks for."""


class PolicyCompiler:
    """Compiles the expressions of one policy; its variables come first, each may use those before it."""

    def __init__(self, *, has_params: bool) -> None:
        self._known: dict[str, str] = {**_ALWAYS, **({"params": "dyn"} if has_params else {})}
        self._variables: set[str] = set()

    def variable(self, name: str, text: str) -> Program:
        """Compile a variable, for those that follow to use. Raises BadExpression."""
        self._known["variables"] = "request"
        program = self.expression(text, ())
        self._variables.add(name)
        return program

    def expression(self, text: str, wanted: tuple[str, ...], *, rights: bool = True) -> Program:
        """Compile one that gives one of these types (none: any). Raises BadExpression, Misfit."""
        program = compile_expression(text, {**self._known, **({"authorizer": "map"} if rights else {})})
        check_members(text, "request", _REQUEST)
        if "variables" in self._known:
            check_members(text, "variables", self._variables)
        is_open = program.kind == DYN and any(map(program.mentions, _TYPED_THERE))
        if wanted and program.kind not in wanted and not is_open:
            told = wanted[0] if len(wanted) == 1 else f"one of [{' '.join(wanted)}]"
            raise Misfit(f"must evaluate to {told} but got {program.kind}")
        return program


class Scope:
    """The values that a policy's expressions are given for one write; its variables are made when asked for."""

    def __init__(self, values: Mapping[str, object], variables: Mapping[str, Program]) -> None:
        self._values = values
        self._variables = variables
        self._made: dict[str, object] = {}
        self._failed: dict[str, str] = {}

    def evaluate(self, program: Program) -> object:
        """The value of an expression. Raises EvaluationError."""
        needed = [name for name in program.members("variables") if name in self._variables]
        for name in needed:
            self._make(name)
        made = {name: self._made[name] for name in needed if name in self._made}
        try:
            return program.evaluate({**self._values, "variables": made})
        except EvaluationError as error:
            for name in needed:
                if name in self._failed and str(error) == f"no such key: {name}":
                    told = f'composited variable "{name}" fails to evaluate: {self._failed[name]}'
                    raise EvaluationError(told) from error
            raise

    def _make(self, name: str) -> None:
        if name in self._made or name in self._failed:
            return
        self._failed[name] = "it needs itself"
        try:
            self._made[name] = self.evaluate(self._variables[name])
            del self._failed[name]
        except EvaluationError as error:
            self._failed[name] = str(error)
