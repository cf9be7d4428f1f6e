"""Access for one consumer: an account in the member, and its token in one namespace on the hub.

Made only when a member's admin asks for it, with that admin's own rights (catalogue clusterprofile.md, 4.4, 4.5;
CRED-8, CRED-15). The hub's controller takes no part: it never holds a credential of a member.
"""

import base64
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import yaml

from isthmus.agent.needs import served_properties
from isthmus.api.about import CLUSTER_ID
from isthmus.api.access import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS
from isthmus.api.core import NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import CLUSTER_LABEL, MANAGED_BY, MARKER_LABEL, SYSTEM_NAMESPACE
from isthmus.api.names import is_dns_label
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Conflict, Invalid, NotFound
from isthmus.install.kinds import whole
from isthmus.install.manifests import MANAGER
from isthmus.install.workloads import INSTALLATION_LABEL, MEMBER, made
from isthmus.inventory.rules.profile import KUBECONFIG_KEY, TOKEN_KEY
from isthmus.kit.names import hashed
from isthmus.kube.client import Client, ListOptions, WriteOptions
from isthmus.kube.tokens import IssuedToken, bound_to, request_token

CONSUMER_LABEL: Final = "isthmus.dev/consumer"
EXPIRES_ANNOTATION: Final = "isthmus.dev/expires"
_OPTIONS: Final = WriteOptions(manager=MANAGER, force=True)
_MAX_NAME: Final = 63


@dataclass(frozen=True)
class Grant:
    """Which member is opened to the consumer of which namespace on the hub, as what, where, and for how long.

    Without `places` the role holds in the whole cluster, else in these namespaces of the member.
    """

    member: str
    namespace: str
    role: str = "view"
    places: tuple[str, ...] = ()
    seconds: int = 30 * 86_400

    def __post_init__(self) -> None:
        for what, name in (("member", self.member), ("namespace", self.namespace)):
            if not is_dns_label(name):
                raise Invalid(f"{what} {name!r} is not one DNS label of at most {_MAX_NAME} characters")

    @property
    def account(self) -> str:
        """The account in the member: one for each consumer."""
        name = f"consumer-{self.namespace}"
        return name if len(name) <= _MAX_NAME else hashed("consumer", self.namespace, limit=_MAX_NAME)


async def grant(member: Client, hub: Client, wanted: Grant) -> datetime:
    """Make the account, bind it, and hand its token to the consumer; until when that is good. Safe to repeat.

    Raises Invalid, before anything is written, if this is another member, the namespace or role is missing, or the
    Secret is somebody else's.
    """
    await _demand(member, hub, wanted)
    with suppress(Conflict):
        await member.create(NAMESPACES, made(whole(NAMESPACES), SYSTEM_NAMESPACE))
    await member.apply(SERVICE_ACCOUNTS, _account(wanted), options=_OPTIONS)
    for kind, binding in _bindings(wanted):
        await member.apply(kind, binding, options=_OPTIONS)
    anchor = await member.apply(SECRETS, _ours(SECRETS, wanted, type="Opaque"), options=_OPTIONS)
    bound = bound_to(SECRETS.kind, anchor["metadata"]["name"], anchor["metadata"]["uid"])
    token = await request_token(member, wanted.account, namespace=SYSTEM_NAMESPACE, seconds=wanted.seconds, bound=bound)
    await hub.apply(SECRETS, _handed(wanted, member.server, token), options=_OPTIONS)
    return token.expires


async def revoke(member: Client, hub: Client, wanted: Grant) -> int:
    """End it: the token first, which is worthless from then on; how many objects are gone."""
    count = 0
    mine = ListOptions(labels=f"{MARKER_LABEL}={MANAGED_BY},{CONSUMER_LABEL}={wanted.namespace}")
    for kind in (SECRETS, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, SERVICE_ACCOUNTS):
        for item in (await member.list(kind, options=mine)).items:
            with suppress(NotFound):
                await member.delete(kind, item["metadata"]["name"], namespace=item["metadata"].get("namespace", ""))
                count += 1
    if await _handed_before(hub, wanted) is not None:
        with suppress(NotFound):
            await hub.delete(SECRETS, wanted.member, namespace=wanted.namespace)
            count += 1
    return count


