"""Who may do what by RBAC: members on their hub, the hub's controller, and on members the agent, DNS and people.

Design, part 2; catalogue `mcs.md` section 8, `about.md` section 5. Every role has just what its process uses.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from isthmus.api.about import CLUSTER_ID, CLUSTER_SET
from isthmus.api.access import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL, MEMBERS_NAMESPACE, SYSTEM_NAMESPACE, WORKS_SUFFIX
from isthmus.api.scheme import Manifest, Resource

# Who a member's agent is at its hub: one of these and the member's id. The first by a client certificate, the
# second by a token of its service account.
MEMBER_USER_PREFIX: Final = "isthmus:member:"
MEMBER_ACCOUNT_PREFIX: Final = f"system:serviceaccount:{MEMBERS_NAMESPACE}:"
HUB_USER: Final = f"system:serviceaccount:{SYSTEM_NAMESPACE}:isthmus-hub"
TUNNEL_USER: Final = f"system:serviceaccount:{SYSTEM_NAMESPACE}:isthmus-tunnel"
AGENT_USER: Final = f"system:serviceaccount:{SYSTEM_NAMESPACE}:isthmus-agent"
DNS_USER: Final = f"system:serviceaccount:{SYSTEM_NAMESPACE}:isthmus-dns"

# A member's Secret with what its agent is at the hub.
HUB_SECRET: Final = "isthmus-hub"  # noqa: S105  # its name

READ: Final = ("get", "list", "watch")
WRITE: Final = ("create", "update", "patch", "delete")
STATUS: Final = ("get", "update", "patch")

_OURS: Final = "isthmus.dev"
_MCS: Final = "multicluster.x-k8s.io"
_ABOUT: Final = "about.k8s.io"
_LEASES: Final = "coordination.k8s.io"
_SLICES: Final = "discovery.k8s.io"


def member_user(member: str) -> str:
    """The user name of a member's agent at the hub, where it comes with a client certificate."""
    return f"{MEMBER_USER_PREFIX}{member}"


def member_access(cluster_set: str, member: str) -> tuple[Manifest, ...]:
    """On the hub, one member's rights: to read its set, to write exports and its own status, to give signs of life.

    It may renew its token, and leave. That the exports it writes are its own is held by a policy: RBAC knows no name
    prefixes. The account for Works may give signs of life, and nothing else.
    """
    name = f"isthmus-member-{member}"
    works = member + WORKS_SUFFIX
    in_set = (
        _rule(_OURS, ("members", "exportedservices", "exportedendpoints", "exportgrants"), READ),
        _rule(_OURS, ("exportedservices", "exportedendpoints"), WRITE),
        _rule(_OURS, ("members/status",), STATUS, names=(member,)),
        _rule(_OURS, ("members",), ("delete",), names=(member,)),
    )
    own = (*_lease(member), _rule("", ("serviceaccounts/token",), ("create",), names=(member,)))
    users = (member_user(member), f"{MEMBER_ACCOUNT_PREFIX}{member}")
    return (
        *_granted(name, in_set, users, cluster_set),
        *_granted(name, own, users, MEMBERS_NAMESPACE),
        *_granted(f"isthmus-member-{works}", _lease(works), (f"{MEMBER_ACCOUNT_PREFIX}{works}",), MEMBERS_NAMESPACE),
    )


def _lease(name: str) -> tuple[Manifest, ...]:
    return (
        _rule(_LEASES, ("leases",), ("get", "update", "patch"), names=(name,)),
        # Creating cannot be limited by name: a policy does it.
        _rule(_LEASES, ("leases",), ("create",)),
    )


def join_access(token: str, *, member: str = "") -> tuple[Manifest, ...]:
    """On the hub, what the account `token` (`join-<id>`) of a join token may: write the one request of its name.

    Once it is approved as `member`, make tokens of that account too: how, a policy says.
    """
    rules = [
        _rule(_OURS, ("joinrequests",), (*READ, "update", "patch"), names=(token,)),
        # Creating cannot be limited by name: a policy does it.
        _rule(_OURS, ("joinrequests",), ("create",)),
    ]
    if member:
        rules.append(_rule("", ("serviceaccounts/token",), ("create",), names=(member,)))
    return _granted(token, rules, (f"{MEMBER_ACCOUNT_PREFIX}{token}",), MEMBERS_NAMESPACE)


