"""What an agent needs of its cluster, and does not install itself."""

from typing import TypeVar

from isthmus.api.about import CLUSTER_PROPERTIES, ClusterProperty
from isthmus.api.core import ENDPOINT_SLICES, MANAGED_BY_LABEL, NAMESPACES
from isthmus.api.isthmus import AGENT_MANAGER, MANAGED_BY, MARKER_LABEL, SYSTEM_NAMESPACE
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.mcs import SERVICE_NAME_LABEL as IMPORT_NAME_LABEL
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import IsthmusError, NotFound
from isthmus.kube.client import Client, ListOptions
from isthmus.mcs.controllers.kinds import served
from isthmus.mcs.rules.foreign import few, shown

T = TypeVar("T")
# What a person may type to go on beside another implementation.
BESIDE = "--beside-another"
# Those of the garbage collector, on what anybody deletes with care for what belongs to it.
KUBERNETES_FINALIZERS = frozenset({"foregroundDeletion", "orphan"})


async def missing(member: Client, *, beside: bool = False) -> str:
    """What has to be done before an agent can work there, in words; empty if nothing.

    Another implementation of multi-cluster services is a reason to wait too, unless we are to work `beside` it.
    """
    try:
        kinds = [f"{kind.plural}.{kind.group}" for kind in (SERVICE_EXPORTS,) if await served(member, kind) is None]
        kinds += [f"{kind.plural}.{kind.group}" for kind in (SERVICE_IMPORTS,) if await served(member, kind) is None]
        if await served_properties(member) is None:
            kinds.append(f"{CLUSTER_PROPERTIES.plural}.{CLUSTER_PROPERTIES.group}")
        problems = [f"install the CRDs of {', '.join(kinds)}"] if kinds else []
        try:
            await member.get(NAMESPACES, SYSTEM_NAMESPACE)
        except NotFound:
            problems.append(f"create namespace {SYSTEM_NAMESPACE}")
        if not problems and not beside and (found := await another(member)):
            problems.append(found)
    except IsthmusError as error:
        return str(error)
    return ", and ".join(problems)


async def served_properties(member: Client) -> Resource[ClusterProperty] | None:
    """ClusterProperty as the cluster serves it: v1beta1, else v1alpha1, which is the same (ABOUT-7)."""
    return await served(member, CLUSTER_PROPERTIES)


async def another(member: Client) -> str:
    """Which other implementation of multi-cluster services writes there, and what to do; empty if none does.

    Two of them would undo each other's work (design, part 3, rule 9). By what it leaves where the API is common to
    all: EndpointSlices of a ServiceImport that say that somebody else manages them (MCS-66), and ServiceImports and
    ServiceExports with a status or a finalizer that is not ours. What people make by hand has neither.
    """
    sliced = ListOptions(labels=f"{IMPORT_NAME_LABEL},{MANAGED_BY_LABEL},{MANAGED_BY_LABEL}!={MANAGED_BY}")
    slices = (await member.list(ENDPOINT_SLICES, options=sliced)).items
    names = {item.metadata.labels[MANAGED_BY_LABEL] for item in slices}
    names |= await _writers_of(member, SERVICE_IMPORTS) | await _writers_of(member, SERVICE_EXPORTS)
    if not names:
        return ""
    return (
        f"another implementation of multi-cluster services works here ({few(sorted(map(shown, names)))}): uninstall "
        "it, with the ServiceImports and EndpointSlices that it left, and make its ServiceExports anew, or start with "
        f"{BESIDE}"
    )


async def _writers_of(member: Client, wanted: Resource[T]) -> set[str]:
    """Who else keeps a status of such objects, or holds them by a finalizer, where we have not written."""
    if (kind := await served(member, wanted)) is None:
        return set()
    raw: Resource[Manifest] = Resource(kind.group, kind.version, kind.plural, kind.kind, dict)
    unmarked = ListOptions(labels=f"{MARKER_LABEL}!={MANAGED_BY}")
    try:
        items = (await member.list(raw, options=unmarked)).items
    except NotFound:
        # Definitions that come or go are listed a moment before, or after, there is anything behind them.
        return set()
    return {name for item in items for name in _writers(item)}


def _writers(item: Manifest) -> set[str]:
    metadata = item["metadata"]
    managers = {(each.get("manager", ""), each.get("subresource", "")) for each in metadata.get("managedFields", ())}
    if any(manager == AGENT_MANAGER for manager, _ in managers):
        return set()
    found = set(metadata.get("finalizers", ())) - KUBERNETES_FINALIZERS
    if status := item.get("status"):
        # Of an object that was made with nothing but a name, Kubernetes keeps no books.
        conditions = {f"who writes condition {each.get('type')}" for each in status.get("conditions") or ()}
        told = {manager for manager, subresource in managers if subresource == "status"}
        found |= told or conditions or {"unknown"}
    return found