async def _demand(member: Client, hub: Client, wanted: Grant) -> None:
    await _demand_itself(member, wanted.member)
    try:
        await hub.get(NAMESPACES, wanted.namespace)
    except NotFound as missing:
        raise Invalid(
            f"{hub.server} has no namespace {wanted.namespace}: make the consumer's namespace on the hub first"
        ) from missing
    try:
        await member.get(CLUSTER_ROLES, wanted.role)
    except NotFound as missing:
        raise Invalid(f"{member.server} has no ClusterRole {wanted.role}: name another with --role") from missing
    await _handed_before(hub, wanted)


async def _demand_itself(member: Client, name: str) -> None:
    """Consumers send what they are handed as `name` to that member's API server: nobody else's token may go there."""
    own = ""
    if kind := await served_properties(member):
        with suppress(NotFound):
            spec = (await member.get(kind, CLUSTER_ID)).spec
            own = spec.value if spec is not None else ""
    if own == name:
        return
    says = f"is cluster {own}" if own else "does not say which member it is"
    raise Invalid(
        f"{member.server} {says} (ClusterProperty {CLUSTER_ID}), so a token of it is none for {name}: choose the "
        f"context of {name} with --context, or name the member that this is"
    )


async def _handed_before(hub: Client, wanted: Grant) -> Manifest | None:
    try:
        found = await hub.get(SECRETS, wanted.member, namespace=wanted.namespace)
    except NotFound:
        return None
    if (found["metadata"].get("labels") or {}).get(MARKER_LABEL) != MANAGED_BY:
        raise Invalid(
            f"Secret {wanted.namespace}/{wanted.member} on {hub.server} is not ours (label {MARKER_LABEL} is missing): "
            "delete it first, if nothing needs it"
        )
    return found


def _account(wanted: Grant) -> Manifest:
    return _ours(SERVICE_ACCOUNTS, wanted, automountServiceAccountToken=False)


def _bindings(wanted: Grant) -> list[tuple[Resource[Manifest], Manifest]]:
    role = {"apiGroup": CLUSTER_ROLES.group, "kind": CLUSTER_ROLES.kind, "name": wanted.role}
    subject = {"kind": SERVICE_ACCOUNTS.kind, "name": wanted.account, "namespace": SYSTEM_NAMESPACE}
    rest = {"roleRef": role, "subjects": [subject]}
    # A binding's role cannot be changed: another role is another binding.
    name = hashed("isthmus", wanted.account, wanted.role)
    if not wanted.places:
        return [(CLUSTER_ROLE_BINDINGS, _ours(CLUSTER_ROLE_BINDINGS, wanted, name, "", **rest))]
    return [(ROLE_BINDINGS, _ours(ROLE_BINDINGS, wanted, name, place, **rest)) for place in wanted.places]


def _ours(
    kind: Resource[Manifest], wanted: Grant, name: str = "", namespace: str = SYSTEM_NAMESPACE, **rest: object
) -> Manifest:
    manifest = made(kind, name or wanted.account, namespace, **rest)
    # Uninstalling the member takes its grants along.
    manifest["metadata"]["labels"] = {
        MARKER_LABEL: MANAGED_BY,
        INSTALLATION_LABEL: MEMBER,
        CONSUMER_LABEL: wanted.namespace,
    }
    return manifest


def _handed(wanted: Grant, server: str, issued: IssuedToken) -> Manifest:
    """The Secret as both of the SIG's plugins read it; server and authority come from the profile."""
    name = wanted.member
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": {"token": issued.token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    data = {TOKEN_KEY: issued.token, KUBECONFIG_KEY: yaml.safe_dump(document, sort_keys=False)}
    manifest = made(SECRETS, name, wanted.namespace, type="Opaque")
    manifest["metadata"] |= {
        "labels": {MARKER_LABEL: MANAGED_BY, CLUSTER_LABEL: name},
        "annotations": {EXPIRES_ANNOTATION: issued.expires.isoformat()},
    }
    return manifest | {"data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}}
