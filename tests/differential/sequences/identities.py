"""Who somebody is and may be: reviews, acting as others, and tokens of service accounts."""

from collections.abc import Mapping
from dataclasses import replace

from isthmus.api.scheme import Manifest
from tests.differential.sequences.rights import (
    BINDINGS,
    CLUSTER_BINDINGS,
    CLUSTER_ROLES,
    ROLES,
    acting,
    binding,
    by,
    cluster_binding,
    cluster_role,
    once,
    role,
    rule,
    urls,
)
from tests.differential.steps import (
    HOME,
    MAPS,
    PODS,
    SECRETS,
    Reason,
    Sequence,
    Step,
    delete,
    get,
    named,
    pod,
    post,
    sequence,
)

AUTHENTICATION, AUTHORIZATION = "/apis/authentication.k8s.io/v1", "/apis/authorization.k8s.io/v1"
WHO_AM_I = post(f"{AUTHENTICATION}/selfsubjectreviews", {})
MAY_I, MAY_THEY = f"{AUTHORIZATION}/selfsubjectaccessreviews", f"{AUTHORIZATION}/subjectaccessreviews"
MAY_THEY_HERE = f"{AUTHORIZATION}/namespaces/${{ns}}/localsubjectaccessreviews"
MY_RULES = f"{AUTHORIZATION}/selfsubjectrulesreviews"
ACCOUNTS = f"{HOME}/serviceaccounts"
TOKEN = f"{ACCOUNTS}/robot/token"
REVIEW = f"{AUTHENTICATION}/tokenreviews"
ISSUER = "https://kubernetes.default.svc.cluster.local"


def asking(what: str, resource: str, namespace: str = "${ns}", **more: str) -> Manifest:
    """The resource attributes of an access review."""
    return {"resourceAttributes": {"verb": what, "resource": resource, "namespace": namespace, **more}}


def review(path: str, **spec: object) -> Step:
    """An access review."""
    return post(path, {"spec": spec})


REVIEWS = sequence(
    "access reviews say what would be allowed, and by which binding",
    post(ROLES, role("r", rule("get list", "pods pods/log"), rule("get", "secrets", resourceNames=["s"]))),
    post(BINDINGS, binding("r", "Role/r", "User/rita", "Group/team", "ServiceAccount/robot")),
    post(CLUSTER_ROLES, cluster_role("r", urls("/metrics", "/logs/*"), rule("list", "nodes"))),
    post(CLUSTER_BINDINGS, cluster_binding("r", "r", "User/rita")),
    replace(review(MAY_THEY, user="rita", **asking("list", "nodes", "")), until=("status.allowed", True), unseen=True),
    review(MAY_THEY, user="rita", **asking("list", "nodes", "")),
    review(MAY_THEY, user="rita", **asking("list", "pods")),
    review(MAY_THEY, user="rita", **asking("get", "pods", subresource="log", name="a")),
    review(MAY_THEY, user="rita", **asking("list", "pods", "")),
    review(MAY_THEY, user="rita", **asking("get", "secrets", name="s")),
    review(MAY_THEY, user="rita", **asking("get", "secrets", name="t")),
    review(MAY_THEY, user="rita", **asking("list", "pods", group="apps", version="v1")),
    review(MAY_THEY, user="ben", groups=["team"], **asking("list", "pods")),
    review(MAY_THEY, groups=["team"], **asking("list", "pods")),
    review(MAY_THEY, groups=["system:masters"], **asking("drink", "wine")),
    review(MAY_THEY, user="system:serviceaccount:${ns}:robot", **asking("list", "pods")),
    review(MAY_THEY, user="rita", uid="u", extra={"a": ["b"]}, **asking("list", "pods")),
    review(MAY_THEY, user="rita", nonResourceAttributes={"verb": "get", "path": "/logs/x"}),
    review(MAY_THEY, user="rita", nonResourceAttributes={"verb": "get", "path": "/other"}),
    review(MAY_THEY, user="rita", nonResourceAttributes={}),
    review(MAY_THEY, user="rita", nonResourceAttributes={"verb": "get", "path": "/x"}, **asking("list", "pods")),
    review(MAY_THEY, **asking("list", "pods")),
    review(MAY_THEY, user="rita"),
    post(MAY_THEY, {"metadata": {"name": "x"}, "spec": {"user": "rita", **asking("list", "pods")}}),
    post(MAY_THEY, {"spec": {"user": 5}}),
    post(MAY_THEY, {}),
    post(MAY_THEY_HERE, {"metadata": {"namespace": "${ns}"}, "spec": {"user": "rita", **asking("list", "pods")}}),
    post(MAY_THEY_HERE, {"spec": {"user": "rita", **asking("list", "pods")}}),
    post(MAY_THEY_HERE, {"spec": {"user": "rita", **asking("list", "pods", "other")}}),
    post(MAY_THEY_HERE, {"spec": {"user": "rita", "nonResourceAttributes": {"verb": "get", "path": "/x"}}}),
    review(MAY_I, **asking("drink", "wine")),
    *by(
        "rita",
        review(MAY_I, **asking("list", "pods")),
        review(MAY_I, **asking("delete", "pods")),
        review(MAY_I, nonResourceAttributes={"verb": "get", "path": "/metrics"}),
        review(MAY_I),
        review(MAY_THEY, user="rita", **asking("list", "pods")),
        post(MAY_THEY_HERE, {}),
        replace(review(MY_RULES, namespace="${ns}"), loose=True),
        replace(review(MY_RULES, namespace="none"), loose=True),
        review(MY_RULES),
        get(MAY_I),
    ),
    post(BINDINGS, binding("lost", "Role/none", "User/rita")),
    post(BINDINGS, binding("later", "Role/r", "User/zoe")),
    *by("zoe", replace(review(MAY_I, **asking("list", "pods")), until=("status.allowed", True))),
    *by("rita", replace(review(MY_RULES, namespace="${ns}"), loose=True), review(MAY_I, **asking("delete", "pods"))),
    *by("system:anonymous", review(MAY_I, **asking("list", "pods")), review(MY_RULES, namespace="${ns}"), WHO_AM_I),
)


