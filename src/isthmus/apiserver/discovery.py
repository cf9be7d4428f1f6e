"""What this server serves, told to clients: groups, versions, resources, and the parameters they take."""

import base64
import hashlib
from collections.abc import Iterable

from isthmus.api.scheme import Manifest
from isthmus.apiserver.kinds import Kind, Kinds, by_maturity
from isthmus.apiserver.status import no_such_path

GIT_VERSION = "v1.36.3+isthmus"
VERSION: Manifest = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": GIT_VERSION,
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}
SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "binding": ("", "", "Binding", ("create",)),
    "portforward": ("", "", "PodPortForwardOptions", ("create", "get")),
    "exec": ("", "", "PodExecOptions", ("create", "get")),
    "attach": ("", "", "PodAttachOptions", ("create", "get")),
    "log": ("", "", "Pod", ("get",)),
    "finalize": ("", "", "Namespace", ("update",)),
}


# Kinds that the real server stores in another version than it serves.
STORED_ELSEWHERE = {
    "events.events.k8s.io": ("", "v1"),
    "customresourcedefinitions.apiextensions.k8s.io": ("apiextensions.k8s.io", "v1beta1"),
}


def core_versions() -> Manifest:
    """`/api`."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list(kinds: Kinds) -> Manifest:
    """`/apis`."""
    groups = [_group(name, versions) for name, versions in kinds.groups().items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(kinds: Kinds, name: str) -> Manifest:
    """`/apis/GROUP`. Raises NotFound."""
    versions = kinds.groups().get(name)
    if versions is None or not name:
        raise no_such_path()
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, versions)


def _group(name: str, versions: list[str]) -> Manifest:
    told = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": told, "preferredVersion": told[0]}


def resource_list(kinds: Kinds, group: str, version: str) -> Manifest:
    """`/api/v1` or `/apis/GROUP/VERSION`. Raises NotFound."""
    served = of_version(kinds, group, version)
    if not served:
        raise no_such_path()
    resources = sorted((each for kind in served for each in _resources(kind)), key=lambda each: str(each["name"]))
    api_version = f"{group}/{version}" if group else version
    # The oldest of these documents does not say its own version.
    own = {"apiVersion": "v1"} if group else {}
    return {"kind": "APIResourceList", **own, "groupVersion": api_version, "resources": resources}


def of_version(kinds: Iterable[Kind], group: str, version: str) -> list[Kind]:
    """The kinds of one group and version."""
    return [kind for kind in kinds if (kind.group, kind.version) == (group, version)]


def _resources(kind: Kind) -> Iterable[Manifest]:
    told: Manifest = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        told["shortNames"] = list(kind.short_names)
    if kind.categories:
        told["categories"] = list(kind.categories)
    if "list" in kind.verbs:
        told["storageVersionHash"] = _storage_version_hash(kind)
    yield told
    for subresource in kind.subresources:
        yield _subresource(kind, subresource)


def _storage_version_hash(kind: Kind) -> str:
    """What tells clients that the stored version changed; Kubernetes hashes its name."""
    group, stored = STORED_ELSEWHERE.get(kind.resource, (kind.group, kind.stored_version or kind.version))
    digest = hashlib.sha256(f"{group}/{stored}/{kind.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _subresource(kind: Kind, name: str) -> Manifest:
    group, version, answered, verbs = SUBRESOURCE_KINDS.get(name, ("", "", kind.kind, ("get", "patch", "update")))
    told: Manifest = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": answered,
        "verbs": list(verbs),
    }
    return told | ({"group": group, "version": version} if group else {})


def _aggregated_resource(kind: Kind) -> Manifest:
    told: Manifest = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        told["shortNames"] = list(kind.short_names)
    if kind.categories:
        told["categories"] = list(kind.categories)
    subresources = []
    for name in kind.subresources:
        group, version, answered, verbs = SUBRESOURCE_KINDS.get(name, ("", "", kind.kind, ("get", "patch", "update")))
        seen = {"group": group or kind.group, "version": version or kind.version, "kind": answered}
        subresources.append({"subresource": name, "responseKind": seen, "verbs": list(verbs)})
    return told | ({"subresources": subresources} if subresources else {})


def aggregated(kinds: Kinds, *, core: bool) -> Manifest:
    """All of discovery in one document (KEP-3352), for `/api` or `/apis`."""
    items = []
    for name, versions in kinds.groups().items():
        if core is not (name == ""):
            continue
        told = []
        for version in sorted(versions, key=by_maturity):
            resources = [_aggregated_resource(kind) for kind in of_version(kinds, name, version)]
            told.append({"version": version, "freshness": "Current", "resources": resources})
        items.append({"metadata": {"name": name} if name else {}, "versions": told})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }
