"""What Isthmus could have left on a cluster, by name."""

import asyncio
import re
from collections.abc import Sequence

import msgspec

from isthmus.errors import NotFound
from isthmus.kube.client import Client

# What every cluster has, whoever uses it.
_ALWAYS = re.compile(r"kube-|system:|-node$|/(default|kubernetes|cluster-admin|admin|edit|view)$|/kubernetes-")
_RBAC, _ADMISSION = "apis/rbac.authorization.k8s.io/v1", "apis/admissionregistration.k8s.io/v1"
HUB_KINDS = (
    *("apis/isthmus.dev/v1alpha1/" + kind for kind in ("joinrequests", "members", "exportedservices")),
    "apis/multicluster.x-k8s.io/v1alpha1/clusterprofiles",
)
KINDS = (
    *("api/v1/" + kind for kind in ("serviceaccounts", "secrets", "configmaps", "services")),
    *(f"{_RBAC}/{kind}" for kind in ("roles", "rolebindings")),
    *("apis/discovery.k8s.io/v1/endpointslices", "apis/apps/v1/deployments", "apis/coordination.k8s.io/v1/leases"),
)
MEMBER_KINDS = (
    *("api/v1/namespaces", f"{_RBAC}/clusterroles", f"{_RBAC}/clusterrolebindings"),
    *(f"{_ADMISSION}/validatingadmissionpolicies", f"{_ADMISSION}/validatingadmissionpolicybindings"),
    *("apis/apiextensions.k8s.io/v1/customresourcedefinitions", "apis/scheduling.k8s.io/v1/priorityclasses"),
    *("apis/about.k8s.io/v1beta1/clusterproperties", "apis/multicluster.x-k8s.io/v1beta1/serviceimports"),
)


async def listed(client: Client, paths: Sequence[str]) -> set[str]:
    """The names of all objects at these paths that were not there from the beginning."""

    async def of(path: str) -> set[str]:
        try:
            items = msgspec.json.decode(await client.raw("GET", f"/{path}"))["items"]
        except NotFound:
            return set()
        places = ((item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in items)
        return {"/".join(filter(None, (path.rpartition("/")[2], *place))) for place in places}

    found = set().union(*await asyncio.gather(*map(of, paths)))
    return {name for name in found if not _ALWAYS.search(name)}


async def on_member(client: Client) -> set[str]:
    """All that Isthmus could have left on a member."""
    return await listed(client, (*KINDS, *MEMBER_KINDS))


async def on_hub(client: Client) -> set[str]:
    """All that a member could have left on its hub."""
    return await listed(client, (*KINDS, *HUB_KINDS))