def impersonating(
    user: str = "", uid: str = "", group: str = "", extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Headers that ask to act as somebody."""
    wanted = {"Impersonate-User": user, "Impersonate-Uid": uid, "Impersonate-Group": group}
    return {key: value for key, value in wanted.items() if value} | {
        f"Impersonate-Extra-{key}": value for key, value in (extra or {}).items()
    }


ACTING = sequence(
    "who acts as somebody else is that one, in all parts",
    *acting(impersonating("ann"), WHO_AM_I),
    *acting(impersonating("ann", "u-1", "team", {"scopes": "a", "example.com%2fb": "c"}), WHO_AM_I),
    *acting(impersonating("ann", group="system:unauthenticated"), WHO_AM_I),
    *acting(impersonating("ann", group="system:masters"), WHO_AM_I, get("/api/v1/namespaces/${ns}", unseen=True)),
    *acting(impersonating("system:anonymous"), WHO_AM_I),
    *acting(impersonating("system:serviceaccount:${ns}:robot"), WHO_AM_I),
    *acting(impersonating("system:serviceaccount:${ns}:robot", group="team"), WHO_AM_I),
    *acting(impersonating("system:serviceaccount:robot"), WHO_AM_I),
    *acting(impersonating("system:serviceaccount:UPPER:robot"), WHO_AM_I),
    *acting(impersonating("system:node:n1"), WHO_AM_I),
    *acting(impersonating("system:node:n1", group="team"), WHO_AM_I),
    *acting(impersonating("system:node:"), WHO_AM_I),
    *acting(impersonating(group="team"), WHO_AM_I),
    *acting(impersonating(uid="u"), WHO_AM_I),
    *acting(impersonating(extra={"scopes": "a"}), WHO_AM_I, get("/nothing")),
    *acting(impersonating("<b>"), get(MAPS)),
)

LADDER = sequence(
    "rights of service accounts and their tokens",
    post(ACCOUNTS, named("robot", "ServiceAccount")),
    post(TOKEN, {}, unseen=True).keeping(token="status.token"),
    *acting({"Authorization": "Bearer ${token}"}, WHO_AM_I, get(PODS), get("/version", unseen=True), get("/livez")),
    *acting({"Authorization": "Bearer ${token}", **impersonating("ann")}, WHO_AM_I, get(PODS)),
    *acting({"Authorization": "Bearer ${token}", **impersonating("system:node:n")}, WHO_AM_I),
    *acting({"Authorization": "Bearer ${token}", **impersonating("system:serviceaccount:a:b")}, WHO_AM_I),
    *acting({"Authorization": "Bearer ${token}", **impersonating("ann", group="team")}, WHO_AM_I),
    post(
        CLUSTER_ROLES,
        cluster_role(
            "may",
            rule("impersonate", "users", resourceNames=["ann"]),
            rule("impersonate", "groups", resourceNames=["team"]),
            rule("impersonate", "userextras/scopes", "authentication.k8s.io", resourceNames=["view"]),
            rule("impersonate", "serviceaccounts"),
        ),
    ),
    post(CLUSTER_BINDINGS, cluster_binding("may", "may", "ServiceAccount/${ns}/robot")),
    *acting(
        {"Authorization": "Bearer ${token}", **impersonating("ann")},
        replace(WHO_AM_I, until=201),
        get(PODS),
    ),
    *acting({"Authorization": "Bearer ${token}", **impersonating("ann", group="team")}, WHO_AM_I),
    *acting({"Authorization": "Bearer ${token}", **impersonating("ann", group="others")}, WHO_AM_I),
    *acting({"Authorization": "Bearer ${token}", **impersonating("ann", "u")}, WHO_AM_I),
    *acting({"Authorization": "Bearer ${token}", **impersonating("ann", extra={"scopes": "view"})}, WHO_AM_I),
    *acting({"Authorization": "Bearer ${token}", **impersonating("ann", extra={"scopes": "edit"})}, WHO_AM_I),
    *acting({"Authorization": "Bearer ${token}", **impersonating("ben")}, WHO_AM_I),
    *acting({"Authorization": "Bearer ${token}", **impersonating("system:serviceaccount:a:b")}, WHO_AM_I),
    post(
        CLUSTER_ROLES,
        cluster_role(
            "narrow",
            rule("impersonate:user-info", "users", "authentication.k8s.io", resourceNames=["carl"]),
            rule("impersonate-on:user-info:list", "pods"),
            rule("impersonate-on:user-info:create", "selfsubjectreviews", "authentication.k8s.io"),
            rule("impersonate:arbitrary-node", "nodes", "authentication.k8s.io"),
            rule("impersonate-on:arbitrary-node:create", "selfsubjectreviews", "authentication.k8s.io"),
        ),
    ),
    post(CLUSTER_BINDINGS, cluster_binding("narrow", "narrow", "ServiceAccount/${ns}/robot")),
    *acting(
        {"Authorization": "Bearer ${token}", **impersonating("carl")},
        replace(WHO_AM_I, until=201),
        get(PODS),
        get(MAPS),
    ),
    *acting({"Authorization": "Bearer ${token}", **impersonating("system:node:n")}, WHO_AM_I),
    *acting({"Authorization": "Bearer ${token}", **impersonating("carl", group="system:masters")}, WHO_AM_I),
)

# Enough of something else for a real server's caches to have heard of a deletion.
SETTLED = (get(f"{HOME}/configmaps", unseen=True),) * 8
NEVER_KEPT = Reason(
    "managedFields of a TokenRequest with a bound object say a little more",
    "it is answered, never kept, so nobody can own a part of it",
)
BOUND = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
TOKENS = sequence(
    "tokens are asked for, reviewed, bound, and die with what they are bound to",
    post(ACCOUNTS, named("robot", "ServiceAccount")),
    post(PODS, pod("p", serviceAccountName="robot"), unseen=True),
    post(PODS, pod("q"), unseen=True),
    post(SECRETS, named("s", "Secret")),
    *(
        post(TOKEN, {"spec": spec}).keeping(hidden="status.token")
        for spec in (
            {},
            {"expirationSeconds": 600},
            {"expirationSeconds": 3607},
            {"audiences": ["vault", "other"]},
            {"expirationSeconds": 4294967296},
        )
    ),
    *(
        post(TOKEN, {"spec": {"boundObjectRef": to}})
        .keeping(hidden="status.token")
        .differing(NEVER_KEPT, "body.metadata.managedFields.0.fieldsV1.f:spec.f:boundObjectRef..")
        for to in (BOUND, {"kind": "Secret", "apiVersion": "v1", "name": "s"})
    ),
    *(
        post(TOKEN, {"spec": spec})
        for spec in (
            {"expirationSeconds": 599},
            {"expirationSeconds": -1},
            {"expirationSeconds": 4294967297},
            {"expirationSeconds": "600"},
            {"audiences": "vault"},
            {"boundObjectRef": {**BOUND, "name": "none"}},
            {"boundObjectRef": {**BOUND, "name": "q"}},
            {"boundObjectRef": {**BOUND, "uid": "other"}},
            {"boundObjectRef": {**BOUND, "kind": "ConfigMap"}},
            {"boundObjectRef": {**BOUND, "apiVersion": "apps/v1"}},
            {"boundObjectRef": {"kind": "Node", "apiVersion": "v1", "name": "none"}},
            {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "none"}},
        )
    ),
    post(TOKEN, {"metadata": {"name": "other"}, "spec": {}}),
    post(TOKEN, {"metadata": {"namespace": "other"}, "spec": {}}),
    post(TOKEN, {"metadata": {"uid": "other"}, "spec": {}}),
    post(f"{ACCOUNTS}/none/token", {"spec": {}}),
    get(TOKEN),
    post(TOKEN, {"spec": {"boundObjectRef": BOUND}}, unseen=True).keeping(token="status.token"),
    post(TOKEN, {"spec": {"audiences": ["vault"]}}, unseen=True).keeping(vault="status.token"),
    post(TOKEN, {"spec": {}}, unseen=True).keeping(plain="status.token"),
    *acting({"Authorization": "Bearer ${token}"}, WHO_AM_I),
    *acting({"Authorization": "bearer ${token}"}, get("/livez")),
    *acting({"Authorization": "Bearer ${vault}"}, WHO_AM_I, get("/livez")),
    *acting({"Authorization": "Bearer not.a.token"}, WHO_AM_I, get("/livez")),
    *acting({"Authorization": "Bearer nonsense"}, WHO_AM_I),
    post(REVIEW, {"spec": {"token": "${token}"}}),
    post(REVIEW, {"spec": {"token": "${token}", "audiences": ["vault"]}}),
    post(REVIEW, {"spec": {"token": "${vault}"}}),
    post(REVIEW, {"spec": {"token": "${vault}", "audiences": ["x", "vault", ISSUER]}}),
    post(REVIEW, {"spec": {"token": "nonsense"}}),
    post(REVIEW, {"spec": {"token": "not.a.token"}}),
    post(REVIEW, {"spec": {}}),
    post(REVIEW, {}),
    *by("ann", post(REVIEW, {"spec": {"token": "${token}"}}), post(TOKEN, {"spec": {}})),
    # A real server remembers for ten seconds whom it believed: these have not been shown yet.
    post(TOKEN, {"spec": {"boundObjectRef": BOUND}}, unseen=True).keeping(bound="status.token"),
    post(TOKEN, {"spec": {}}, unseen=True).keeping(early="status.token"),
    post(TOKEN, {"spec": {}}, unseen=True).keeping(late="status.token"),
    delete(f"{PODS}/p?gracePeriodSeconds=0", unseen=True),
    *SETTLED,
    *acting({"Authorization": "Bearer ${bound}"}, replace(WHO_AM_I, until=401)),
    post(REVIEW, {"spec": {"token": "${bound}"}}),
    *acting({"Authorization": "Bearer ${plain}"}, WHO_AM_I),
    delete(f"{ACCOUNTS}/robot", unseen=True),
    *SETTLED,
    *acting({"Authorization": "Bearer ${early}"}, replace(WHO_AM_I, until=401)),
    post(ACCOUNTS, named("robot", "ServiceAccount"), unseen=True),
    *SETTLED,
    *acting({"Authorization": "Bearer ${late}"}, WHO_AM_I),
    *once("system:serviceaccount:${ns}:robot", get(PODS), 403),
)

SEQUENCES: tuple[Sequence, ...] = (REVIEWS, ACTING, LADDER, TOKENS)
