"""What an agent needs of its cluster, and does not install itself."""

import dataclasses
from typing import cast

from isthmus.api.about import CLUSTER_PROPERTIES, ClusterProperty
from isthmus.api.core import NAMESPACES
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Resource
from isthmus.errors import IsthmusError, NotFound
from isthmus.kube.client import Client

MCS_KINDS = cast("tuple[Resource[object], ...]", (SERVICE_EXPORTS, SERVICE_IMPORTS))


async def missing(member: Client) -> str:
    """What has to be done before an agent can work there, in words; empty if nothing."""
    try:
        kinds = [f"{kind.plural}.{kind.group}" for kind in MCS_KINDS if not await member.serves(kind)]
        if await served_properties(member) is None:
            kinds.append(f"{CLUSTER_PROPERTIES.plural}.{CLUSTER_PROPERTIES.group}")
        problems = [f"install the CRDs of {', '.join(kinds)}"] if kinds else []
        try:
            await member.get(NAMESPACES, SYSTEM_NAMESPACE)
        except NotFound:
            problems.append(f"create namespace {SYSTEM_NAMESPACE}")
    except IsthmusError as error:
        return str(error)
    return ", and ".join(problems)


async def served_properties(member: Client) -> Resource[ClusterProperty] | None:
    """ClusterProperty as the cluster serves it: v1beta1, else v1alpha1, which is the same (ABOUT-7)."""
    for version in (CLUSTER_PROPERTIES.version, "v1alpha1"):
        kind = dataclasses.replace(CLUSTER_PROPERTIES, version=version)
        if await member.serves(kind):
            return kind
    return None
