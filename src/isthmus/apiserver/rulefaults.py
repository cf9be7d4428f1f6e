"""What is wrong with `x-kubernetes-validations` when a definition is written."""

import json
import re
from collections.abc import Iterator
from typing import Final

from isthmus.api.scheme import Manifest
from isthmus.apiserver.causes import required, unsupported, wrong
from isthmus.apiserver.cel.engine import BOOL, DYN, STRING, BadExpression
from isthmus.apiserver.rules import WORD, compile_rule, path_of
from isthmus.apiserver.schema import Cause

_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_PARTS: Final = ("rule", "message", "messageExpression", "reason", "fieldPath", "optionalOldSelf")
_BREAK: Final = re.compile(r"[\n\r]")


def rule_faults(schema: Manifest, where: str, unkeyed: str = "") -> Iterator[Cause]:
    """Faults of the rules in a structural schema and below it; `where` is its path.

    `unkeyed` is the path of the list around it whose items cannot be told from each other.
    """
    items, additional = schema.get("items"), schema.get("additionalProperties")
    if isinstance(items, dict):
        is_keyed = schema.get("x-kubernetes-list-type") == "map"
        yield from rule_faults(items, f"{where}.items", unkeyed or ("" if is_keyed else where))
    if isinstance(additional, dict):
        yield from rule_faults(additional, f"{where}.additionalProperties", unkeyed)
    for name, below in (schema.get("properties") or {}).items():
        if isinstance(below, dict):
            yield from rule_faults(below, f"{where}.properties[{name}]", unkeyed)
    rules = [(rule, f"{where}.{WORD}[{index}]") for index, rule in enumerate(schema.get(WORD) or ())]
    written = [cause for rule, path in rules for cause in _form_faults(rule, schema, path)]
    yield from written
    for rule, path in () if written else rules:
        yield from _expression_faults(rule, schema, path, unkeyed)


def _form_faults(rule: Manifest, schema: Manifest, where: str) -> Iterator[Cause]:
    text, message, says = (str(rule.get(part) or "") for part in ("rule", "message", "messageExpression"))
    if not text.strip():
        yield required(f"{where}.rule", "rule is not specified")
    elif message and not message.strip():
        yield wrong(f"{where}.message", message, "must be non-empty if specified")
    elif _BREAK.search(message.strip()):
        yield wrong(f"{where}.message", message, "must not contain line breaks")
    elif _BREAK.search(text.strip()) and not message.strip():
        yield required(f"{where}.message", "message must be specified if rule contains line breaks")
    if says and not says.strip():
        yield required(f"{where}.messageExpression", "messageExpression must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        yield unsupported(f"{where}.reason", rule["reason"], _REASONS)
    place = str(rule.get("fieldPath") or "")
    if not place:
        return
    if not place.strip():
        yield wrong(f"{where}.fieldPath", place, "must be non-empty if specified")
    if _BREAK.search(place):
        yield wrong(f"{where}.fieldPath", place, "must not contain line breaks")
    if path_of(place, schema) is None:
        yield wrong(f"{where}.fieldPath", place, "must be a valid path")


def _expression_faults(rule: Manifest, schema: Manifest, where: str, unkeyed: str) -> Iterator[Cause]:
    try:
        program = compile_rule(rule, "rule", schema)
    except BadExpression as error:
        yield _misfit(f"{where}.rule", rule, f"compilation failed: {error}")
        return
    if program.kind not in {BOOL, DYN}:
        yield _misfit(f"{where}.rule", rule, "cel expression must evaluate to a bool")
        return
    if rule.get("messageExpression"):
        yield from _message_faults(rule, schema, f"{where}.messageExpression")
    if program.mentions("oldSelf"):
        if unkeyed:
            told = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {unkeyed}"
            yield wrong(f"{where}.rule", rule["rule"], told)
    elif rule.get("optionalOldSelf") is not None:
        told = "may not be set if oldSelf is not used in rule"
        yield wrong(f"{where}.optionalOldSelf", rule["optionalOldSelf"], told)


def _message_faults(rule: Manifest, schema: Manifest, path: str) -> Iterator[Cause]:
    try:
        program = compile_rule(rule, "messageExpression", schema)
    except BadExpression as error:
        yield _misfit(path, rule, f"messageExpression compilation failed: {error}")
        return
    if program.kind not in {STRING, DYN}:
        yield _misfit(path, rule, "messageExpression must evaluate to a string")


def _misfit(path: str, rule: Manifest, told: str) -> Cause:
    given = {part[0].upper() + part[1:]: rule.get(part) for part in _PARTS}
    for part in ("Rule", "Message", "MessageExpression", "FieldPath"):
        given[part] = given[part] or ""
    shown = json.dumps(given, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&":
        shown = shown.replace(letter, f"\\u{ord(letter):04x}")
    return Cause(path, "FieldValueInvalid", f"Invalid value: {shown}: {told}")
