"""What admission policies are made of: writes to look at, expressions that must hold, and what is said if not.

Kubernetes, "Validating Admission Policy"; the expressions are CEL.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from isthmus.api.access import POLICIES, POLICY_BINDINGS
from isthmus.api.core import NAMESPACE_NAME_LABEL
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL
from isthmus.api.scheme import Manifest

# Whoever may do everything: nobody else has all verbs on all kinds.
IS_ADMIN: Final = "authorizer.group('*').resource('*').check('*').allowed()"

CREATE, UPDATE, DELETE = "CREATE", "UPDATE", "DELETE"
ANY_WRITE: Final = (CREATE, UPDATE, DELETE)


@dataclass(frozen=True)
class Check:
    """A CEL expression that must hold, and what is said if not: a sentence, or an expression that makes one."""

    holds: str
    message: str = ""
    says: str = ""

    def manifest(self) -> Manifest:
        """As a policy's `validations` hold it."""
        said = {"messageExpression": self.says} if self.says else {"message": self.message}
        return {"expression": self.holds, "reason": "Forbidden", **said}


@dataclass(frozen=True)
class Scope:
    """Which writes a policy sees: resources of one group, of these `names` if given, and what they are like.

    What it does not see, it cannot hold up either: a policy whose parameter is of a kind that was defined a moment ago
    refuses all that it sees, for half a minute.
    """

    group: str
    resources: tuple[str, ...]
    operations: tuple[str, ...] = ANY_WRITE
    objects: Manifest | None = None
    namespace: str = ""
    names: tuple[str, ...] = ()

    def manifest(self) -> Manifest:
        """As a policy's `matchConstraints`."""
        rule: Manifest = {
            "apiGroups": [self.group],
            "apiVersions": ["*"],
            "operations": list(self.operations),
            "resources": list(self.resources),
        }
        if self.names:
            rule["resourceNames"] = list(self.names)
        constraints: Manifest = {"resourceRules": [rule]}
        if self.objects:
            # Kubernetes asks the object before the write and after it; one that fits is enough.
            constraints["objectSelector"] = self.objects
        if self.namespace:
            constraints["namespaceSelector"] = {"matchLabels": {NAMESPACE_NAME_LABEL: self.namespace}}
        return constraints


@dataclass(frozen=True)
class Parameter:
    """Objects that a policy is asked about once each, by name or by label; without any it allows."""

    api_version: str
    kind: str
    reference: Manifest


def policy(
    name: str,
    scope: Scope,
    checks: Sequence[Check],
    *,
    when: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    parameter: Parameter | None = None,
) -> tuple[Manifest, Manifest]:
    """A policy and its binding, which denies; `when` are conditions under which it looks at all."""
    spec: Manifest = {
        "failurePolicy": "Fail",
        "matchConstraints": scope.manifest(),
        "validations": [check.manifest() for check in checks],
    }
    if when:
        spec["matchConditions"] = [{"name": key, "expression": value} for key, value in when.items()]
    if variables:
        spec["variables"] = [{"name": key, "expression": value} for key, value in variables.items()]
    binding: Manifest = {"policyName": name, "validationActions": ["Deny"]}
    if parameter:
        spec["paramKind"] = {"apiVersion": parameter.api_version, "kind": parameter.kind}
        binding["paramRef"] = {**parameter.reference, "parameterNotFoundAction": "Allow"}
    metadata: Manifest = {"name": name, "labels": {MARKER_LABEL: MANAGED_BY}}
    return (
        {"apiVersion": POLICIES.api_version, "kind": POLICIES.kind, "metadata": metadata, "spec": spec},
        {
            "apiVersion": POLICY_BINDINGS.api_version,
            "kind": POLICY_BINDINGS.kind,
            "metadata": metadata,
            "spec": binding,
        },
    )


def label(subject: str, key: str) -> str:
    """CEL for the value of a label; empty without it."""
    return f"{subject}.metadata.?labels[?'{key}'].orValue('')"


def either_has(key: str, value: str = "") -> str:
    """CEL for: the object has the label, with that value if one is given, before the write or after it."""
    sides = []
    for side in ("object", "oldObject"):
        has = f"{label(side, key)} == '{value}'" if value else f"{side}.metadata.?labels[?'{key}'].hasValue()"
        sides.append(f"({side} != null && {has})")
    return " || ".join(sides)


def is_one_of(*users: str) -> str:
    """CEL for: one of these users writes."""
    # A JSON string is a CEL string.
    return f"request.userInfo.username in {json.dumps(users)}"
