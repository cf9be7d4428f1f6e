"""Which kinds this server serves, and what sets each apart: the built-in table, and room for custom ones."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from isthmus.api.scheme import Manifest
from isthmus.apiserver.rules import Rules
from isthmus.apiserver.schema import Schema
from isthmus.apiserver.status import no_such_path

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
EVENTS_GROUP = "events.k8s.io"


@dataclass(frozen=True, slots=True)
class Column:
    """An additional printer column of a custom resource."""

    name: str
    type: str
    path: str
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a custom resource keeps what its scale subresource shows, as dotted paths."""

    replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    selector: str = "status.selector"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind in one version, as it is served.

    `collection` names where its objects are kept; the versions of a kind share it. `version` is that of the
    answers, `stored_version` that of the bytes.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    custom: bool = False
    list_kind: str = ""
    # Only kinds with a desired state count its generations.
    generation: bool = False
    create_on_update: bool = False
    returns_deleted: bool = False
    # A node tells its status when it registers; with others a new object's status is not the author's to write.
    status_from_author: bool = False
    stored_version: str = ""
    stored_schema: Schema | None = None
    schema: Schema | None = None
    # Bytes written before this revision were written under another schema.
    since: int = 0
    columns: tuple[Column, ...] = ()
    scale: Scale | None = None
    # Fields, beyond the name and namespace, that a custom resource lets field selectors ask for.
    selectable: tuple[str, ...] = ()
    warning: str = ""
    # Nothing in an embedded cluster acts on it: who makes one is told.
    inert: bool = False
    # The schema as its author wrote it, for those who ask what a field means.
    openapi: Manifest = field(default_factory=dict, compare=False)
    # What its schema's validation rules say, of custom kinds.
    rules: Rules | None = field(default=None, compare=False)

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def stored_api_version(self) -> str:
        """The `apiVersion` that newly written bytes carry."""
        version = self.stored_version or self.version
        return f"{self.group}/{version}" if self.group else version

    @property
    def inert_warning(self) -> str:
        """What is said to who makes one that nothing acts on."""
        return f"nothing acts on {self.kind} objects in an embedded cluster: this one is stored, and has no effect"

    @property
    def resource(self) -> str:
        """`pods`, `deployments.apps`: as error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def collection(self) -> str:
        """Where its objects are kept: Events of both groups are the same objects."""
        return "events" if self.group == EVENTS_GROUP else self.resource


def _core(kind: str, plural: str, *short: str, **more: object) -> Kind:
    return _kind("", "v1", kind, plural, *short, **more)


def _kind(group: str, version: str, kind: str, plural: str, *short: str, **more: object) -> Kind:
    facts: dict[str, object] = {"namespaced": True} | more
    return Kind(group, version, kind, plural, kind.lower(), short_names=short, **facts)  # type: ignore[arg-type]  # facts are the dataclass' own fields, checked when the table below is built


ALL = ("all",)
POD_SUBRESOURCES = ("attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "status")
WORKLOAD = {"subresources": ("scale", "status"), "generation": True}
REVIEW = {"verbs": ("create",), "namespaced": False}

BUILT_IN: tuple[Kind, ...] = (
    _core("ConfigMap", "configmaps", "cm"),
    _core("Endpoints", "endpoints", "ep", create_on_update=True, inert=True,
          warning="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
    _core("Event", "events", "ev", create_on_update=True),
    _core("Namespace", "namespaces", "ns", namespaced=False, subresources=("finalize", "status"),
          verbs=tuple(v for v in VERBS if v != "deletecollection"), returns_deleted=True),
    _core("Node", "nodes", "no", namespaced=False, subresources=("status",), status_from_author=True),
    _core("Pod", "pods", "po", categories=ALL, subresources=POD_SUBRESOURCES, generation=True,
          returns_deleted=True),
    _core("PodTemplate", "podtemplates", generation=True),
    _core("Secret", "secrets"),
    _core("Service", "services", "svc", categories=ALL, subresources=("status",), returns_deleted=True,
          create_on_update=True),
    _core("ServiceAccount", "serviceaccounts", "sa", subresources=("token",), returns_deleted=True),
    _kind("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies",
          namespaced=False, categories=("api-extensions",), subresources=("status",), generation=True),
    _kind("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding",
          "validatingadmissionpolicybindings", namespaced=False, categories=("api-extensions",),
          generation=True),
    _kind("apps", "v1", "ControllerRevision", "controllerrevisions"),
    _kind("apps", "v1", "DaemonSet", "daemonsets", "ds", categories=ALL, subresources=("status",),
          generation=True, inert=True),
    _kind("apps", "v1", "Deployment", "deployments", "deploy", categories=ALL, **WORKLOAD),
    _kind("apps", "v1", "ReplicaSet", "replicasets", "rs", categories=ALL, **WORKLOAD),
    _kind("apps", "v1", "StatefulSet", "statefulsets", "sts", categories=ALL, **WORKLOAD),
    _kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd", "crds",
          namespaced=False, categories=("api-extensions",), subresources=("status",), generation=True),
    _kind("coordination.k8s.io", "v1", "Lease", "leases", create_on_update=True),
    _kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", generation=True),
    _kind("events.k8s.io", "v1", "Event", "events", "ev", create_on_update=True),
    _kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", generation=True, inert=True),
    _kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False,
          create_on_update=True),
    _kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False,
          create_on_update=True),
    _kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", create_on_update=True),
    _kind("rbac.authorization.k8s.io", "v1", "Role", "roles", create_on_update=True),
    _kind("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", **REVIEW),
    _kind("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", **REVIEW),
    _kind("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews",
          verbs=("create",)),
    _kind("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", **REVIEW),
    _kind("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", **REVIEW),
    _kind("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", **REVIEW),
)  # fmt: skip


class Kinds:
    """All kinds served now, found by the path they are served under."""

    def __init__(self, built_in: Iterable[Kind]) -> None:
        self._by_path = {(kind.group, kind.version, kind.plural): kind for kind in built_in}
        self._built_in_groups = {kind.group for kind in self._by_path.values()}

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_path.values())

    def at(self, group: str, version: str, plural: str) -> Kind:
        """The kind served there. Raises NotFound."""
        found = self._by_path.get((group, version, plural))
        if found is None:
            raise no_such_path()
        return found

    def of_type(self, api_version: str, kind: str) -> Kind | None:
        """The kind that objects of this type belong to."""
        matching = (each for each in self if each.kind == kind and each.api_version == api_version)
        return next(matching, None)

    def keeping(self, collection: str) -> Kind | None:
        """One of the kinds whose objects are kept in `collection`, the stored version before others."""
        keepers = [each for each in self if each.collection == collection and "list" in each.verbs]
        return min(keepers, key=lambda each: (each.group == EVENTS_GROUP, bool(each.stored_version)), default=None)

    def is_built_in(self, group: str) -> bool:
        """Whether the group is Kubernetes' own: what it lacks is refused with a Status."""
        return group in self._built_in_groups

    def groups(self) -> dict[str, list[str]]:
        """Every group's versions, the preferred one first."""
        found: dict[str, list[str]] = {}
        for kind in self:
            versions = found.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        return {group: sorted(versions, key=by_maturity) for group, versions in sorted(found.items())}

    def replace(self, collection: str, kinds: Iterable[Kind]) -> None:
        """Serve `kinds`, and no others, for the custom objects in `collection`."""
        kept = {path: k for path, k in self._by_path.items() if not (k.custom and k.collection == collection)}
        self._by_path = kept | {(kind.group, kind.version, kind.plural): kind for kind in kinds}


def by_maturity(version: str) -> tuple[int, int, int, str]:
    """Sort key by which Kubernetes prefers versions: v2, v1, v2beta1, v1alpha1, then names."""
    found = re.fullmatch(r"v(?P<major>\d{1,9})((?P<stage>alpha|beta)(?P<minor>\d{1,9}))?", version)
    if found is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[found["stage"]]
    return (stage, -int(found["major"]), -int(found["minor"] or 0), version)
