"""What an agent needs of its cluster, and does not install itself."""

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

# What a person may type to go on beside another implementation.
BESIDE = "--beside-another"


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
    all: EndpointSlices of a ServiceImport that say that somebody else manages them (MCS-66), and ServiceImports
    with a status that we have not written. What people make by hand has neither.
    """
    sliced = ListOptions(labels=f"{IMPORT_NAME_LABEL},{MANAGED_BY_LABEL},{MANAGED_BY_LABEL}!={MANAGED_BY}")
    slices = (await member.list(ENDPOINT_SLICES, options=sliced)).items
    names = {item.metadata.labels[MANAGED_BY_LABEL] for item in slices} | await _writers_of_imports(member)
    if not names:
        return ""
    return (
        f"another implementation of multi-cluster services works here ({few(sorted(map(shown, names)))}): uninstall "
        f"it, with the ServiceImports and EndpointSlices that it left, or start with {BESIDE}"
    )


async def _writers_of_imports(member: Client) -> set[str]:
    if (kind := await served(member, SERVICE_IMPORTS)) is None:
        return set()
    raw: Resource[Manifest] = Resource(kind.group, kind.version, kind.plural, kind.kind, dict)
    unmarked = ListOptions(labels=f"{MARKER_LABEL}!={MANAGED_BY}")
    found: set[str] = set()
    try:
        items = (await member.list(raw, options=unmarked)).items
    except NotFound:
        # Definitions that come or go are listed a moment before, or after, there is anything behind them.
        return set()
    for item in items:
        managers = {
            (each.get("manager", ""), each.get("subresource", "")) for each in item["metadata"].get("managedFields", ())
        }
        if item.get("status") and not any(manager == AGENT_MANAGER for manager, _ in managers):
            found |= {manager for manager, subresource in managers if subresource == "status"} or {"unknown"}
    return found
