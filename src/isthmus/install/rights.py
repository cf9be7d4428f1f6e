"""Whether whoever installs may do all that it takes, asked before anything is written.

Kubernetes, "Authorization", SelfSubjectAccessReview; "Using RBAC Authorization", privilege escalation prevention.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from isthmus.api.access import CLUSTER_ROLES, ROLES
from isthmus.api.core import CRDS, ENDPOINT_SLICES
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Invalid
from isthmus.install.kinds import BY_KIND, defines
from isthmus.kube.client import Client

_REVIEWS: Final[Resource[Manifest]] = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", dict, namespaced=False
)
_TO_APPLY: Final = ("get", "create", "patch")
_TO_MIGRATE: Final = ("list", "update")
_ANYTHING: Final = ("*", "*", "*", "")
# Questions asked at a time.
_SIDE_BY_SIDE: Final = 8

# Verb, group, resource (or resource/subresource), namespace.
Right = tuple[str, str, str, str]


def rights_for(manifests: Iterable[Manifest]) -> list[Right]:
    """What applying these takes."""
    found: dict[Right, None] = {}
    for manifest in manifests:
        kind = BY_KIND[manifest["kind"]]
        namespace = manifest["metadata"].get("namespace", "")
        verbs: tuple[str, ...] = _TO_APPLY
        if kind in {CLUSTER_ROLES, ROLES}:
            # Who hands out rights that are not his own needs these two.
            verbs = (*_TO_APPLY, "escalate", "bind")
        if kind == CRDS:
            verbs = ("get", "create", "update")
            found[("patch", CRDS.group, f"{CRDS.plural}/status", "")] = None
            # Objects are stored anew where an older version of the definition may still be in use.
            spec = manifest["spec"]
            found.update(dict.fromkeys((verb, spec["group"], spec["names"]["plural"], "") for verb in _TO_MIGRATE))
        if defines(manifest, SERVICE_IMPORTS):
            # Whether another implementation is at work shows in these.
            found[("list", ENDPOINT_SLICES.group, ENDPOINT_SLICES.plural, "")] = None
            found[("list", SERVICE_EXPORTS.group, SERVICE_EXPORTS.plural, "")] = None
        found.update(dict.fromkeys((verb, kind.group, kind.plural, namespace) for verb in verbs))
    return list(found)


async def demand_rights(client: Client, manifests: Iterable[Manifest], also: Iterable[Right] = ()) -> None:
    """Raises Invalid that names every right that is missing: for applying the manifests, and of those in `also`."""
    if await _has(client, _ANYTHING):
        return
    rights = list(dict.fromkeys((*rights_for(manifests), *also)))
    places = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def ask(right: Right) -> bool:
        async with places:
            return await _has(client, right)

    async with asyncio.TaskGroup() as tasks:
        asked = {right: tasks.create_task(ask(right), name="right") for right in rights}
    missing = [said(right) for right, task in asked.items() if not task.result()]
    if missing:
        raise Invalid(
            f"{client.server}: these rights are missing, nothing was written: {'; '.join(missing)}. "
            "Use a context of a cluster admin (--context), or have one grant them"
        )


async def _has(client: Client, right: Right) -> bool:
    verb, group, resource, namespace = right
    plural, _, subresource = resource.partition("/")
    given = {"verb": verb, "group": group, "resource": plural, "subresource": subresource, "namespace": namespace}
    attributes = {key: value for key, value in given.items() if value}
    review = {
        "apiVersion": _REVIEWS.api_version,
        "kind": _REVIEWS.kind,
        "spec": {"resourceAttributes": attributes},
    }
    answer = await client.create(_REVIEWS, review)
    return bool(answer.get("status", {}).get("allowed"))


def said(right: Right) -> str:
    """A right in the words of `kubectl auth can-i`."""
    verb, group, resource, namespace = right
    name = f"{resource}.{group}" if group else resource
    return f"{verb} {name}" + (f" in {namespace}" if namespace else "")
