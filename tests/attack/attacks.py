"""What a thief of a credential would try on the hub, as a table: who, what, and the call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import msgspec

from isthmus.api.access import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, POLICIES, POLICY_BINDINGS, ROLE_BINDINGS, ROLES
from isthmus.api.core import CONFIG_MAPS, CRDS, EVENTS, LEASES, NAMESPACES, PODS, SECRETS, SERVICE_ACCOUNTS, SERVICES
from isthmus.api.inventory import CLUSTER_PROFILES
from isthmus.api.isthmus import (
    CLUSTER_LABEL,
    EXPORT_GRANTS,
    EXPORTED_ENDPOINTS,
    EXPORTED_SERVICES,
    JOIN_REQUESTS,
    MEMBERS,
    MEMBERS_NAMESPACE,
    SYSTEM_NAMESPACE,
)
from isthmus.api.scheme import Manifest, Resource
from isthmus.install.registration import TOKENS_CONFIG
from isthmus.install.roles import HUB_USER
from isthmus.kube.client import Client, ListOptions
from tests.attack.conftest import MALLORY, VICTIM, Stage
from tests.install.conftest import BY_HAND, OTHER_SET, SET
from tests.install.test_policies import LONG, chunk, export, slices
from tests.joiners import bound, issued

T = TypeVar("T")
Attempt: TypeAlias = Callable[[Client, Stage], Awaitable[object]]
WORKS: Resource[Manifest] = Resource("multicluster.x-k8s.io", "v1alpha1", "works", "Work", dict)
REQUESTS: Resource[Manifest] = Resource(
    "certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", dict, namespaced=False
)
FOREIGN: Final = f"{VICTIM}.team.shop"
MINE: Final = f"{MALLORY}.team.shop"
BELONGING: Final = f"{MALLORY}-works"
APPLICANT: Final = "applicant"


@dataclass(frozen=True)
class Attack:
    """One attempt of one account: mallory's unless it says another."""

    what: str
    attempt: Attempt
    who: str = MALLORY

    @property
    def id(self) -> str:
        """For the test's name."""
        return f"{self.who}: {self.what}"


def apply(kind: Resource[T], manifest: Manifest, namespace: str = SET, subresource: str = "") -> Attempt:
    return lambda c, _: c.apply(kind, manifest, namespace=namespace, subresource=subresource, options=BY_HAND)


def create(kind: Resource[T], manifest: Manifest, namespace: str = SET) -> Attempt:
    full = {"apiVersion": kind.api_version, "kind": kind.kind, **manifest}
    return lambda c, _: c.create(kind, full, namespace=namespace)


def patch(kind: Resource[T], name: str, change: Manifest, namespace: str = SET, subresource: str = "") -> Attempt:
    return lambda c, _: c.merge_patch(kind, name, change, namespace=namespace, subresource=subresource)


def delete(kind: Resource[T], name: str, namespace: str = SET) -> Attempt:
    return lambda c, _: c.delete(kind, name, namespace=namespace)


def clear(kind: Resource[T], namespace: str = SET) -> Attempt:
    return lambda c, _: c.delete_collection(kind, namespace=namespace)


def read(kind: Resource[T], namespace: str = "", labels: str = "") -> Attempt:
    return lambda c, _: c.list(kind, namespace=namespace, options=ListOptions(labels=labels))


def get(kind: Resource[T], name: str, namespace: str) -> Attempt:
    return lambda c, _: c.get(kind, name, namespace=namespace)


def named(name: str, **metadata: object) -> Manifest:
    return {"metadata": {"name": name, **metadata}}


def with_metadata(manifest: Manifest, **metadata: object) -> Manifest:
    return manifest | {"metadata": manifest["metadata"] | metadata}


def token(account: str, **spec: object) -> Attempt:
    """A token of that account, bound to mallory's own Secret unless told otherwise."""

    def attempt(c: Client, stage: Stage) -> Awaitable[object]:
        usual = {"boundObjectRef": bound(stage.secrets[MALLORY]), "expirationSeconds": 3600}
        return issued(c, account, {key: value for key, value in (usual | spec).items() if value is not None})

    return attempt


def token_bound_to(account: str, whose: str) -> Attempt:
    return lambda c, stage: issued(c, account, {"boundObjectRef": bound(stage.secrets[whose])})


