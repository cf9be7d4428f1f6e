"""What admins do on a hub about who is in its sets: hand out tokens, approve, deny, remove."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from isthmus.about.rules.identity import registered_id_problem, set_problem
from isthmus.api.access import ROLE_BINDINGS, ROLES
from isthmus.api.core import CONFIG_MAPS, LEASES, NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import (
    APPROVED,
    CLUSTER_LABEL,
    DENIED,
    JOIN_PREFIX,
    JOIN_REQUESTS,
    MANAGED_BY,
    MARKER_LABEL,
    MEMBERS,
    MEMBERS_NAMESPACE,
    PENDING,
    SET_LABEL,
    SILENT,
    TOKEN_LABEL,
    JoinRequest,
    Member,
)
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict, Invalid, NotFound
from isthmus.install.credential import note_audiences
from isthmus.install.manifests import MANAGER, apply
from isthmus.install.rights import Right, demand_rights
from isthmus.install.roles import join_access, member_access
from isthmus.inventory.controllers.access import gone, take
from isthmus.inventory.controllers.joining import FAREWELL, has_left
from isthmus.inventory.rules.joining import JoinToken, Ticket, moment, ticket, ticket_secret
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, ListOptions, WriteOptions
from isthmus.kube.config import Config
from isthmus.kube.tokens import request_token

Say = Callable[[str], None]

# Kubernetes gives out no token for less; the Secret of one that is to end earlier is deleted then.
_SHORTEST: Final = 600
LONGEST: Final = timedelta(days=7)
_ID_BYTES: Final = 5
# What it takes to make a token.
_TO_MAKE: Final[tuple[Right, ...]] = (
    ("get", "", NAMESPACES.plural, ""),
    ("create", "", SECRETS.plural, MEMBERS_NAMESPACE),
    ("create", "", f"{SERVICE_ACCOUNTS.plural}/token", MEMBERS_NAMESPACE),
    *(
        (verb, kind.group, kind.plural, MEMBERS_NAMESPACE)
        for kind in (SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS, CONFIG_MAPS)
        for verb in ("create", "patch")
    ),
)
_WRITE: Final = WriteOptions(manager=MANAGER, force=True)
_LOOK: Final = 0.2
_TRIES: Final = 5


@dataclass(frozen=True)
class Wanted:
    """A token that is to be made: for which set, which cluster (empty: any, an admin approves), for how long.

    `server` is the hub's address for the cluster (empty: that of the context); `pod_ranges` are approved with it.
    Raises Invalid for what cannot be.
    """

    cluster_set: str
    ttl: timedelta
    cluster: str = ""
    server: str = ""
    pod_ranges: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problem = set_problem(self.cluster_set) or (registered_id_problem(self.cluster) if self.cluster else "")
        if not problem and not timedelta() < self.ttl <= LONGEST:
            problem = f"a join token is good for at most {LONGEST.days} days (--ttl): it is used once, soon"
        if not problem and self.server and not self.server.startswith("https://"):
            problem = f"the hub's address {self.server!r} does not begin with https:// (--server)"
        if problem:
            raise Invalid(problem)


async def create_token(
    client: Client,
    config: Config,
    *,
    cluster_set: str,
    cluster: str = "",
    ttl: timedelta,
    server: str = "",
) -> JoinToken:
    """A new join token; see `make_token`."""
    return await make_token(client, config, Wanted(cluster_set, ttl, cluster, server))


async def make_token(client: Client, config: Config, wanted: Wanted, *, clock: Clock = SYSTEM) -> JoinToken:
    """A new join token, and on the hub what it stands on: a Secret, and an account that may ask, both its own.

    Deleting the Secret ends it. Raises Invalid where there is no such set, or no way to trust the hub.
    """
    if config.trust.insecure:
        raise Invalid(
            f"context {config.context} does not check the hub's certificate, and a token must name its authority: "
            "set certificate-authority in the kubeconfig"
        )
    await demand_rights(client, (), _TO_MAKE)
    await _demand_set(client, wanted.cluster_set)
    token_id = secrets.token_hex(_ID_BYTES)
    name = JOIN_PREFIX + token_id
    expires = (clock.now() + wanted.ttl).replace(microsecond=0)
    of = Ticket(wanted.cluster_set, wanted.cluster, expires, wanted.pod_ranges)
    secret = await client.create(SECRETS, ticket_secret(token_id, of), options=_WRITE)
    owner = {"apiVersion": "v1", "kind": SECRETS.kind, "name": name, "uid": secret["metadata"]["uid"]}
    labels = {MARKER_LABEL: MANAGED_BY, TOKEN_LABEL: token_id, SET_LABEL: wanted.cluster_set}
    account: Manifest = {
        "apiVersion": SERVICE_ACCOUNTS.api_version,
        "kind": SERVICE_ACCOUNTS.kind,
        "metadata": {"name": name, "namespace": MEMBERS_NAMESPACE, "labels": labels},
        "automountServiceAccountToken": False,
    }
    belongings = (account, *join_access(name))
    await apply(client, [_owned(manifest, owner) for manifest in belongings])
    seconds = max(_SHORTEST, int(wanted.ttl.total_seconds()))
    issued = await request_token(client, name, namespace=MEMBERS_NAMESPACE, seconds=seconds, bound=owner)
    await note_audiences(client, issued)
    authority = config.trust.authority.read().decode() if config.trust.authority else ""
    server = wanted.server or config.server
    return JoinToken(
        server, authority, config.proxy, wanted.cluster_set, token_id, wanted.cluster, expires, bearer=issued.token
    )


async def _demand_set(client: Client, cluster_set: str) -> None:
    try:
        seen = await client.get(NAMESPACES, cluster_set)
    except NotFound:
        seen = None
    if seen is None or seen.metadata.labels.get(SET_LABEL) != cluster_set:
        there = ", ".join(await sets_of(client)) or f"none. Type: isthmus install hub --set {cluster_set}"
        raise Invalid(f"{client.server} is no hub of set {cluster_set}; its sets: {there}")


async def sets_of(client: Client) -> list[str]:
    """The sets that a hub serves."""
    listed = await client.list(NAMESPACES, options=ListOptions(labels=SET_LABEL))
    return sorted(item.metadata.name for item in listed.items)


def _owned(manifest: Manifest, owner: Manifest) -> Manifest:
    return manifest | {"metadata": manifest["metadata"] | {"ownerReferences": [owner]}}


async def tokens(client: Client, cluster_set: str = "") -> list[Manifest]:
    """All tokens that have not ended, and all requests of the last day, with what became of them."""
    requests = {item.metadata.name: item for item in (await _requests(client))}
    listed = await client.list(SECRETS, namespace=MEMBERS_NAMESPACE, options=ListOptions(labels=TOKEN_LABEL))
    tickets = {
        secret["metadata"]["name"]: ticket(secret)
        for secret in listed.items
        if secret["metadata"]["name"] == JOIN_PREFIX + secret["metadata"]["labels"][TOKEN_LABEL]
    }
    found = [_shown(name, tickets.get(name), requests.get(name)) for name in sorted({*tickets, *requests})]
    return [item for item in found if cluster_set in {"", item["set"]}]


def _shown(name: str, of: Ticket | None, request: JoinRequest | None) -> Manifest:
    spec = request.spec if request is not None else None
    status = request.status if request is not None else None
    return {
        "id": name.removeprefix(JOIN_PREFIX),
        "set": of.set if of is not None else (spec.set if spec is not None else ""),
        "cluster": of.cluster if of is not None and of.cluster else (spec.cluster if spec is not None else ""),
        "expires": moment(of.expires) if of is not None else "",
        "phase": (status.phase if status is not None else PENDING) if request is not None else "Unused",
        "reason": status.reason if status is not None else "",
        "uid": spec.uid if spec is not None else "",
    }


async def revoke(client: Client, token: str) -> None:
    """End a token at once. Raises Invalid if there is none."""
    name = JOIN_PREFIX + token.removeprefix(JOIN_PREFIX)
    try:
        await client.delete(SECRETS, name, namespace=MEMBERS_NAMESPACE)
    except NotFound as missing:
        raise Invalid(f"there is no join token {token} any more. Type: isthmus token list") from missing


async def approve(client: Client, name: str) -> JoinRequest:
    """Let the cluster in that asks under this name, or by the request of this name; the request. Raises Invalid."""
    return await _answer(client, name, APPROVED, "an admin approved it")


async def deny(client: Client, name: str, reason: str = "") -> JoinRequest:
    """Refuse it, for good. Raises Invalid."""
    said = f"an admin refused it: {reason}" if reason else "an admin refused it"
    return await _answer(client, name, DENIED, said)


async def _answer(client: Client, name: str, phase: str, reason: str) -> JoinRequest:
    for _ in range(_TRIES):
        request = _waiting(await _requests(client), name)
        version = request.metadata.resource_version
        patch = {"metadata": {"resourceVersion": version}, "status": {"phase": phase, "reason": reason}}
        try:
            return await client.merge_patch(
                JOIN_REQUESTS, request.metadata.name, patch, namespace=MEMBERS_NAMESPACE, subresource="status"
            )
        except Conflict:
            continue
    raise Invalid(f"the request of {name} changes all the time. Type: isthmus token list")


def _waiting(requests: list[JoinRequest], name: str) -> JoinRequest:
    """The one request that waits, of this cluster or of this name."""
    asked = [item for item in requests if item.spec and name in {item.spec.cluster, item.metadata.name}]
    waiting = [item for item in asked if item.status is None or item.status.phase in {"", PENDING}]
    if len(waiting) == 1:
        return waiting[0]
    if waiting:
        each = "; ".join(f"{item.metadata.name} (kube-system UID {item.spec.uid})" for item in waiting if item.spec)
        raise Invalid(f"several clusters ask for the name {name}: name the request instead of the cluster: {each}")
    if asked:
        status = asked[-1].status
        phase = status.phase if status is not None else PENDING
        raise Invalid(f"{name} is {phase} already" + (f": {status.reason}" if status is not None else ""))
    raise Invalid(f"no cluster asks to join as {name}. Type: isthmus token list")


async def _requests(client: Client) -> list[JoinRequest]:
    return list((await client.list(JOIN_REQUESTS, namespace=MEMBERS_NAMESPACE)).items)


async def remove(client: Client, name: str, *, force: bool = False, say: Say, clock: Clock = SYSTEM) -> None:
    """Take a cluster out of its set, and everything of it off the hub.

    First its record goes, which its agent takes as the sign to take back what it made; with that said, or at once
    with `force`, go its accounts, tokens and roles. Raises Invalid if there is no such member, or if it is silent and
    not to be forced. Safe to repeat.
    """
    member = await _member(client, name)
    cluster_set = member.metadata.namespace if member is not None else await _set_of_account(client, name)
    if not cluster_set:
        raise Invalid(f"{client.server} knows no member {name}. Type: isthmus clusters")
    by_hand = "isthmus install uninstall member"
    goes_by = f"{'isthmus leave' if await _has_joined(client, name) else by_hand} --context {name}"
    if member is not None:
        if not force and member.spec is not None and member.spec.health.state == SILENT:
            raise Invalid(
                f"{name} is silent ({member.spec.health.reason}), and cannot take back what it imported. "
                f"If it is gone for good: isthmus remove {name} --force"
            )
        await gone(client, MEMBERS, name, cluster_set, uid=member.metadata.uid)
        say(f"{name} is no member of set {cluster_set} any more")
    if not force:
        await _wait_left(client, name, say, clock)
    await take(client, name, cluster_set, member_access(cluster_set, name))
    say("its tokens are worthless; its exports, accounts and roles are gone from the hub")
    say(f"agent, DNS server, roles and definitions on {name} itself stay, until its admin types: {goes_by}")


async def _wait_left(client: Client, name: str, say: Say, clock: Clock) -> None:
    end = clock.monotonic() + FAREWELL
    if not await _has_lease(client, name):
        return
    say(f"waiting for {name} to take back what it imported")
    # The hub's controller hears it too, and then takes the Lease and all.
    while not await has_left(client, name) and await _has_lease(client, name):
        if clock.monotonic() > end:
            say(f"{name} did not say that it had taken everything back. Look there: isthmus leave --context {name}")
            return
        await clock.sleep(_LOOK)
    say(f"{name} has taken everything back")


async def _has_lease(client: Client, name: str) -> bool:
    try:
        await client.get(LEASES, name, namespace=MEMBERS_NAMESPACE)
    except NotFound:
        return False
    return True


async def _member(client: Client, name: str) -> Member | None:
    found = [item for item in (await client.list(MEMBERS)).items if item.metadata.name == name]
    return found[0] if found else None


async def _set_of_account(client: Client, name: str) -> str:
    """The set of a member whose record is gone already: somebody began to remove it."""
    return str((await _account_labels(client, name)).get(SET_LABEL, ""))


async def _has_joined(client: Client, name: str) -> bool:
    """Whether a token let it in; else an admin put it up by hand."""
    return CLUSTER_LABEL in await _account_labels(client, name)


async def _account_labels(client: Client, name: str) -> Manifest:
    try:
        account = await client.get(SERVICE_ACCOUNTS, name, namespace=MEMBERS_NAMESPACE)
    except NotFound:
        return {}
    return account["metadata"].get("labels") or {}
