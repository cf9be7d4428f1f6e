"""`x-kubernetes-validations`: the rules of a custom resource's schema, compiled, and what they say of an object.

Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", "Validation rules" and "Validation ratcheting".
"""

import contextlib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from isthmus.api.scheme import Manifest
from isthmus.apiserver.causes import shown, under
from isthmus.apiserver.cel.engine import BadExpression, EvaluationError, Program, compile_expression
from isthmus.apiserver.cel.schemas import fitted, times_in
from isthmus.apiserver.schema import Cause

WORD: Final = "x-kubernetes-validations"
# A fault at the root is nowhere in particular.
NOWHERE: Final = "<nil>"
_MOST_TEXT: Final = 5 * 1024
_TITLES: Final = {
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
}
# Faults after which nobody knows whether rules can be evaluated.
_BLOCKING: Final = {
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
}
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")
# Of all rules together, for one object: a list of many items is judged item by item.
MAX_EVALUATIONS: Final = 10_000
_SPENT: Final = "validation failed due to running out of cost budget, no further validation rules will be run"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled; instead of a program there may be the reason why there is none."""

    holds: Program | str
    says: Program | None
    manifest: Manifest
    place: str

    @property
    def uses_old(self) -> bool:
        """Whether it compares the value with the one before."""
        return isinstance(self.holds, Program) and self.holds.mentions("oldSelf")

    @property
    def text(self) -> str:
        """What errors call it."""
        return str(self.manifest.get("message") or self.manifest["rule"]).strip()


@dataclass(frozen=True, slots=True)
class Node:
    """One place of a schema: its rules, and what is below it that has some."""

    schema: Manifest
    is_root: bool
    rules: tuple[Rule, ...]
    properties: Mapping[str, "Node"]
    additional: "Node | None"
    items: "Node | None"
    # The keys that tell the items of a list from each other, where it has such.
    keys: tuple[str, ...]

    @property
    def type(self) -> str:
        """Its schema's type."""
        return str(self.schema.get("type", ""))


class Rules:
    """The rules of one version of a custom resource, compiled when the first object comes."""

    def __init__(self, openapi: Manifest) -> None:
        self._openapi = openapi

    @functools.cached_property
    def root(self) -> Node | None:
        """The tree of rules; None without any."""
        return _node(self._openapi, is_root=True)

    def judge(self, obj: Manifest, old: Manifest | None, known: list[Cause]) -> tuple[list[Cause], list[str]]:
        """What is wrong with the object, apart from what is known already, and what its author is only warned of."""
        if self.root is None:
            return [], []
        if any(cause.reason in _BLOCKING for cause in known):
            told = (
                "some validation rules were not checked because the object was invalid; correct the existing errors to"
                " complete validation"
            )
            return [Cause(NOWHERE, "FieldValueInvalid", f"Invalid value: null: {told}")], []
        judging = _Judging()
        with contextlib.suppress(_Enough):
            judging.value(self.root, "", (obj, old), _Kept((obj, old) if old is not None else None, None))
        return judging.causes, judging.warnings


def _node(schema: Manifest, *, is_root: bool = False) -> Node | None:
    if not _has_rules(schema):
        return None
    additional, items = schema.get("additionalProperties"), schema.get("items")
    properties = {
        name: node for name, below in (schema.get("properties") or {}).items() if (node := _embedded(below)) is not None
    }
    keys = schema.get("x-kubernetes-list-map-keys") if schema.get("x-kubernetes-list-type") == "map" else ()
    return Node(
        schema,
        is_root,
        tuple(compiled(each, schema) for each in schema.get(WORD) or () if str(each.get("rule", "")).strip()),
        properties,
        _embedded(additional) if isinstance(additional, dict) else None,
        _embedded(items) if isinstance(items, dict) else None,
        tuple(keys or ()),
    )


def _embedded(schema: Manifest) -> Node | None:
    return _node(schema, is_root=bool(schema.get("x-kubernetes-embedded-resource")))


def _has_rules(schema: Manifest) -> bool:
    if schema.get(WORD):
        return True
    below = [schema.get("items"), schema.get("additionalProperties"), *(schema.get("properties") or {}).values()]
    return any(isinstance(each, dict) and _has_rules(each) for each in below)


def compile_rule(rule: Manifest, part: str, schema: Manifest) -> Program:
    """A rule of what the schema describes, or its message expression. Raises BadExpression."""
    timed = schema if times_in(schema) else None
    if not rule.get("optionalOldSelf"):
        return compile_expression(rule[part], {"self": "dyn", "oldSelf": "dyn"}, schema=timed)
    # The library takes no optional values from outside: it makes this one of a list.
    around = ("cel.bind(oldSelf, oldSelves[?0], ", ")")
    return compile_expression(rule[part], {"self": "dyn", "oldSelves": "list"}, around=around, schema=timed)


def compiled(rule: Manifest, schema: Manifest) -> Rule:
    """A rule that was checked when its definition was written."""
    try:
        holds: Program | str = compile_rule(rule, "rule", schema)
    except BadExpression as error:
        holds = f"compilation failed: {error}"
    says = None
    with contextlib.suppress(BadExpression):
        says = compile_rule(rule, "messageExpression", schema) if rule.get("messageExpression") else None
    return Rule(holds, says, rule, path_of(rule.get("fieldPath") or "", schema) or "")


def path_of(written: str, schema: Manifest) -> str | None:
    """A rule's `fieldPath` as errors show it; None if it leads nowhere."""
    made, at = "", 0
    for step in _STEP.finditer(written):
        if step.start() != at:
            return None
        at = step.end()
        name = step[1] if step[1] is not None else re.sub(r"\\(.)", r"\1", step[2])
        properties, additional = schema.get("properties"), schema.get("additionalProperties")
        if properties:
            if name not in properties:
                return None
            made, schema = under(made, name), properties[name]
        elif isinstance(additional, dict):
            made, schema = f"{made}[{name}]", additional
        else:
            return None
    return made if at == len(written) else None