def own_status(**status: object) -> Attempt:
    return patch(MEMBERS, MALLORY, {"status": status}, subresource="status")


def older_rules(**status: object) -> Attempt:
    """What the whole set would merge by, after all know better."""

    async def attempt(c: Client, stage: Stage) -> object:
        await own_status(rulesVersion=2)(c, stage)
        return await own_status(**status)(c, stage)

    return attempt


def binding(role: str) -> Manifest:
    group = ROLES.group
    user = f"system:serviceaccount:{MEMBERS_NAMESPACE}:{MALLORY}"
    return {
        "metadata": {"name": "mine"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


EVERYTHING: Manifest = {
    "metadata": {"name": "mine"},
    "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
}
OWNER: Manifest = {"apiVersion": "isthmus.dev/v1alpha1", "kind": "Member", "name": VICTIM, "uid": "u"}
LEASE: Manifest = {"spec": {"holderIdentity": "mallory", "renewTime": "2999-01-01T00:00:00.000000Z"}}
POD: Manifest = {"metadata": {"name": "mine"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def reviews(client: Client, path: str, spec: Manifest) -> Awaitable[bytes]:
    return client.raw("POST", path, body=msgspec.json.encode({"spec": spec}))


# What lies outside of one's own objects.
WRITES: Final = (
    Attack("an export under another's name", apply(EXPORTED_SERVICES, export(FOREIGN))),
    Attack("an export under another's name, by create", create(EXPORTED_SERVICES, export(FOREIGN))),
    Attack("another's name, own content", apply(EXPORTED_SERVICES, export(FOREIGN, cluster=MALLORY, label=MALLORY))),
    Attack("own name, another's content", apply(EXPORTED_SERVICES, export(MINE, cluster=VICTIM))),
    Attack("own name, another's label", apply(EXPORTED_SERVICES, export(MINE, label=VICTIM))),
    Attack("own prefix without its dot", apply(EXPORTED_SERVICES, export("mallorys.team.shop", cluster=MALLORY))),
    Attack("name and content of two services", apply(EXPORTED_SERVICES, export(MINE, name="bank"))),
    Attack("name and content of two namespaces", apply(EXPORTED_SERVICES, export(MINE, namespace="kube-system"))),
    Attack("another's export changed", patch(EXPORTED_SERVICES, FOREIGN, {"spec": {"type": "Headless"}})),
    Attack(
        "another's export relabelled", patch(EXPORTED_SERVICES, FOREIGN, named(FOREIGN, labels={CLUSTER_LABEL: ""}))
    ),
    Attack("another's export deleted", delete(EXPORTED_SERVICES, FOREIGN)),
    Attack("all exports deleted", clear(EXPORTED_SERVICES)),
    Attack("another's endpoints", apply(EXPORTED_ENDPOINTS, chunk(f"{FOREIGN}.ipv4.0", cluster=VICTIM))),
    Attack("own endpoints, another's content", apply(EXPORTED_ENDPOINTS, chunk(f"{MINE}.ipv4.0", cluster=VICTIM))),
    Attack("endpoints of another service", apply(EXPORTED_ENDPOINTS, chunk(f"{MALLORY}.team.bank.0", cluster=MALLORY))),
    Attack("all endpoints deleted", clear(EXPORTED_ENDPOINTS)),
    Attack("an export into another set", apply(EXPORTED_SERVICES, export(MINE), OTHER_SET)),
    Attack("another Member's spec", patch(MEMBERS, VICTIM, {"spec": {"podRanges": ["0.0.0.0/0"]}})),
    Attack("another Member's status", patch(MEMBERS, VICTIM, {"status": {"rulesVersion": 9}}, subresource="status")),
    Attack("another Member deleted", delete(MEMBERS, VICTIM)),
    Attack("all Members deleted", clear(MEMBERS)),
    Attack("a new Member", create(MEMBERS, named("ghost") | {"spec": {"id": "ghost", "set": SET}})),
    Attack("own Member by create", create(MEMBERS, named(MALLORY) | {"spec": {"id": MALLORY, "set": SET}})),
    Attack("own pod ranges", patch(MEMBERS, MALLORY, {"spec": {"podRanges": ["0.0.0.0/0"]}})),
    Attack("own joining long ago", patch(MEMBERS, MALLORY, {"spec": {"joinedAt": "1970-01-01T00:00:00Z"}})),
    Attack("own health", patch(MEMBERS, MALLORY, {"spec": {"health": {"state": "Healthy"}}})),
    Attack("own identity", patch(MEMBERS, MALLORY, {"spec": {"uid": "u-victim"}})),
    Attack("own labels", patch(MEMBERS, MALLORY, named(MALLORY, labels={"isthmus.dev/managed-by": "isthmus.dev"}))),
    Attack("another's sign of life", patch(LEASES, VICTIM, LEASE, MEMBERS_NAMESPACE)),
    Attack("a sign of life of nobody", apply(LEASES, named("ghost") | LEASE, MEMBERS_NAMESPACE)),
    Attack("a sign of life elsewhere", apply(LEASES, named(MALLORY) | LEASE, SET)),
    Attack("another's sign of life deleted", delete(LEASES, VICTIM, MEMBERS_NAMESPACE)),
    Attack("the hub's election", apply(LEASES, named(f"isthmus-hub-{SET}") | LEASE, SYSTEM_NAMESPACE)),
    Attack("a grant", apply(EXPORT_GRANTS, named("mine") | {"spec": {"namespaces": ["team"], "clusters": [MALLORY]}})),
    Attack("all grants deleted", clear(EXPORT_GRANTS)),
    Attack("another's profile", patch(CLUSTER_PROFILES, VICTIM, {"spec": {"displayName": "mine"}})),
    Attack("own profile's status", patch(CLUSTER_PROFILES, MALLORY, {"status": {}}, subresource="status")),
    Attack("all profiles deleted", clear(CLUSTER_PROFILES)),
    Attack("a request to join", create(JOIN_REQUESTS, named(MALLORY) | {"spec": {}}, MEMBERS_NAMESPACE)),
    Attack("a Secret", create(SECRETS, named(f"{MALLORY}-0123456789"), MEMBERS_NAMESPACE)),
    Attack("another's Secret deleted", lambda c, s: c.delete(SECRETS, s.secrets[VICTIM], namespace=MEMBERS_NAMESPACE)),
    Attack("another's account deleted", delete(SERVICE_ACCOUNTS, VICTIM, MEMBERS_NAMESPACE)),
    Attack("an account", create(SERVICE_ACCOUNTS, named("ghost"), MEMBERS_NAMESPACE)),
    Attack("more rights in the set", apply(ROLES, EVERYTHING)),
    Attack("more rights for the account", patch(ROLES, f"isthmus-member-{MALLORY}", EVERYTHING)),
    Attack("more rights among members", apply(ROLES, EVERYTHING, MEMBERS_NAMESPACE)),
    Attack("admin of the set", apply(ROLE_BINDINGS, binding("admin"))),
    Attack("admin of all", apply(CLUSTER_ROLE_BINDINGS, binding("cluster-admin"), "")),
    Attack("a cluster role", apply(CLUSTER_ROLES, EVERYTHING, "")),
    Attack("a policy deleted", delete(POLICIES, "isthmus-tokens-are-short", "")),
    Attack("a policy unbound", delete(POLICY_BINDINGS, "isthmus-exports-are-their-writers", "")),
    Attack("the audiences of tokens", patch(CONFIG_MAPS, TOKENS_CONFIG, {"data": {}}, MEMBERS_NAMESPACE)),
    Attack("a definition", patch(CRDS, "members.isthmus.dev", {"spec": {}}, "")),
    Attack("a namespace", create(NAMESPACES, named("mine"), "")),
    Attack("a namespace deleted", delete(NAMESPACES, OTHER_SET, "")),
    Attack("a pod on the hub", create(PODS, POD, MEMBERS_NAMESPACE)),
    Attack("a Service on the hub", apply(SERVICES, named("mine"))),
    Attack("an Event on the hub", create(EVENTS, named("mine") | {"involvedObject": {}}, "default")),
    Attack("a client certificate", create(REQUESTS, named("mine") | {"spec": {"request": ""}}, "")),
)

READS: Final = (
    Attack("Members of another set", read(MEMBERS, OTHER_SET)),
    Attack("exports of another set", read(EXPORTED_SERVICES, OTHER_SET)),
    Attack("endpoints of another set", read(EXPORTED_ENDPOINTS, OTHER_SET)),
    Attack("grants of another set", read(EXPORT_GRANTS, OTHER_SET)),
    Attack("profiles of another set", read(CLUSTER_PROFILES, OTHER_SET)),
    Attack("Members of all sets", read(MEMBERS)),
    Attack("exports of all sets", read(EXPORTED_SERVICES)),
    Attack("endpoints of all sets", read(EXPORTED_ENDPOINTS)),
    Attack("one Member of another set", get(MEMBERS, "stranger", OTHER_SET)),
    Attack("a Member of another set by label", read(MEMBERS, OTHER_SET, "a=b")),
    Attack("all Secrets of members", read(SECRETS, MEMBERS_NAMESPACE)),
    Attack("own Secret", lambda c, s: c.get(SECRETS, s.secrets[MALLORY], namespace=MEMBERS_NAMESPACE)),
    Attack("another's Secret", lambda c, s: c.get(SECRETS, s.secrets[VICTIM], namespace=MEMBERS_NAMESPACE)),
    Attack("Secrets of the hub", read(SECRETS, SYSTEM_NAMESPACE)),
    Attack("accounts", read(SERVICE_ACCOUNTS, MEMBERS_NAMESPACE)),
    Attack("signs of life", read(LEASES, MEMBERS_NAMESPACE)),
    Attack("another's sign of life", get(LEASES, VICTIM, MEMBERS_NAMESPACE)),
    Attack("requests to join", read(JOIN_REQUESTS, MEMBERS_NAMESPACE)),
    Attack("another's Works", read(WORKS, f"isthmus-{VICTIM}")),
    Attack("one's own Works by the account for services", read(WORKS, f"isthmus-{MALLORY}")),
    Attack("namespaces", read(NAMESPACES)),
    Attack("roles", read(ROLES, SET)),
    Attack("policies", read(POLICIES)),
    Attack("Services on the hub", read(SERVICES, "default")),
    Attack("whose a token is", lambda c, _: reviews(c, "/apis/authentication.k8s.io/v1/tokenreviews", {"token": "t"})),
    Attack("what others may", lambda c, _: reviews(c, "/apis/authorization.k8s.io/v1/subjectaccessreviews", {})),
)

TOKENS: Final = (
    Attack("a token of a day and a second", token(MALLORY, expirationSeconds=86_401)),
    Attack("a token of a year", token(MALLORY, expirationSeconds=31_536_000)),
    Attack("a token that outlives its removal", token(MALLORY, boundObjectRef=None)),
    Attack("a token bound to another's Secret", token_bound_to(MALLORY, VICTIM)),
    Attack("a token bound to a Secret of any name", token(MALLORY, boundObjectRef=bound("default"))),
    Attack("a token bound to a pod", token(MALLORY, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p"})),
    Attack("a token for elsewhere", token(MALLORY, audiences=["https://elsewhere.example"])),
    Attack("a token for here and elsewhere", token(MALLORY, audiences=["https://kubernetes.default", "vault"])),
    Attack("another's token", token(VICTIM)),
    Attack("another's token by its own Secret", token_bound_to(VICTIM, VICTIM)),
    Attack("a token of the account for Works", token(BELONGING)),
    Attack("the hub's token", lambda c, _: c.raw("POST", SERVICE_ACCOUNTS.path(
        "isthmus-hub", namespace=SYSTEM_NAMESPACE, subresource="token"), body=b'{"spec":{}}')),
)  # fmt: skip

FORGERIES: Final = (
    Attack("an owner for one's export", apply(EXPORTED_SERVICES, with_metadata(export(MINE), ownerReferences=[OWNER]))),
    Attack("a finalizer that keeps one's export", apply(EXPORTED_SERVICES, with_metadata(
        export(MINE), finalizers=["isthmus.dev/mine"]))),
    Attack("a finalizer that keeps one's Lease", apply(LEASES, named(MALLORY, finalizers=["isthmus.dev/m"]) | LEASE,
        MEMBERS_NAMESPACE)),
    Attack("an owner for one's Lease", apply(LEASES, named(MALLORY, ownerReferences=[OWNER]) | LEASE,
        MEMBERS_NAMESPACE)),
    Attack("an address that is none", apply(EXPORTED_SERVICES, export(MINE, slices=[
        {"addressType": "DNS", "endpoints": []}]))),
    Attack("older rules for the whole set", older_rules(rulesVersion=1)),
    Attack("no rules, and older ones then", older_rules(rulesVersion=None)),
    Attack("a moment that is none", apply(EXPORTED_SERVICES, export(MINE, created="long ago"))),
    Attack("a type that is none", apply(EXPORTED_SERVICES, export(MINE, type="ExternalName"))),
)  # fmt: skip

OVERSIZED: Final = (
    Attack("101 endpoints", apply(EXPORTED_SERVICES, export(MINE, **slices(101)))),
    Attack("101 slices", apply(EXPORTED_SERVICES, export(MINE, slices=[{"addressType": "IPv4"}] * 101))),
    Attack("257 ports", apply(EXPORTED_SERVICES, export(MINE, ports=[{"port": n + 1} for n in range(257)]))),
    Attack("two addresses of one endpoint", apply(EXPORTED_SERVICES, export(MINE, slices=[
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"] * 2}]}]))),
    Attack("600 ports of many slices", apply(EXPORTED_SERVICES, export(MINE, slices=[
        {"addressType": "IPv4", "ports": [{"port": n + 1} for n in range(6)]}] * 100))),
    Attack("a port's long name", apply(EXPORTED_SERVICES, export(MINE, ports=[{"port": 1, "name": LONG}]))),
    Attack("65 exported labels", apply(EXPORTED_SERVICES, export(MINE, exportedLabels={
        f"k{n}": "" for n in range(65)}))),
    Attack("66 KB of exported annotations", apply(EXPORTED_SERVICES, export(MINE, exportedAnnotations={
        f"k{n}": "v" * 33_000 for n in range(2)}))),
    Attack("66 KB of exported annotations in 33,000 letters", apply(EXPORTED_SERVICES, export(MINE,
        exportedAnnotations={"k": "ä" * 33_000}))),
    Attack("17 labels", apply(EXPORTED_SERVICES, with_metadata(export(MINE), labels=export(MINE)["metadata"]["labels"]
        | {f"l{n}": "" for n in range(17)}))),
    Attack("9 KB of annotations", apply(EXPORTED_SERVICES, with_metadata(export(MINE), annotations={"a": "v" * 9000}))),
    Attack("9 KB of annotations on a Lease", apply(LEASES, named(MALLORY, annotations={"a": "v" * 9000}) | LEASE,
        MEMBERS_NAMESPACE)),
    Attack("3 MB", apply(EXPORTED_SERVICES, with_metadata(export(MINE), annotations={"a": "v" * 3_200_000}))),
    Attack("1,001 endpoints in a chunk", apply(EXPORTED_ENDPOINTS, chunk(f"{MINE}.ipv4.0", cluster=MALLORY,
        endpoints=[{"addresses": ["10.0.0.1"]}] * 1001))),
    Attack("chunk number 1,000", apply(EXPORTED_ENDPOINTS, chunk(f"{MINE}.ipv4.1000", cluster=MALLORY) | {"spec":
        chunk(f"{MINE}.ipv4.1000", cluster=MALLORY)["spec"] | {"index": 1000}})),
    Attack("257 properties", own_status(properties={f"p{n}": "v" for n in range(257)})),
    Attack("a property of 2 KB", own_status(properties={"p": "v" * 2000})),
    Attack("a property's long name", own_status(properties={LONG: "v"})),
    Attack("10,001 namespaces", own_status(exports={"epoch": 1, "namespaces": {
        f"n{n}": {"count": 1, "digest": "d"} for n in range(10_001)}})),
    Attack("an epoch below zero", own_status(exports={"epoch": -1})),
    Attack("a version that clears the screen", own_status(kubernetesVersion="v1\x1b[2J")),
)  # fmt: skip

# Of the account for Works: it may nothing but its own Lease.
WORKER: Final = tuple(
    Attack(what, attempt, BELONGING)
    for what, attempt in (
        ("Members", read(MEMBERS, SET)),
        ("exports", read(EXPORTED_SERVICES, SET)),
        ("an export", apply(EXPORTED_SERVICES, export(MINE))),
        ("the services account's sign of life", patch(LEASES, MALLORY, LEASE, MEMBERS_NAMESPACE)),
        ("the services account's token", token(MALLORY)),
        ("its own token", token(BELONGING)),
        ("own Member's status", own_status(rulesVersion=9)),
        ("Secrets", read(SECRETS, MEMBERS_NAMESPACE)),
    )
)


def ticket(**spec: object) -> Attempt:
    """The applicant's own request, changed."""
    return lambda c, s: c.merge_patch(JOIN_REQUESTS, s.ticket.name, {"spec": spec}, namespace=MEMBERS_NAMESPACE)


# Of a join token that lets nobody in by itself.
BOOTSTRAP: Final = tuple(
    Attack(what, attempt, APPLICANT)
    for what, attempt in (
        ("approving oneself", lambda c, s: c.merge_patch(JOIN_REQUESTS, s.ticket.name, {"status": {
            "phase": "Approved"}}, namespace=MEMBERS_NAMESPACE, subresource="status")),
        ("another cluster by the same token", ticket(uid="u-other")),
        ("a UID of several lines", ticket(uid="u-applicant\nUID: u-victim")),
        ("another name by the same token", ticket(cluster=VICTIM)),
        ("another set by the same token", ticket(set=OTHER_SET)),
        ("a second request", create(JOIN_REQUESTS, named("join-0123456789") | {"spec": {
            "cluster": "x", "set": SET, "uid": "u"}}, MEMBERS_NAMESPACE)),
        ("a request that cannot be deleted", lambda c, s: c.merge_patch(JOIN_REQUESTS, s.ticket.name, {"metadata": {
            "finalizers": ["isthmus.dev/mine"]}}, namespace=MEMBERS_NAMESPACE)),
        ("a request with an owner", lambda c, s: c.merge_patch(JOIN_REQUESTS, s.ticket.name, {"metadata": {
            "ownerReferences": [OWNER]}}, namespace=MEMBERS_NAMESPACE)),
        ("a request of 100 KB", ticket(certificateAuthority="A" * 100_000)),
        ("101 pod ranges", ticket(podRanges=["10.0.0.0/8"] * 101)),
        ("its request deleted", lambda c, s: c.delete(JOIN_REQUESTS, s.ticket.name, namespace=MEMBERS_NAMESPACE)),
        ("others' requests", read(JOIN_REQUESTS, MEMBERS_NAMESPACE)),
        ("Members", read(MEMBERS, SET)),
        ("exports", read(EXPORTED_SERVICES, SET)),
        ("an export", apply(EXPORTED_SERVICES, export(MINE))),
        ("a sign of life", apply(LEASES, named(APPLICANT) | LEASE, MEMBERS_NAMESPACE)),
        ("a member's token", token(VICTIM)),
        ("its own token, longer", lambda c, s: issued(c, s.ticket.name, {"expirationSeconds": 86_400})),
        ("Secrets", read(SECRETS, MEMBERS_NAMESPACE)),
        ("its Secret, to last longer", lambda c, s: c.merge_patch(SECRETS, s.ticket.name, {"metadata": {
            "annotations": {"isthmus.dev/expires": "2999-01-01T00:00:00Z"}}}, namespace=MEMBERS_NAMESPACE)),
    )
)  # fmt: skip

# Of the hub's own controller, stolen: on the hub it acts for no member.
CONTROLLER: Final = tuple(
    Attack(what, attempt, HUB_USER)
    for what, attempt in (
        ("a member's token", token(VICTIM)),
        ("an export of a member", apply(EXPORTED_SERVICES, export(FOREIGN))),
        ("an export changed", patch(EXPORTED_SERVICES, FOREIGN, {"spec": {"type": "Headless"}})),
        ("admin of all", apply(CLUSTER_ROLE_BINDINGS, binding("cluster-admin"), "")),
        ("admin of the set", apply(ROLE_BINDINGS, binding("admin"))),
        ("more than it has, handed out", apply(ROLES, EVERYTHING)),
        ("Secrets of the hub", read(SECRETS, SYSTEM_NAMESPACE)),
        ("a pod", create(PODS, POD, MEMBERS_NAMESPACE)),
        ("a member that is another", patch(MEMBERS, VICTIM, {"spec": {"uid": "u-mallory"}})),
        ("a member of another set's name", patch(MEMBERS, VICTIM, {"spec": {"set": OTHER_SET}})),
        ("a policy", delete(POLICIES, "isthmus-tokens-are-short", "")),
    )
)

ATTACKS: Final = (*WRITES, *READS, *TOKENS, *FORGERIES, *OVERSIZED, *WORKER, *BOOTSTRAP, *CONTROLLER)
