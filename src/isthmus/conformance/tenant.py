"""An ordinary user in a check's namespace: a service account with a role there, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from isthmus.api.access import ROLE_BINDINGS, ROLES
from isthmus.api.core import SERVICE_ACCOUNTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.conformance.place import Place
from isthmus.conformance.witness import PREPARED
from isthmus.errors import Conflict
from isthmus.kube.client import Client
from isthmus.kube.tls import Material
from isthmus.kube.tokens import request_token

TENANT = "tenant"
REVIEWS: Resource[Manifest] = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", dict, namespaced=False
)


async def add_tenant(place: Place, role: str) -> str:
    """Make the account and bind it, in the namespace, to a ClusterRole; returns its user name."""
    await _account(place)
    binding = {
        "metadata": {"name": f"{TENANT}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": TENANT, "namespace": place.namespace}],
    }
    await place.put(ROLE_BINDINGS, binding)
    await holds(place, user_of(place), "list", "services")
    return user_of(place)


def user_of(place: Place) -> str:
    """The tenant's user name."""
    return f"system:serviceaccount:{place.namespace}:{TENANT}"


async def holds(place: Place, user: str, verb: str, resource: str, group: str = "") -> None:
    """Wait until a binding just made has its effect: an API server needs a moment, and till then refuses all."""
    what = f"{place.name}: {user} may {verb} {resource}"
    await place.witness.until(what, lambda: may(place, user, verb, group, resource), bool, PREPARED)


async def allow(place: Place, group: str, resource: str) -> None:
    """Let the tenant do everything in the namespace with the objects of one kind."""
    await _account(place)
    name = f"{TENANT}-{resource}"
    await place.put(
        ROLES,
        {"metadata": {"name": name}, "rules": [{"apiGroups": [group], "resources": [resource], "verbs": ["*"]}]},
    )
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": TENANT, "namespace": place.namespace}],
    }
    await place.put(ROLE_BINDINGS, binding)
    await holds(place, user_of(place), "create", resource, group)


async def _account(place: Place) -> None:
    try:
        await place.put(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": TENANT}})
    except Conflict:
        return


@asynccontextmanager
async def as_tenant(place: Place) -> AsyncIterator[Client]:
    """A client with the tenant's own token; raises APIError where the cluster gives out none."""
    issued = await request_token(place.client, TENANT, namespace=place.namespace, seconds=600)
    token = Material("the tenant's token", issued.token.encode())
    trust = replace(place.config.trust, certificate=None, key=None)
    async with Client(replace(place.config, trust=trust, token=token, headers=(), plugin=None)) as client:
        yield client


async def may(place: Place, user: str, verb: str, group: str, resource: str) -> bool:
    """Whether the cluster would let a user do this, in the check's namespace (SubjectAccessReview)."""
    kind, _, subresource = resource.partition("/")
    attributes = {"namespace": place.namespace, "verb": verb, "group": group, "resource": kind}
    if subresource:
        attributes["subresource"] = subresource
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{place.namespace}", "system:authenticated"]
    review = {
        "apiVersion": REVIEWS.api_version,
        "kind": REVIEWS.kind,
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    }
    answer = await place.client.create(REVIEWS, review)
    return bool(answer.get("status", {}).get("allowed"))
