"""ValidatingAdmissionPolicies and their bindings: the rules they have to keep, their expressions among them."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin.names import key_faults, path_segment_faults, subdomain_faults
from isthmus.apiserver.builtin.workloads import selector_faults
from isthmus.apiserver.causes import duplicate, forbidden, required, too_many, unsupported, wrong
from isthmus.apiserver.cel.admission import BOOLEAN, TEXT, TEXT_OR_NULL, Misfit, PolicyCompiler
from isthmus.apiserver.cel.engine import BadExpression, Program
from isthmus.apiserver.cel.schemas import RESERVED
from isthmus.apiserver.schema import Cause

GROUP = "admissionregistration.k8s.io"
_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_NAME: Final = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*", re.ASCII)
_LABEL_FAULT: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    " '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_ACTIONS: Final = ("Audit", "Deny", "Warn")
_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_SCOPES: Final = ("*", "Cluster", "Namespaced")
_MOST_CONDITIONS: Final = 64
_MOST_ANNOTATIONS: Final = 20
_MOST_ANNOTATION: Final = 5 * 1024


def policy_faults(policy: Manifest, old: Manifest | None) -> Iterator[Cause]:
    """Faults in a ValidatingAdmissionPolicy."""
    spec: Manifest = policy.get("spec") or {}
    if old is not None and old.get("spec") == spec:
        return
    if spec.get("failurePolicy") not in {"Fail", "Ignore"}:
        yield unsupported("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    if spec.get("paramKind") is not None:
        yield from _param_kind_faults(spec["paramKind"])
    constraints = spec.get("matchConstraints")
    if constraints is None:
        yield required("spec.matchConstraints")
    else:
        yield from _match_faults(constraints, "spec.matchConstraints")
        if not constraints.get("resourceRules"):
            yield required("spec.matchConstraints.resourceRules")
    has_params = spec.get("paramKind") is not None
    yield from _condition_faults(spec.get("matchConditions") or [], PolicyCompiler(has_params=has_params))
    compiler = PolicyCompiler(has_params=has_params)
    for index, variable in enumerate(spec.get("variables") or ()):
        yield from _variable_faults(variable, f"spec.variables[{index}]", compiler)
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        for part in ("validations", "auditAnnotations"):
            yield required(f"spec.{part}", "validations or auditAnnotations must contain at least one item")
    for index, validation in enumerate(spec.get("validations") or ()):
        yield from _validation_faults(validation, f"spec.validations[{index}]", compiler)
    yield from _annotation_faults(policy["metadata"].get("name", ""), spec.get("auditAnnotations") or [], compiler)


def binding_faults(binding: Manifest, old: Manifest | None) -> Iterator[Cause]:  # noqa: ARG001  # as all rules
    """Faults in a ValidatingAdmissionPolicyBinding."""
    spec: Manifest = binding.get("spec") or {}
    if not spec.get("policyName"):
        yield required("spec.policyName")
    else:
        yield from (wrong("spec.policyName", spec["policyName"], told) for told in subdomain_faults(spec["policyName"]))
    if spec.get("paramRef") is not None:
        yield from _reference_faults(spec["paramRef"])
    if spec.get("matchResources") is not None:
        yield from _match_faults(spec["matchResources"], "spec.matchResources")
    yield from _action_faults(spec.get("validationActions") or [])


def _param_kind_faults(kind: Manifest) -> Iterator[Cause]:
    api_version, name = str(kind.get("apiVersion") or ""), str(kind.get("kind") or "")
    where = "spec.paramKind.apiVersion"
    group, _, version = api_version.rpartition("/")
    if not api_version:
        yield required(where)
    elif api_version.count("/") > 1:
        yield wrong(where, api_version, f"unexpected GroupVersion string: {api_version}")
    else:
        yield from (wrong(where, group, told) for told in (subdomain_faults(group) if group else ()))
        if not version:
            yield wrong(where, api_version, "version must be specified")
        elif not _LABEL.fullmatch(version):
            yield wrong(where, version, _LABEL_FAULT)
    if not name:
        yield required("spec.paramKind.kind")
    elif not _LABEL.fullmatch(name.lower()):
        told = f"may have mixed case, but should otherwise match: {_LABEL_FAULT}"
        yield wrong("spec.paramKind.kind", name, told)


def _match_faults(match: Manifest, path: str) -> Iterator[Cause]:
    if match.get("matchPolicy") not in {"Exact", "Equivalent"}:
        yield unsupported(f"{path}.matchPolicy", match.get("matchPolicy"), ("Equivalent", "Exact"))
    for part in ("namespaceSelector", "objectSelector"):
        yield from selector_faults(match.get(part) or {}, f"{path}.{part}")
    for part in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(part) or ()):
            yield from _rule_faults(rule, f"{path}.{part}[{index}]")


def _rule_faults(rule: Manifest, path: str) -> Iterator[Cause]:
    names = rule.get("resourceNames") or []
    for index, name in enumerate(names):
        yield from (wrong(f"{path}.resourceNames[{index}]", name, told) for told in path_segment_faults(name))
        if name in names[:index]:
            yield duplicate(f"{path}.resourceNames[{index}]", name)
    yield from _operation_faults(rule.get("operations") or [], f"{path}.operations")
    for part in ("apiGroups", "apiVersions"):
        given = rule.get(part) or []
        if not given:
            yield required(f"{path}.{part}")
        if len(given) > 1 and "*" in given:
            what = "API groups" if part == "apiGroups" else "API versions"
            yield wrong(f"{path}.{part}", given, f"if '*' is present, must not specify other {what}")
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            yield required(f"{path}.apiVersions[{index}]")
    yield from _resource_faults(rule.get("resources") or [], f"{path}.resources")
    if rule.get("scope", "*") not in _SCOPES:
        yield unsupported(f"{path}.scope", rule["scope"], _SCOPES)


def _operation_faults(operations: list[str], path: str) -> Iterator[Cause]:
    if not operations:
        yield required(path)
    if len(operations) > 1 and "*" in operations:
        yield wrong(path, operations, "if '*' is present, must not specify other operations")
    for index, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            yield unsupported(f"{path}[{index}]", operation, _OPERATIONS)


def _resource_faults(resources: list[str], path: str) -> Iterator[Cause]:
    if not resources:
        yield required(path)
    # Whatever one of them covers, the others must not say again.
    everywhere = {each.partition("/")[2] for each in resources if each.startswith("*/")}
    whole = {each.partition("/")[0] for each in resources if each.endswith("/*")}
    for index, resource in enumerate(resources):
        where = f"{path}[{index}]"
        plural, slash, part = resource.partition("/")
        if not resource:
            yield required(where)
        elif resource != "*/*" and plural != "*" and plural in whole and part != "*":
            yield wrong(where, resource, f"if '{plural}/*' is present, must not specify {resource}")
        elif slash and plural != "*" and part in everywhere:
            yield wrong(where, resource, f"if '*/{part}' is present, must not specify {resource}")
    if len(resources) > 1 and "*/*" in resources:
        yield wrong(path, resources, "if '*/*' is present, must not specify other resources")
    if "*" in resources and any("/" not in each for each in resources if each != "*"):
        told = "if '*' is present, must not specify other resources without subresources"
        yield wrong(path, resources, told)


def _reference_faults(reference: Manifest) -> Iterator[Cause]:
    path, told = "spec.paramRef", "name and selector are mutually exclusive"
    name, selector = reference.get("name"), reference.get("selector")
    if name:
        yield from (wrong(f"{path}.name", name, fault) for fault in path_segment_faults(name))
    if name and selector is not None:
        yield forbidden(f"{path}.name", told)
    if selector is not None:
        yield from selector_faults(selector, f"{path}.selector")
    if name and selector is not None:
        yield forbidden(f"{path}.selector", told)
    if not name and selector is None:
        yield required(path, "one of name or selector must be specified")
    action = reference.get("parameterNotFoundAction")
    if not action:
        yield required(f"{path}.parameterNotFoundAction")
    elif action not in {"Deny", "Allow"}:
        yield unsupported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow"))


def _action_faults(actions: list[str]) -> Iterator[Cause]:
    path = "spec.validationActions"
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield unsupported(f"{path}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            yield duplicate(f"{path}[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        told = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response"
            " and headers serves no purpose)"
        )
        yield wrong(path, actions, told)
    if not actions:
        yield required(path, "at least one validation action is required")


def _condition_faults(conditions: list[Manifest], compiler: PolicyCompiler) -> Iterator[Cause]:
    path = "spec.matchConditions"
    if len(conditions) > _MOST_CONDITIONS:
        yield too_many(path, len(conditions), _MOST_CONDITIONS)
        return
    for index, condition in enumerate(conditions):
        where, name = f"{path}[{index}]", condition.get("name") or ""
        expression = str(condition.get("expression") or "").strip()
        if not expression:
            yield required(f"{where}.expression")
        else:
            yield from _expression_faults(
                f"{where}.expression", expression, lambda text: compiler.expression(text, BOOLEAN)
            )
        if not name:
            yield required(f"{where}.name")
            continue
        yield from (wrong(f"{where}.name", name, told) for told in key_faults(name))
        if name in [each.get("name") for each in conditions[:index]]:
            yield duplicate(f"{where}.name", name)


def _variable_faults(variable: Manifest, path: str, compiler: PolicyCompiler) -> Iterator[Cause]:
    name, expression = str(variable.get("name") or ""), str(variable.get("expression") or "")
    if not name.strip():
        yield required(f"{path}.name", "name is not specified")
    elif not _NAME.fullmatch(name) or name in RESERVED:
        yield wrong(f"{path}.name", name, "must be a valid CEL identifier")
    if not expression.strip():
        yield required(f"{path}.expression", "expression is not specified")
    else:
        yield from _expression_faults(f"{path}.expression", expression, lambda text: compiler.variable(name, text))


def _validation_faults(validation: Manifest, path: str, compiler: PolicyCompiler) -> Iterator[Cause]:
    expression, says = str(validation.get("expression") or ""), str(validation.get("messageExpression") or "")
    message = str(validation.get("message") or "")
    if not expression.strip():
        yield required(f"{path}.expression", "expression is not specified")
    else:
        holds: Callable[[str], Program] = lambda text: compiler.expression(text, BOOLEAN)  # noqa: E731  # named for its type
        yield from _expression_faults(f"{path}.expression", expression, holds)
    if says and not says.strip():
        yield wrong(f"{path}.messageExpression", says, "must be non-empty if specified")
    elif says:
        yield from _expression_faults(
            f"{path}.messageExpression", says, lambda text: compiler.expression(text, TEXT, rights=False)
        )
    if message and not message.strip():
        yield wrong(f"{path}.message", message, "must be non-empty if specified")
    elif re.search(r"[\n\r]", message.strip()):
        yield wrong(f"{path}.message", message, "must not contain line breaks")
    if validation.get("reason", "Invalid") not in _REASONS:
        yield unsupported(f"{path}.reason", validation["reason"], _REASONS)


def _annotation_faults(name: str, annotations: list[Manifest], compiler: PolicyCompiler) -> Iterator[Cause]:
    path = "spec.auditAnnotations"
    if len(annotations) > _MOST_ANNOTATIONS:
        yield wrong(path, annotations, f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations")
        return
    for index, annotation in enumerate(annotations):
        where, key = f"{path}[{index}]", str(annotation.get("key") or "")
        yield from (wrong(f"{where}.key", f"{name}/{key}", told) for told in key_faults(f"{name}/{key}"))
        expression = str(annotation.get("valueExpression") or "")
        if not expression.strip():
            yield required(f"{where}.valueExpression", "valueExpression is not specified")
        elif len(expression.strip()) > _MOST_ANNOTATION:
            yield required(f"{where}.valueExpression", f"must not exceed {_MOST_ANNOTATION} bytes in length")
        else:
            yield from _expression_faults(
                f"{where}.valueExpression", expression, lambda text: compiler.expression(text, TEXT_OR_NULL)
            )
        if key in [each.get("key") for each in annotations[:index]]:
            yield duplicate(f"{where}.key", key)


def _expression_faults(path: str, text: str, compile_one: Callable[[str], object]) -> Iterable[Cause]:
    try:
        compile_one(text)
    except BadExpression as error:
        yield wrong(path, text, f"compilation failed: {error}")
    except Misfit as error:
        yield wrong(path, text, str(error))
