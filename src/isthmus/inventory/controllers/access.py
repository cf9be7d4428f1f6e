"""A member's access to the hub, made and taken away: accounts, roles, and the Secrets that its tokens are bound to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from isthmus.api.access import ROLE_BINDINGS, ROLES
from isthmus.api.core import LEASES, SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import (
    CLUSTER_LABEL,
    EXPORTED_ENDPOINTS,
    EXPORTED_SERVICES,
    HUB_MANAGER,
    JOIN_PREFIX,
    JOIN_REQUESTS,
    MANAGED_BY,
    MARKER_LABEL,
    MEMBERS_NAMESPACE,
    SET_LABEL,
    TOKEN_LABEL,
    WORKS_SUFFIX,
    JoinRequestSpec,
)
from isthmus.api.meta import Object
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Conflict, Invalid, NotFound
from isthmus.inventory.rules import joining
from isthmus.kube.client import Client, ListOptions
from isthmus.kube.request import DeleteOptions, WriteOptions

T = TypeVar("T")

WRITE: Final = WriteOptions(manager=HUB_MANAGER, force=True)
# Only what they are called matters here, not the endpoints inside.
_EXPORTS: Final = tuple(
    Resource(kind.group, kind.version, kind.plural, kind.kind, Object)
    for kind in (EXPORTED_ENDPOINTS, EXPORTED_SERVICES)
)


class Taken(Invalid):
    """The accounts of that name are of another set, `owner`."""

    def __init__(self, cluster: str, owner: str) -> None:
        super().__init__(f"the name {cluster} is taken on this hub, in set {owner}: join under another")
        self.owner = owner


@dataclass(frozen=True)
class Rights:
    """Whose knowledge the roles are: of a member (its set, its id), and of a token (its name, for which member).

    `tunnel` is where consumers find the hub's tunnel; empty where it has none.
    """

    of_member: Callable[[str, str], tuple[Manifest, ...]]
    of_token: Callable[[str, str], tuple[Manifest, ...]]
    id_problem: Callable[[str], str]
    tunnel: str = ""


async def give(client: Client, request: JoinRequestSpec, rights: Rights) -> None:
    """The member's accounts and roles; safe to repeat. Raises Taken where an account is another set's.

    Accounts are created, never applied: of two sets that take one name at once, the second sees the first.
    """
    for account in joining.accounts(request.cluster, request.set):
        try:
            await client.create(SERVICE_ACCOUNTS, account, options=WRITE)
        except Conflict:
            name = account["metadata"]["name"]
            seen = await client.get(SERVICE_ACCOUNTS, name, namespace=MEMBERS_NAMESPACE)
            owner = (seen["metadata"].get("labels") or {}).get(SET_LABEL, request.set)
            if owner != request.set:
                raise Taken(request.cluster, owner) from None
    await grant(client, rights.of_member(request.set, request.cluster))


async def grant(client: Client, manifests: tuple[Manifest, ...]) -> None:
    """Roles first: a binding names one that is there."""
    for kind in (ROLES, ROLE_BINDINGS):
        for manifest in manifests:
            if manifest["kind"] == kind.kind:
                await client.apply(kind, manifest, options=WRITE)


async def anchored(client: Client, secret: Manifest) -> str:
    """The UID of that Secret, made if it is not there."""
    try:
        made = await client.create(SECRETS, secret, options=WRITE)
    except Conflict:
        made = await client.get(SECRETS, secret["metadata"]["name"], namespace=MEMBERS_NAMESPACE)
    return str(made["metadata"]["uid"])


async def take(client: Client, cluster: str, cluster_set: str, manifests: tuple[Manifest, ...]) -> None:
    """All of a member's access, tokens first: they are worthless as soon as the Secret is gone that they are bound to.

    `manifests` are its roles; without them it can write no export any more, so these follow. What a token that nobody
    has used yet may do stays. The accounts go last: whoever joins under that name, in another set, waits for them, and
    nothing of his is taken; and who dies on the way is reminded by them.
    """
    await drop_anchors(client, cluster)
    for kind in (ROLE_BINDINGS, ROLES):
        for manifest in manifests:
            if manifest["kind"] == kind.kind:
                await gone(client, kind, manifest["metadata"]["name"], manifest["metadata"]["namespace"])
    await drop_exports(client, cluster, cluster_set)
    for lease in (cluster, cluster + WORKS_SUFFIX):
        await gone(client, LEASES, lease, MEMBERS_NAMESPACE)
    for request in (await client.list(JOIN_REQUESTS, namespace=MEMBERS_NAMESPACE)).items:
        if request.status and request.status.credential and request.status.credential.account == cluster:
            # A token that has let it in could let it in again.
            await gone(client, SECRETS, request.metadata.name, MEMBERS_NAMESPACE)
            await gone(client, JOIN_REQUESTS, request.metadata.name, MEMBERS_NAMESPACE)
    for account in (cluster + WORKS_SUFFIX, cluster):
        await gone(client, SERVICE_ACCOUNTS, account, MEMBERS_NAMESPACE)


async def drop_exports(client: Client, cluster: str, cluster_set: str) -> None:
    """All that a cluster which is no member has exported to the set."""
    theirs = ListOptions(labels=f"{CLUSTER_LABEL}={cluster}")
    for kind in _EXPORTS:
        for item in (await client.list(kind, namespace=cluster_set, options=theirs)).items:
            await gone(client, kind, item.metadata.name, cluster_set)


async def drop_anchors(client: Client, cluster: str, *, but: str = "") -> None:
    """Delete the Secrets that the member's tokens are bound to, except the one of that name."""
    options = ListOptions(labels=f"{MARKER_LABEL}={MANAGED_BY},{CLUSTER_LABEL}={cluster}")
    for secret in (await client.list(SECRETS, namespace=MEMBERS_NAMESPACE, options=options)).items:
        name = secret["metadata"]["name"]
        token = (secret["metadata"].get("labels") or {}).get(TOKEN_LABEL, "")
        is_ticket = bool(token) and name == JOIN_PREFIX + token
        # Those of `isthmus install credential` have no token: an admin gave them, and takes them with the member.
        if not is_ticket and name != but and (token or not but):
            await gone(client, SECRETS, name, MEMBERS_NAMESPACE)


async def gone(client: Client, kind: Resource[T], name: str, namespace: str, *, uid: str = "") -> None:
    """Delete one object, if it is there."""
    try:
        await client.delete(kind, name, namespace=namespace, options=DeleteOptions(uid=uid))
    except NotFound:
        return
