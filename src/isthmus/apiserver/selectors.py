"""Label and field selectors, parsed once, asked often."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from isthmus.api.scheme import Manifest
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.status import bad_request

Matches: TypeAlias = Callable[[Mapping[str, str]], bool]

LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
SET_BASED = re.compile(r"(?P<key>\S+)\s+(?P<how>in|notin)\s*\((?P<values>[^()]*)\)")
COMPARED = re.compile(r"(?P<key>[^=!<>\s]+)\s*(?P<how>==|=|!=|<|>)\s*(?P<value>[^=!<>\s]*)")
MAX_REQUIREMENTS = 1000


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one key."""

    key: str
    how: str
    values: frozenset[str] = frozenset()

    def met_by(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` fulfil it."""
        value = labels.get(self.key)
        if self.how == "exists":
            return value is not None
        if self.how == "absent":
            return value is None
        if self.how == "in":
            return value in self.values
        if self.how == "notin":
            return value not in self.values
        return value is not None and _ordered(value, self.how, next(iter(self.values)))


def _ordered(value: str, how: str, bound: str) -> bool:
    try:
        return int(value) > int(bound) if how == ">" else int(value) < int(bound)
    except ValueError:
        return False


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The requirements of a label selector, equality- or set-based. Raises Refused (400)."""
    parts = [part.strip() for part in re.split(r",(?![^(]*\))", text)] if text.strip() else []
    if len(parts) > MAX_REQUIREMENTS:
        raise bad_request(f"unable to parse requirement: more than {MAX_REQUIREMENTS} of them")
    return tuple(_requirement(part) for part in parts)


def _requirement(part: str) -> Requirement:
    if found := SET_BASED.fullmatch(part):
        values = frozenset(value.strip() for value in found["values"].split(","))
        return _checked(Requirement(found["key"], found["how"], values))
    if found := COMPARED.fullmatch(part):
        how = {"=": "in", "==": "in", "!=": "notin"}.get(found["how"], found["how"])
        return _checked(Requirement(found["key"], how, frozenset({found["value"]})))
    if part.startswith("!"):
        return _checked(Requirement(part[1:].strip(), "absent"))
    return _checked(Requirement(part, "exists"))


def _checked(requirement: Requirement) -> Requirement:
    if not LABEL_KEY.fullmatch(requirement.key):
        raise bad_request(f'unable to parse requirement: key: Invalid value: "{requirement.key}"')
    for value in requirement.values:
        if not LABEL_VALUE.fullmatch(value):
            raise bad_request(f'unable to parse requirement: values[0][{requirement.key}]: Invalid value: "{value}"')
    return requirement


def of_label_selector(selector: Manifest) -> Matches:
    """The matcher of a LabelSelector object; an empty one matches everything."""
    hows = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    wanted = [Requirement(k, "in", frozenset({v})) for k, v in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        values = frozenset(each.get("values") or ())
        wanted.append(Requirement(each["key"], hows.get(each["operator"], "in"), values))
    return lambda labels: all(requirement.met_by(labels) for requirement in wanted)


# What field selectors may ask for, beyond metadata.name and metadata.namespace.
INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
        "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    "events": (
        *(f"involvedObject.{name}" for name in INVOLVED),
        "reason", "reportingComponent", "source", "type",
    ),
    "services": ("spec.clusterIP", "spec.type"),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "replicasets.apps": ("status.replicas",),
}  # fmt: skip


def parse_fields(text: str, kind: Kind) -> tuple[Requirement, ...]:
    """The requirements of a field selector on `kind`. Raises Refused (400) for fields it does not index."""
    allowed = {"metadata.name", "metadata.namespace", *FIELDS.get(kind.collection, ()), *kind.selectable}
    requirements = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        found = re.fullmatch(r"(?P<key>[^=!]+?)\s*(?P<how>==|=|!=)\s*(?P<value>.*)", part)
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        key = found["key"]
        if kind.group == "events.k8s.io" and key.startswith("regarding."):
            key = "involvedObject." + key.removeprefix("regarding.")
        if key not in allowed:
            known = ", ".join(f'"{each}"' for each in sorted(allowed))
            raise bad_request(f'"{found["key"]}" is not a known field selector: only {known}')
        how = "notin" if found["how"] == "!=" else "in"
        requirements.append(Requirement(key, how, frozenset({found["value"]})))
    return tuple(requirements)


def fields_of(kind: Kind) -> Callable[[Manifest], Mapping[str, str]]:
    """What picks out of an object of `kind` everything that field selectors may ask for."""
    wanted = ("metadata.name", "metadata.namespace", *FIELDS.get(kind.collection, ()), *kind.selectable)

    def pick(manifest: Manifest) -> Mapping[str, str]:
        return {path: _value(manifest, path.lstrip(".")) for path in wanted}

    return pick


def _value(manifest: Manifest, path: str) -> str:
    found: object = manifest
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    if path == "source":
        found = (manifest.get("source") or {}).get("component") or manifest.get("reportingComponent")
    if isinstance(found, bool):
        return "true" if found else "false"
    return "" if found is None else str(found)
