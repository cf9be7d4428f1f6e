"""Which writes a policy looks at, and the parameters that its bindings give it.

Kubernetes, "Validating Admission Policy", "Matching requests" and "Parameter resources".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from isthmus.api.scheme import Manifest
from isthmus.apiserver import conversion
from isthmus.apiserver.authentication import User
from isthmus.apiserver.cluster import NAMESPACES, Cluster
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.selectors import Matches, of_label_selector
from isthmus.apiserver.storage import NO_LABELS

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


class Unconfigured(Exception):
    """A policy or binding points to what is not there."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One write, as policies see it: who does what to which object.

    `obj` is the object as it would be kept (None for a deletion), `old` as it is (None for a creation).
    `shown_kind` is what the body of a subresource is, where that is not the object itself.
    """

    kind: Kind
    operation: str
    user: User
    namespace: str
    name: str
    subresource: str = ""
    obj: Manifest | None = None
    old: Manifest | None = None
    dry_run: bool = False
    options: Mapping[str, object] = field(default_factory=dict)
    shown_kind: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Matcher:
    """A policy's `matchConstraints`, or a binding's `matchResources`, with its selectors parsed."""

    rules: Sequence[Manifest]
    excluded: Sequence[Manifest]
    exact: bool
    namespaces: Matches | None
    objects: Matches | None

    @classmethod
    def of(cls, spec: Manifest | None) -> "Matcher":
        """Read it; nothing at all matches everything."""
        spec = spec or {}
        selectors = [
            of_label_selector(spec[part]) if spec.get(part) else None
            for part in ("namespaceSelector", "objectSelector")
        ]
        excluded = spec.get("excludeResourceRules") or ()
        return cls(spec.get("resourceRules") or (), excluded, spec.get("matchPolicy") == "Exact", *selectors)

    def matched(self, attempt: Attempt, cluster: Cluster) -> Kind | None:
        """The kind as which the write is looked at; None if it is not."""
        if not self._has_labels(attempt, cluster) or self._by_rules(self.excluded, attempt, cluster):
            return None
        return self._by_rules(self.rules, attempt, cluster) if self.rules else attempt.kind

    def _by_rules(self, rules: Sequence[Manifest], attempt: Attempt, cluster: Cluster) -> Kind | None:
        about = [rule for rule in rules if _is_about(rule, attempt)]
        kinds = [attempt.kind]
        if about and not self.exact:
            # The same objects under another version, or another group's name.
            collection = attempt.kind.collection
            kinds += [kind for kind in cluster.kinds if kind.collection == collection and kind != attempt.kind]
        return next((kind for kind in kinds for rule in about if _names(rule, kind, attempt.subresource)), None)

    def _has_labels(self, attempt: Attempt, cluster: Cluster) -> bool:
        is_namespace = attempt.kind.collection == NAMESPACES
        if self.namespaces is not None and (attempt.namespace or is_namespace):
            labels = _labels(attempt.obj) if is_namespace and attempt.obj is not None else None
            if labels is None:
                found = cluster.find(NAMESPACES, attempt.namespace)
                labels = found.labels if found else NO_LABELS
            if not self.namespaces(labels):
                return False
        if self.objects is None:
            return True
        # The object before the write or after it: one that fits is enough.
        return any(each is not None and self.objects(_labels(each)) for each in (attempt.obj, attempt.old))


def _labels(obj: Manifest) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("labels") or NO_LABELS


def _is_about(rule: Manifest, attempt: Attempt) -> bool:
    if not {"*", attempt.operation} & set(rule.get("operations") or ()):
        return False
    scope, is_namespace = rule.get("scope") or "*", attempt.kind.collection == NAMESPACES
    has_namespace = bool(attempt.namespace) and not is_namespace
    if scope != "*" and has_namespace != (scope == "Namespaced"):
        return False
    names = rule.get("resourceNames") or ()
    return not names or attempt.name in names


def _names(rule: Manifest, kind: Kind, subresource: str) -> bool:
    if not {"*", kind.group} & set(rule.get("apiGroups") or ()):
        return False
    if not {"*", kind.version} & set(rule.get("apiVersions") or ()):
        return False
    for resource in rule.get("resources") or ():
        plural, _, part = resource.partition("/")
        if plural in {"*", kind.plural} and part in {"*", subresource}:
            return True
    return False


_DENY: Final = "Deny"


def kind_of_params(spec: Manifest, cluster: Cluster) -> Kind | None:
    """The kind of a policy's parameters, if it has any. Raises Unconfigured when nobody serves it."""
    wanted = spec.get("paramKind")
    if not wanted:
        return None
    group, _, version = str(wanted.get("apiVersion", "")).rpartition("/")
    for kind in cluster.kinds:
        if (kind.group, kind.version, kind.kind) == (group, version, wanted.get("kind")):
            return kind
    shown = f"{group}/{version}, Kind={wanted.get('kind')}"
    raise Unconfigured(f"failed to find resource referenced by paramKind: '{shown}'")


def params_of(kind: Kind | None, reference: Manifest | None, namespace: str, cluster: Cluster) -> list[Manifest | None]:
    """The parameters that a binding gives, to be asked about one by one. Raises Unconfigured."""
    if kind is None or not reference:
        return [None]
    given = str(reference.get("namespace") or "")
    if given and not kind.namespaced:
        raise Unconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    within = (given or namespace) if kind.namespaced else ""
    if kind.namespaced and not within:
        raise Unconfigured("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    collection = cluster.collection(kind)
    if reference.get("name"):
        records = [found] if (found := collection.get((within, reference["name"]))) else []
    else:
        is_chosen = of_label_selector(reference.get("selector") or {})
        records = [record for record in collection.within(within) if is_chosen(record.labels)]
    if not records and reference.get("parameterNotFoundAction") == _DENY:
        raise Unconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return [conversion.served(record.manifest(), kind) for record in records]
