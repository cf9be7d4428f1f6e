"""The kinds that an installation is made of, in the order in which they are made: each stands on the former."""

from typing import Final, TypeVar

from isthmus.api import core
from isthmus.api.access import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, POLICIES, POLICY_BINDINGS, ROLE_BINDINGS, ROLES
from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CRDS, NAMESPACES, SECRETS, SERVICES
from isthmus.api.isthmus import MEMBERS
from isthmus.api.scheme import Manifest, Resource

T = TypeVar("T")


def whole(kind: Resource[T]) -> Resource[Manifest]:
    """The kind as it passes through: with every field that it has."""
    return Resource(kind.group, kind.version, kind.plural, kind.kind, dict, kind.namespaced)


PRIORITY_CLASSES: Final[Resource[Manifest]] = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", dict, namespaced=False
)
DAEMON_SETS: Final[Resource[Manifest]] = Resource("apps", "v1", "daemonsets", "DaemonSet", dict)
DISRUPTION_BUDGETS: Final[Resource[Manifest]] = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", dict
)
NETWORK_POLICIES: Final[Resource[Manifest]] = Resource(
    "networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", dict
)

IN_ORDER: Final[tuple[Resource[Manifest], ...]] = (
    whole(NAMESPACES),
    CRDS,
    PRIORITY_CLASSES,
    core.SERVICE_ACCOUNTS,
    CLUSTER_ROLES,
    ROLES,
    CLUSTER_ROLE_BINDINGS,
    ROLE_BINDINGS,
    POLICIES,
    POLICY_BINDINGS,
    SECRETS,
    # Before what it guards.
    NETWORK_POLICIES,
    whole(SERVICES),
    DISRUPTION_BUDGETS,
    whole(DEPLOYMENTS),
    whole(MEMBERS),
)
BY_KIND: Final = {kind.kind: kind for kind in IN_ORDER}


def defines(manifest: Manifest, kind: Resource[T]) -> bool:
    """Whether the manifest is the definition of that kind."""
    return bool(manifest["kind"] == CRDS.kind and manifest["metadata"]["name"] == f"{kind.plural}.{kind.group}")


def versions_of(definition: Manifest) -> tuple[Resource[Manifest], ...]:
    """The kind that it defines, in each version that is to be served."""
    spec = definition["spec"]
    names, is_namespaced = spec["names"], spec["scope"] == "Namespaced"
    return tuple(
        Resource(spec["group"], each["name"], names["plural"], names["kind"], dict, is_namespaced)
        for each in spec["versions"]
        if each.get("served")
    )


def in_order(manifests: tuple[Manifest, ...]) -> tuple[Manifest, ...]:
    """The same manifests, as they have to be made one after the other."""
    places = {kind.kind: place for place, kind in enumerate(IN_ORDER)}
    return tuple(sorted(manifests, key=lambda manifest: places[manifest["kind"]]))
