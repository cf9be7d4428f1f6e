"""Rules for Deployments, ReplicaSets, StatefulSets, DaemonSets and label selectors."""

import re
from collections.abc import Callable, Iterator, Mapping

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin.metadata import label_set_faults
from isthmus.apiserver.builtin.names import key_faults, label_faults
from isthmus.apiserver.builtin.pods import template_faults
from isthmus.apiserver.causes import forbidden, required, shown, unsupported, wrong
from isthmus.apiserver.schema import Cause

NEGATIVE = "must be greater than or equal to 0"
STATEFUL_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def _is_in(labels: Mapping[str, str], key: str, values: list[str]) -> bool:
    return key in labels and labels[key] in values


OPERATORS: dict[str, Callable[[Mapping[str, str], str, list[str]], bool]] = {
    "In": _is_in,
    "NotIn": lambda labels, key, values: not _is_in(labels, key, values),
    "Exists": lambda labels, key, _: key in labels,
    "DoesNotExist": lambda labels, key, _: key not in labels,
}


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches the labels; an empty one matches nothing here."""
    wanted = selector.get("matchLabels") or {}
    rules = selector.get("matchExpressions") or []
    if not wanted and not rules:
        return False
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        OPERATORS[rule["operator"]](labels, rule.get("key", ""), rule.get("values") or []) for rule in rules
    )


def selector_faults(selector: Manifest, path: str) -> Iterator[Cause]:
    """Faults in a LabelSelector."""
    yield from label_set_faults(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, rule in enumerate(selector.get("matchExpressions") or ()):
        where, operator = f"{path}.matchExpressions[{index}]", rule.get("operator", "")
        if operator not in OPERATORS:
            yield wrong(f"{where}.operator", operator, "not a valid selector operator")
        elif operator in {"In", "NotIn"} and not rule.get("values"):
            yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in {"Exists", "DoesNotExist"} and rule.get("values"):
            message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield forbidden(f"{where}.values", message)
        yield from (wrong(f"{where}.key", rule.get("key", ""), fault) for fault in key_faults(rule.get("key", "")))


def workload_faults(obj: Manifest, old: Manifest | None) -> Iterator[Cause]:
    """Faults in anything that runs pods by a template and a selector."""
    kind, spec = obj["kind"], obj.get("spec") or {}
    for field in ("replicas", "minReadySeconds", "revisionHistoryLimit"):
        if (spec.get(field) or 0) < 0:
            yield wrong(f"spec.{field}", spec[field], NEGATIVE)
    if kind == "StatefulSet":
        yield from _stateful_faults(spec, old)
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    if selector is None:
        yield required("spec.selector")
    else:
        broken = list(selector_faults(selector, "spec.selector"))
        yield from broken
        if not selector:
            # Kubernetes says deployment here for most of these kinds.
            named = {"StatefulSet": "statefulset", "DaemonSet": "daemonset"}.get(kind, "deployment")
            yield wrong("spec.selector", {}, f"empty selector is invalid for {named}")
        elif broken:
            yield wrong("spec.selector", selector, "invalid label selector")
            selector = {}
    if (selector is None or selector) and not selects(selector or {}, labels or {}):
        yield wrong("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    yield from template_faults(template, "spec.template")
    policy = (template.get("spec") or {}).get("restartPolicy", "Always")
    if policy != "Always":
        yield unsupported("spec.template.spec.restartPolicy", policy, ("Always",))
    if kind == "Deployment":
        yield from _deployment_faults(spec)
    if old is not None and kind != "StatefulSet" and spec.get("selector") != old["spec"].get("selector"):
        yield wrong("spec.selector", spec.get("selector"), "field is immutable")


def _deployment_faults(spec: Manifest) -> Iterator[Cause]:
    strategy = spec.get("strategy") or {}
    kind, rolling, path = strategy.get("type"), strategy.get("rollingUpdate"), "spec.strategy"
    if kind not in {"Recreate", "RollingUpdate"}:
        go_struct = f'{{"Type":{shown(kind)},"RollingUpdate":null}}'
        message = f'Unsupported value: {go_struct}: supported values: "Recreate", "RollingUpdate"'
        yield Cause(path, "FieldValueNotSupported", message)
    elif kind == "Recreate" and rolling is not None:
        message = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden(f"{path}.rollingUpdate", message)
    elif kind == "RollingUpdate" and rolling is not None:
        yield from _rolling_faults(rolling, f"{path}.rollingUpdate")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        if deadline < 0:
            yield wrong("spec.progressDeadlineSeconds", deadline, NEGATIVE)
        if deadline <= spec.get("minReadySeconds", 0):
            yield wrong("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _rolling_faults(rolling: Manifest, path: str) -> Iterator[Cause]:
    for field in ("maxUnavailable", "maxSurge"):
        yield from amount_faults(rolling.get(field), f"{path}.{field}")
    if not _amount(rolling.get("maxUnavailable")) and not _amount(rolling.get("maxSurge")):
        yield wrong(f"{path}.maxUnavailable", rolling.get("maxUnavailable"), "may not be 0 when `maxSurge` is 0")


def amount_faults(value: object, path: str) -> Iterator[Cause]:
    """Faults in a number or a percentage."""
    if isinstance(value, str) and not re.fullmatch("[0-9]+%", value, re.ASCII):
        message = (
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
            "regex used for validation is '[0-9]+%')"
        )
        yield wrong(path, value, message)
    elif isinstance(value, int) and value < 0:
        yield wrong(path, value, NEGATIVE)


def _amount(value: object) -> int:
    digits = str(value).removesuffix("%")
    return int(digits) if digits.isdecimal() else 0


def _stateful_faults(spec: Manifest, old: Manifest | None) -> Iterator[Cause]:
    policy, strategy = spec.get("podManagementPolicy"), spec.get("updateStrategy") or {}
    if policy not in {"OrderedReady", "Parallel"}:
        yield wrong("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    if strategy.get("type") not in {"RollingUpdate", "OnDelete"}:
        go_struct = f'{{"Type":{shown(strategy.get("type"))},"RollingUpdate":null}}'
        message = f"Invalid value: {go_struct}: must be 'RollingUpdate' or 'OnDelete'"
        yield Cause("spec.updateStrategy", "FieldValueInvalid", message)
    if old is None and spec.get("serviceName"):
        name = spec["serviceName"]
        yield from (wrong("spec.serviceName", name, fault) for fault in label_faults(name))
    if old is not None and _fixed(spec) != _fixed(old.get("spec") or {}):
        mutable = [f"'{field}'" for field in STATEFUL_MUTABLE]
        listed = f"{', '.join(mutable[:-1])} and {mutable[-1]}"
        message = f"updates to statefulset spec for fields other than {listed} are forbidden"
        yield forbidden("spec", message)


def _fixed(spec: Manifest) -> Manifest:
    return {key: value for key, value in spec.items() if key not in STATEFUL_MUTABLE}
