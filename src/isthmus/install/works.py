"""What a member's admin lets the set's Works do there: the account they are to be applied by, and its bindings.

Nothing runs under that account yet. Without a choice it is not made: a stolen hub is no admin anywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.access import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS
from isthmus.api.core import NAMESPACES, SERVICE_ACCOUNTS
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL, SYSTEM_NAMESPACE
from isthmus.api.names import is_dns_label, is_dns_subdomain
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Invalid, NotFound
from isthmus.install.kinds import whole
from isthmus.install.workloads import MEMBER, installation, made
from isthmus.kube.client import Client, ListOptions

T = TypeVar("T")

WORKS: Final = "isthmus-works"
WORKS_LABEL: Final = "isthmus.dev/works"
# The ClusterProperty by which the hub's people see what was allowed; there is none where nothing was.
WORKS_PROPERTY: Final = "works.isthmus.dev"
# What the account may do in a namespace that is named: everything but roles and quotas.
_IN_NAMESPACE: Final = "edit"
_ROLE_PREFIX: Final = "clusterrole/"
_NONE: Final = "none"


@dataclass(frozen=True)
class Works:
    """The namespaces in which Works may be applied, or the ClusterRole that they get everywhere; or neither."""

    namespaces: tuple[str, ...] = ()
    role: str = ""

    def __str__(self) -> str:
        return f"{_ROLE_PREFIX}{self.role}" if self.role else ",".join(self.namespaces) or _NONE


def read_works(words: Iterable[str]) -> Works:
    """Out of `none`, namespaces, or `clusterrole/NAME`. Raises Invalid."""
    given = [part for word in words for part in word.split(",") if part]
    if given in ([], [_NONE]):
        return Works()
    roles = [word.removeprefix(_ROLE_PREFIX) for word in given if word.startswith(_ROLE_PREFIX)]
    if roles:
        if len(given) > 1 or not is_dns_subdomain(roles[0].replace(":", "-")):
            raise Invalid("--works takes none, or namespaces, or one clusterrole/NAME")
        return Works(role=roles[0])
    if wrong := [word for word in given if not is_dns_label(word) or word == _NONE]:
        raise Invalid(f"--works {wrong[0]}: not a namespace; write none, NAMESPACE ..., or clusterrole/NAME")
    return Works(tuple(dict.fromkeys(given)))


def works_manifests(works: Works) -> tuple[Manifest, ...]:
    """The account and its bindings; nothing, where nothing is allowed."""
    if not (works.role or works.namespaces):
        return ()
    account = made(SERVICE_ACCOUNTS, WORKS, SYSTEM_NAMESPACE, automountServiceAccountToken=False)
    if works.role:
        bindings = [_binding(CLUSTER_ROLE_BINDINGS, works.role, "")]
    else:
        bindings = [_binding(ROLE_BINDINGS, _IN_NAMESPACE, namespace) for namespace in works.namespaces]
    return installation(MEMBER, (account, *bindings))


def _binding(kind: Resource[Manifest], role: str, namespace: str) -> Manifest:
    binding = made(
        kind,
        WORKS,
        namespace,
        roleRef={"apiGroup": CLUSTER_ROLES.group, "kind": CLUSTER_ROLES.kind, "name": role},
        subjects=[{"kind": SERVICE_ACCOUNTS.kind, "name": WORKS, "namespace": SYSTEM_NAMESPACE}],
    )
    binding["metadata"]["labels"] = {WORKS_LABEL: "true"}
    return binding


async def demand_works(member: Client, works: Works) -> None:
    """Raises Invalid for a role or namespaces that are not there: a name that comes later may mean another thing."""
    missing = [f"namespace {each}" for each in works.namespaces if not await _is_there(member, whole(NAMESPACES), each)]
    if works.role and not await _is_there(member, CLUSTER_ROLES, works.role):
        missing.append(f"ClusterRole {works.role}")
    if missing:
        raise Invalid(f"{member.server} has no {', no '.join(missing)}: make it first, or leave it out of --works")


async def withdraw_works(member: Client, works: Works) -> None:
    """Take away what was allowed before, and is not now."""
    kept = {(each["kind"], each["metadata"].get("namespace", "")): each for each in works_manifests(works)}
    for kind in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
        for seen in (await member.list(kind, options=ListOptions(labels=f"{WORKS_LABEL}=true"))).items:
            namespace = seen["metadata"].get("namespace", "")
            wanted = kept.get((kind.kind, namespace))
            # To what a binding leads cannot be changed.
            if wanted is None or wanted["roleRef"] != seen["roleRef"]:
                await _delete(member, kind, WORKS, namespace)
    if not kept:
        await _delete(member, SERVICE_ACCOUNTS, WORKS, SYSTEM_NAMESPACE)
        await _delete(member, CLUSTER_PROPERTIES, WORKS_PROPERTY, "")


def works_property(works: Works) -> dict[str, str]:
    """What the cluster says of itself about it."""
    return {WORKS_PROPERTY: str(works)} if works.role or works.namespaces else {}


def property_manifest(name: str, value: str) -> Manifest:
    """A ClusterProperty that goes when the cluster leaves."""
    manifest = made(whole(CLUSTER_PROPERTIES), name, spec={"value": value})
    manifest["metadata"]["labels"] = {MARKER_LABEL: MANAGED_BY}
    return manifest


async def _is_there(member: Client, kind: Resource[Manifest], name: str) -> bool:
    try:
        await member.get(kind, name)
    except NotFound:
        return False
    return True


async def _delete(member: Client, kind: Resource[T], name: str, namespace: str) -> None:
    try:
        await member.delete(kind, name, namespace=namespace)
    except NotFound:
        return
