"""Roles and bindings: what is filled in, and the rules they have to keep."""

from collections.abc import Iterator, Mapping

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin.names import name_faults, path_segment_faults
from isthmus.apiserver.builtin.workloads import selector_faults
from isthmus.apiserver.causes import required, shown, unsupported, wrong
from isthmus.apiserver.schema import Cause

GROUP = "rbac.authorization.k8s.io"
ACCOUNT = "ServiceAccount"
SUBJECT_KINDS = (ACCOUNT, "User", "Group")
ROLE_KINDS: Mapping[str, tuple[str, ...]] = {
    "RoleBinding": ("Role", "ClusterRole"),
    "ClusterRoleBinding": ("ClusterRole",),
}


def fill_binding(binding: Manifest) -> None:
    """Users, groups and roles belong to this API's group unless the author says otherwise."""
    if not (binding.setdefault("roleRef", {})).get("apiGroup"):
        binding["roleRef"]["apiGroup"] = GROUP
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in {"User", "Group"} and not subject.get("apiGroup"):
            subject["apiGroup"] = GROUP


def role_faults(role: Manifest, old: Manifest | None) -> Iterator[Cause]:  # noqa: ARG001  # as all rules
    """Faults in a Role or ClusterRole."""
    for index, rule in enumerate(role.get("rules") or ()):
        yield from _rule_faults(rule, f"rules[{index}]", namespaced=role["kind"] == "Role")
    aggregation = role.get("aggregationRule")
    if aggregation is None:
        return
    path = "aggregationRule.clusterRoleSelectors"
    selectors = aggregation.get("clusterRoleSelectors") or ()
    if not selectors:
        yield required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(selectors):
        if faults := list(selector_faults(selector, f"{path}[{index}]")):
            yield from (*faults, wrong(f"{path}[{index}]", None, "invalid label selector."))


def _rule_faults(rule: Manifest, path: str, *, namespaced: bool) -> Iterator[Cause]:
    if not rule.get("verbs"):
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    if urls := rule.get("nonResourceURLs"):
        where = f"{path}.nonResourceURLs"
        if namespaced:
            yield wrong(where, urls, "namespaced rules cannot apply to non-resource URLs")
        if any(rule.get(part) for part in ("apiGroups", "resources", "resourceNames")):
            yield wrong(where, urls, "rules cannot apply to both regular resources and non-resource URLs")
        return
    if not rule.get("apiGroups"):
        yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield required(f"{path}.resources", "resource rules must supply at least one resource")


def binding_faults(binding: Manifest, old: Manifest | None) -> Iterator[Cause]:
    """Faults in a RoleBinding or ClusterRoleBinding."""
    role = binding.get("roleRef") or {}
    if role.get("apiGroup") != GROUP:
        yield unsupported("roleRef.apiGroup", role.get("apiGroup", ""), [GROUP])
    kinds = ROLE_KINDS[binding["kind"]]
    if role.get("kind") not in kinds:
        yield unsupported("roleRef.kind", role.get("kind", ""), kinds)
    if not role.get("name"):
        yield required("roleRef.name")
    else:
        yield from (wrong("roleRef.name", role["name"], fault) for fault in path_segment_faults(role["name"]))
    for index, subject in enumerate(binding.get("subjects") or ()):
        yield from _subject_faults(subject, f"subjects[{index}]", namespaced=binding["kind"] == "RoleBinding")
    if old is not None and old.get("roleRef") != role:
        told = ",".join(f"{name}:{shown(role.get(key, ''))}" for key, name in ROLE_FIELDS.items())
        yield Cause("roleRef", "FieldValueInvalid", f"Invalid value: {{{told}}}: cannot change roleRef")


# As Go's internal type spells them.
ROLE_FIELDS = {"apiGroup": '"APIGroup"', "kind": '"Kind"', "name": '"Name"'}


def _subject_faults(subject: Manifest, path: str, *, namespaced: bool) -> Iterator[Cause]:
    kind, name, group = subject.get("kind", ""), subject.get("name", ""), subject.get("apiGroup", "")
    if not name:
        yield required(f"{path}.name")
    if kind not in SUBJECT_KINDS:
        yield unsupported(f"{path}.kind", kind, SUBJECT_KINDS)
    elif kind != ACCOUNT:
        if group != GROUP:
            yield unsupported(f"{path}.apiGroup", group, [GROUP])
    else:
        yield from (wrong(f"{path}.name", name, fault) for fault in (name_faults(name) if name else ()))
        if group:
            yield unsupported(f"{path}.apiGroup", group, [""])
        if not namespaced and not subject.get("namespace"):
            yield required(f"{path}.namespace")
