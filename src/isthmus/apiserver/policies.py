"""Admission by policy: every write is put before the ValidatingAdmissionPolicies that are bound to it.

Kubernetes, "Validating Admission Policy". A policy takes effect as soon as it is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from isthmus.api.scheme import Manifest
from isthmus.apiserver.authentication import SERVER
from isthmus.apiserver.authorization import Authorizer
from isthmus.apiserver.builtin.policies import GROUP
from isthmus.apiserver.cel.admission import Scope
from isthmus.apiserver.cel.engine import EvaluationError, Program
from isthmus.apiserver.cel.library import ORACLE
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.evaluating import Compiled, Policy, Rights, values_of
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.matching import Attempt, Matcher, Unconfigured, kind_of_params, params_of
from isthmus.apiserver.status import forbidden
from isthmus.apiserver.storage import DELETED, Change
from isthmus.errors import Refused

_CODES: Final = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
_MOST_TEXT: Final = 5 * 1024
_EXEMPT: Final = ("authentication.k8s.io", "authorization.k8s.io")


@dataclass(frozen=True, slots=True)
class Objection:
    """What one policy has against a write; `is_error` if it could not be asked."""

    message: str
    reason: str = "Invalid"
    always: bool = False


@dataclass(frozen=True, slots=True)
class _Binding:
    name: str
    spec: Manifest
    matcher: Matcher


class Policies:
    """The policies of one cluster, compiled, and who binds them."""

    def __init__(self, cluster: Cluster, authorizer: Authorizer) -> None:
        self._cluster = cluster
        self._authorizer = authorizer
        self._policies: dict[str, Manifest] = {}
        self._compiled: dict[str, Policy] = {}
        self._bindings: dict[str, _Binding] = {}
        for plural, seen in (("policies", self._policy_seen), ("policybindings", self._binding_seen)):
            name = f"validatingadmission{plural}.{GROUP}"
            cluster.storage.collection(name).listeners.append(seen)

    def _policy_seen(self, change: Change) -> None:
        name = change.record.key[1]
        self._compiled.pop(name, None)
        if change.type == DELETED:
            self._policies.pop(name, None)
        else:
            self._policies[name] = change.record.manifest()

    def _binding_seen(self, change: Change) -> None:
        name = change.record.key[1]
        if change.type == DELETED:
            self._bindings.pop(name, None)
            return
        spec = change.record.manifest().get("spec") or {}
        self._bindings[name] = _Binding(name, spec, Matcher.of(spec.get("matchResources")))

    def admit(self, attempt: Attempt) -> list[str]:
        """Warnings for the author. Raises Refused when a policy denies the write."""
        # The server's own writes come before everybody's policies, and nobody locks themselves out of changing these.
        if not self._bindings or attempt.user == SERVER or attempt.kind.group in {GROUP, *_EXEMPT}:
            return []
        denied: list[Refused] = []
        warned: list[str] = []
        ORACLE.set(Rights(attempt.user, self._authorizer))
        for name, bindings in self._bound():
            self._ask(name, bindings, attempt, (denied, warned))
        if denied:
            for warning in warned:
                denied[0].add_note(warning)
            raise denied[0]
        return warned

    def _bound(self) -> Iterator[tuple[str, list[_Binding]]]:
        """Every policy that is bound, with its bindings."""
        bound: dict[str, list[_Binding]] = {}
        for name in sorted(self._bindings):
            bound.setdefault(str(self._bindings[name].spec.get("policyName")), []).append(self._bindings[name])
        return ((name, bound[name]) for name in sorted(bound) if name in self._policies)

    def _policy(self, name: str) -> Policy:
        if name not in self._compiled:
            self._compiled[name] = Policy.of(self._policies[name])
        return self._compiled[name]

    def _ask(
        self, name: str, bindings: list[_Binding], attempt: Attempt, told: tuple[list[Refused], list[str]]
    ) -> None:
        policy, (denied, warned) = self._policy(name), told
        kind = policy.matcher.matched(attempt, self._cluster)
        if kind is None:
            return
        try:
            param_kind = kind_of_params(policy.spec, self._cluster)
        except Unconfigured as error:
            if policy.fails:
                what = f"ValidatingAdmissionPolicy '{name}' denied request: failed to configure policy: {error}"
                denied.append(_refusal(attempt, what, "Invalid"))
            return
        for binding in bindings:
            if binding.matcher.matched(attempt, self._cluster) is None:
                continue
            for objection in self._objections(policy, binding, attempt, (kind, param_kind)):
                about = f"ValidatingAdmissionPolicy '{name}' with binding '{binding.name}'"
                actions = binding.spec.get("validationActions") or ()
                if objection.always or "Deny" in actions:
                    what = f"{about} denied request: {objection.message}"
                    denied.append(_refusal(attempt, what, objection.reason))
                if "Warn" in actions and not objection.always:
                    warned.append(f"Validation failed for {about}: {objection.message}")

    def _objections(
        self, policy: Policy, binding: _Binding, attempt: Attempt, how: tuple[Kind, Kind | None]
    ) -> Iterator[Objection]:
        kind, param_kind = how
        try:
            params = params_of(param_kind, binding.spec.get("paramRef"), attempt.namespace, self._cluster)
        except Unconfigured as error:
            if policy.fails:
                yield Objection(f"failed to configure binding: {error}", always=True)
            return
        values = values_of(attempt, kind, self._cluster) if params else {}
        for param in params:
            yield from _evaluated(policy, values | {"params": param})


def _evaluated(policy: Policy, values: dict[str, object]) -> Iterator[Objection]:
    # Conditions are asked before anybody looks for the namespace.
    applies = _applies(policy, Scope(values | {"namespaceObject": None}, policy.variables))
    scope = Scope(values, policy.variables)
    if isinstance(applies, Objection):
        if policy.fails:
            yield applies
        return
    if not applies:
        return
    for check in policy.validations:
        value = _value(check.holds, scope)
        if isinstance(value, Objection):
            if policy.fails:
                yield value
        elif value is not True:
            yield Objection(_message(check.says, check.manifest, scope), check.manifest.get("reason") or "Invalid")
    for annotation in policy.annotations:
        value = _value(annotation, scope)
        if isinstance(value, Objection) and policy.fails:
            yield Objection(value.message, always=True)


def _applies(policy: Policy, scope: Scope) -> bool | Objection:
    """Whether all conditions hold; one that does not outweighs those that cannot be evaluated."""
    errors: list[str] = []
    for condition in policy.conditions:
        value = _value(condition, scope)
        if isinstance(value, Objection):
            errors.append(value.message)
        elif value is not True:
            return False
    if errors:
        different = list(dict.fromkeys(errors))
        return Objection(different[0] if len(different) == 1 else f"[{', '.join(different)}]")
    return True


def _value(program: Compiled, scope: Scope) -> object:
    """The value of an expression, or what stood in its way."""
    if not isinstance(program, Program):
        return Objection(f"compilation error: {program}")
    try:
        return scope.evaluate(program)
    except EvaluationError as error:
        return Objection(f"expression '{program.text}' resulted in error: {error}")


def _message(says: Compiled | None, manifest: Manifest, scope: Scope) -> str:
    """What is said of a check that does not hold."""
    said = _value(says, scope) if says is not None else None
    text = said.strip() if isinstance(said, str) else ""
    if len(text.encode()) > _MOST_TEXT or "\n" in text:
        text = ""
    return text or str(manifest.get("message") or "").strip() or f"failed expression: {manifest['expression'].strip()}"


def _refusal(attempt: Attempt, message: str, reason: str) -> Refused:
    metadata = (attempt.obj or {}).get("metadata") or {}
    name = attempt.name or metadata.get("name") or metadata.get("generateName") or "Unknown"
    refused = forbidden(attempt.kind, name, message, [{"message": message}])
    return Refused(code=_CODES.get(reason, 422), reason=reason, message=refused.message, details=dict(refused.details))