def hub_roles(cluster_set: str, *, user: str = HUB_USER) -> tuple[Manifest, ...]:
    """On the hub, its controller's rights for one set: Members and verdicts, signs of life, joining, its own election.

    It starts by making definitions and namespaces where they are missing. It hands out to members what it has
    itself, so that it needs no right to hand out more; a policy has it make no tokens.
    """
    name = f"isthmus-hub-{cluster_set}"
    namespaces = (cluster_set, MEMBERS_NAMESPACE, SYSTEM_NAMESPACE)
    cluster = (
        _rule("apiextensions.k8s.io", ("customresourcedefinitions",), ("get", "create")),
        _rule("", ("namespaces",), ("create",)),
        _rule("", ("namespaces",), ("get", "patch"), names=namespaces),
        # Names are one space for all sets of a hub.
        _rule(_OURS, ("members",), ("list",)),
    )
    in_set = (
        _rule(_OURS, ("members",), (*READ, *WRITE)),
        _rule(_OURS, ("members/status",), STATUS),
        _rule(_OURS, ("exportedservices", "exportedendpoints", "exportgrants"), READ),
        _rule(_MCS, ("clusterprofiles",), (*READ, *WRITE)),
        _rule(_MCS, ("clusterprofiles/status",), STATUS),
        _rule("", ("events",), ("get", "create", "patch")),
        # On profiles and Members, to people.
        _rule("", ("events",), ("get", "create", "patch")),
        # What a member left behind; the rest is handed on.
        _rule(_OURS, ("exportedservices", "exportedendpoints"), WRITE),
        _ROLES,
    )
    of_members = (
        _rule(_LEASES, ("leases",), (*READ, *WRITE)),
        _rule(_OURS, ("joinrequests",), (*READ, *WRITE)),
        _rule(_OURS, ("joinrequests/status",), STATUS),
        _rule("", ("serviceaccounts", "secrets"), ("get", "list", "create", "patch", "delete")),
        _rule("", ("serviceaccounts/token",), ("create",)),
        _ROLES,
    )
    election = (
        _rule(_LEASES, ("leases",), ("get", "update", "patch"), names=(name,)),
        _rule(_LEASES, ("leases",), ("create",)),
    )
    return (
        *_granted(name, cluster, (user,)),
        *_granted(name, in_set, (user,), cluster_set),
        *_granted(name, of_members, (user,), MEMBERS_NAMESPACE),
        *_granted(name, election, (user,), SYSTEM_NAMESPACE),
    )


def inventory_role() -> Manifest:
    """Everybody who may look at the hub may read its inventory; nobody else writes it (INV-29)."""
    rules = (_rule(_MCS, ("clusterprofiles", "placementdecisions"), READ),)
    return _role("isthmus-inventory-view", rules, gathered_by="view")


def tunnel_roles(*, user: str = TUNNEL_USER) -> tuple[Manifest, ...]:
    """On the hub, the proxy server's rights: to learn whose token one is, and to follow the Members of all sets."""
    rules = (
        _rule("authentication.k8s.io", ("tokenreviews",), ("create",)),
        _rule(_OURS, ("members",), ("list", "watch")),
    )
    return _granted("isthmus-tunnel", rules, (user,))


def member_roles(*, agent: str = AGENT_USER, dns: str = DNS_USER) -> tuple[Manifest, ...]:
    """On a member: the rights of its agent, of its DNS server, and what Kubernetes' own roles gain (MCS-109)."""
    election = (
        _rule(_LEASES, ("leases",), (*READ, *WRITE)),
        # Its own credential at the hub, which it renews.
        _rule("", ("secrets",), ("patch",), names=(HUB_SECRET,)),
    )
    names = (
        _rule("", ("namespaces",), ("list", "watch")),
        _rule(_SLICES, ("endpointslices",), ("list", "watch")),
        _rule(_MCS, ("serviceimports",), ("list", "watch")),
    )
    return (
        *_granted("isthmus-agent", _agent_rules(), (agent,)),
        *_granted("isthmus-agent", election, (agent,), SYSTEM_NAMESPACE),
        *_granted("isthmus-dns", names, (dns,)),
        *_roles_of_people(),
    )


