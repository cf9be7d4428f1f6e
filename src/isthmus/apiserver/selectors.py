"""Label and field selectors, parsed once, asked often."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from isthmus.api.scheme import Manifest
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.status import bad_request

Matches: TypeAlias = Callable[[Mapping[str, str]], bool]


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


def of_label_selector(selector: Manifest) -> Matches:
    """The matcher of a LabelSelector object; an empty one matches everything."""
    hows = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    wanted = [Requirement(k, "in", frozenset({v})) for k, v in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        values = frozenset(each.get("values") or ())
        wanted.append(Requirement(each["key"], hows.get(each["operator"], "in"), values))
    return lambda labels: all(requirement.met_by(labels) for requirement in wanted)


NEWER_FIELDS = {"reportingController": "reportingComponent"}
# What field selectors may ask for, beyond metadata.name and metadata.namespace.
INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
        "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName",
        "status.podIPs",
    ),
    "events": (
        *(f"involvedObject.{name}" for name in INVOLVED),
        "reason", "reportingComponent", "source", "type",
    ),
    "services": ("spec.clusterIP", "spec.type"),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
}  # fmt: skip


# Of these kinds Kubernetes says which fields there are.
PLAIN = frozenset({"services", "secrets"})


def parse_fields(text: str, kind: Kind) -> tuple[Requirement, ...]:
    """The requirements of a field selector on `kind`. Raises Refused (400) for fields it does not index."""
    allowed = {"metadata.name", "metadata.namespace", *FIELDS.get(kind.collection, ()), *kind.selectable}
    requirements = []
    for part in (part.strip() for part in re.split(r"(?<!\\),", text) if part.strip()):
        found = re.fullmatch(r"(?P<key>[^=!]*?)\s*(?P<how>==|=|!=)\s*(?P<value>.*)", part)
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        key, value = found["key"], _unescaped(found["value"])
        if not key and not value:
            continue
        if kind.group == "events.k8s.io":
            if key.startswith("involvedObject."):
                raise bad_request(f"field label not supported: {key}")
            key = NEWER_FIELDS.get(key, re.sub("^regarding[.]", "involvedObject.", key))
        if key not in allowed and (kind.selectable or kind.collection in FIELDS.keys() - PLAIN):
            raise bad_request(f"field label not supported: {found['key']}")
        if key not in allowed:
            known = ", ".join(f'"{each}"' for each in sorted(allowed))
            raise bad_request(f'"{found["key"]}" is not a known field selector: only {known}')
        how = "notin" if found["how"] == "!=" else "in"
        requirements.append(Requirement(key, how, frozenset({value})))
    return tuple(requirements)


def _unescaped(value: str) -> str:
    if odd := re.search(r"(?<!\\)=", value):
        raise bad_request(f"invalid field selector: unescaped character in value: {ord(odd[0])}")
    return re.sub(r"\\([\\,=])", r"\1", value)


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
    if path == "spec.hostNetwork":
        found = bool(found)
    if path == "source":
        found = (manifest.get("source") or {}).get("component") or manifest.get("reportingComponent")
    if isinstance(found, bool):
        return "true" if found else "false"
    return "" if found is None else str(found)