def _key(item: object, keys: tuple[str, ...]) -> tuple[str, ...]:
    """What tells an item of a list from the others."""
    return tuple(str(item.get(key)) for key in keys) if isinstance(item, dict) else ()


class _Enough(Exception):  # never leaves this module
    """No further rule is to be evaluated."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """How a value corresponds to one before the write: the pair, or the nearest pair around it that does."""

    pair: tuple[object, object] | None
    around: tuple[object, object] | None

    @property
    def unchanged(self) -> bool:
        """Whether the value, or what is around it, is as before: its author need not mend it now."""
        pair = self.pair or self.around
        return pair is not None and pair[0] == pair[1]

    def member(self, name: str) -> "_Kept":
        """The same of a member."""
        if self.pair is None:
            return self
        if self.around is None and name in {"apiVersion", "kind"}:
            return _Kept(None, None)
        value, old = self.pair
        both = isinstance(value, dict) and isinstance(old, dict) and name in value and name in old
        return _Kept((value[name], old[name]) if both else None, self.pair)  # type: ignore[index]  # both have it

    def item(self, value: object, old: object) -> "_Kept":
        """The same of an item."""
        return self if self.pair is None else _Kept((value, old) if old is not None else None, self.pair)


@dataclass(slots=True)
class _Judging:
    causes: list[Cause] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    evaluations: int = 0

    def value(self, node: Node, path: str, pair: tuple[object, object], kept: _Kept) -> None:
        value, old = pair
        if value is None:
            return
        if node.rules:
            self._rules(node, path, pair, kept)
        if isinstance(value, list) and node.items:
            old_items = {_key(item, node.keys): item for item in old} if node.keys and isinstance(old, list) else {}
            for index, item in enumerate(value):
                before = old_items.get(_key(item, node.keys)) if node.keys else None
                self.value(node.items, f"{path}[{index}]", (item, before), kept.item(item, before))
        elif isinstance(value, dict):
            before_all: Mapping[str, object] = old if isinstance(old, dict) else {}
            for name, member in value.items():
                pair = (member, before_all.get(name))
                if node.additional:
                    self.value(node.additional, f"{path}[{name}]", pair, kept.member(name))
                if name in node.properties:
                    self.value(node.properties[name], under(path, name), pair, kept.member(name))

    def _rules(self, node: Node, path: str, pair: tuple[object, object], kept: _Kept) -> None:
        value, old = pair
        own = fitted(value, node.schema, is_root=node.is_root)
        before = None if old is None else fitted(old, node.schema, is_root=node.is_root)
        for rule in node.rules:
            optional = bool(rule.manifest.get("optionalOldSelf"))
            if rule.uses_old and old is None and not optional:
                # Rules about a transition wait until there is one.
                continue
            values: dict[str, object] = {"self": own, "oldSelf": before}
            if optional:
                values = {"self": own, "oldSelves": [] if old is None else [before]}
            self._rule(rule, node, path, (value, values, kept))

    def _rule(self, rule: Rule, node: Node, path: str, about: tuple[object, dict[str, object], _Kept]) -> None:
        value, values, kept = about
        if isinstance(rule.holds, str):
            self._fault(path, node, f"rule compile error: {rule.holds}")
            return
        self.evaluations += 1
        if self.evaluations > MAX_EVALUATIONS:
            self._fault(path, node, _SPENT)
            raise _Enough
        try:
            if rule.holds.evaluate(values) is True:
                return
        except EvaluationError as error:
            if str(error).startswith("operation cancelled"):
                told = "no further validation rules will be run due to call cost exceeds limit for rule"
                self._fault(path, node, f"'{error}': {told}: {rule.text}")
                raise _Enough from error
            if str(error).startswith("no such overload"):
                told = "call arguments did not match a supported operator, function or macro signature for rule"
                self._fault(path, node, f"'{error}': {told}: {rule.text}")
            else:
                self._fault(path, node, f"{error} evaluating rule: {rule.text}")
            return
        cause = self._broken(rule, node, path, (value, values))
        if not rule.uses_old and kept.unchanged:
            self.warnings.append(f"{cause.field}: {cause.message}")
        else:
            self.causes.append(cause)

    def _broken(self, rule: Rule, node: Node, path: str, about: tuple[object, dict[str, object]]) -> Cause:
        value, values = about
        detail = self._said(rule, values) or str(rule.manifest.get("message") or "").strip()
        reason = rule.manifest.get("reason") or "FieldValueInvalid"
        title = _TITLES.get(reason, "Invalid value")
        if reason in {"FieldValueInvalid", "FieldValueDuplicate"} and node.type not in {"object", "array"}:
            title += f": {shown(value)}"
        if reason != "FieldValueDuplicate":
            title += f": {detail or f'failed rule: {rule.text}'}"
        where = under(path, rule.place) if rule.place else path
        return Cause(where or NOWHERE, reason, title)

    def _said(self, rule: Rule, values: dict[str, object]) -> str:
        """What its message expression says; nothing if that comes to nothing."""
        if rule.says is None:
            return ""
        try:
            said = rule.says.evaluate(values)
        except EvaluationError:
            return ""
        text = said.strip() if isinstance(said, str) else ""
        return "" if "\n" in text or len(text.encode()) > _MOST_TEXT else text

    def _fault(self, path: str, node: Node, told: str) -> None:
        self.causes.append(Cause(path or NOWHERE, "FieldValueInvalid", f"Invalid value: {shown(node.type)}: {told}"))