def _agent_rules() -> tuple[Manifest, ...]:
    """The table of catalogue section 8, and ABOUT-38."""
    return (
        _rule("", ("namespaces", "nodes"), READ),
        _rule("apiextensions.k8s.io", ("customresourcedefinitions",), READ),
        _rule("", ("services",), (*READ, *WRITE)),
        _rule("", ("services/status",), ("update", "patch")),
        _rule(_SLICES, ("endpointslices",), (*READ, *WRITE)),
        _rule(_MCS, ("serviceexports",), READ),
        _rule(_MCS, ("serviceimports",), (*READ, *WRITE, "deletecollection")),
        _rule(_MCS, ("serviceexports/status", "serviceimports/status"), STATUS),
        _rule(_ABOUT, ("clusterproperties",), READ),
        _rule(_ABOUT, ("clusterproperties",), ("update", "patch", "delete"), names=(CLUSTER_ID, CLUSTER_SET)),
        _rule(_ABOUT, ("clusterproperties",), ("create",)),
        # On exports in any namespace; `get` to go on counting after a restart.
        _rule("", ("events",), ("get", "create", "patch")),
    )


def _roles_of_people() -> tuple[Manifest, ...]:
    """What `view` can do, `edit` and `admin` can: they gather one another. Nobody gains any status."""
    reads = (
        _rule(_MCS, ("serviceexports", "serviceimports"), READ),
        _rule(_ABOUT, ("clusterproperties",), READ),
        _rule(_ABOUT, ("clusterproperties/status",), ("get",)),
    )
    exports = (_rule(_MCS, ("serviceexports",), (*WRITE, "deletecollection")),)
    properties = (
        _rule(_ABOUT, ("clusterproperties",), (*READ, *WRITE)),
        _rule(_ABOUT, ("clusterproperties/status",), ("get",)),
    )
    return (
        _role("isthmus-view", reads, gathered_by="view"),
        _role("isthmus-edit", exports, gathered_by="edit"),
        # Gathered by none (ABOUT-39): these objects say who the cluster is.
        _role("isthmus-clusterproperties-editor", properties),
    )


def _granted(
    name: str, rules: Sequence[Manifest], users: Iterable[str], namespace: str = ""
) -> tuple[Manifest, Manifest]:
    """A role and its binding to these users, in one namespace or, without, in the whole cluster."""
    role = _role(name, rules, namespace)
    kind = ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS
    binding = _object(kind, name, namespace) | {
        "roleRef": {"apiGroup": kind.group, "kind": role["kind"], "name": name},
        "subjects": [{"apiGroup": kind.group, "kind": "User", "name": user} for user in users],
    }
    return role, binding


def _role(name: str, rules: Sequence[Manifest], namespace: str = "", *, gathered_by: str = "") -> Manifest:
    role = _object(ROLES if namespace else CLUSTER_ROLES, name, namespace) | {"rules": list(rules)}
    if gathered_by:
        role["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{gathered_by}"] = "true"
    return role


def _object(kind: Resource[Manifest], name: str, namespace: str) -> Manifest:
    metadata: Manifest = {"name": name, "labels": {MARKER_LABEL: MANAGED_BY}}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def _rule(group: str, resources: Iterable[str], verbs: Iterable[str], *, names: Iterable[str] = ()) -> Manifest:
    rule: Manifest = {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
    if names:
        rule["resourceNames"] = list(names)
    return rule


_ROLES: Final = _rule(ROLES.group, (ROLES.plural, ROLE_BINDINGS.plural), ("get", "create", "patch", "delete"))
