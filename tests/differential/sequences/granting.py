"""Roles and bindings: what they may say, who may write them, and how cluster roles gather others."""

from dataclasses import replace

from tests.differential.sequences.rights import (
    BINDINGS,
    CLUSTER_BINDINGS,
    CLUSTER_ROLES,
    GROUP,
    NO_MAPS,
    ROLES,
    VERSION,
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
    CORE,
    HOME,
    PATCH,
    PODS,
    STRATEGIC,
    TABLE,
    Sequence,
    apply,
    delete,
    get,
    named,
    patch,
    post,
    put,
    sequence,
)

WRITER = rule("get list create update patch delete", "roles rolebindings clusterroles clusterrolebindings", GROUP)
GATHERS = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"${ns}": "yes"}}]}}
GATHERED = {"metadata": {"labels": {"${ns}": "yes"}}}


def _labelled(name: str, *rules: object, value: str = "yes") -> object:
    return {**cluster_role(name), "rules": list(rules)} | {
        "metadata": {"name": f"${{ns}}-{name}", "labels": {"${ns}": value}}
    }


SPELLED = sequence(
    "roles and bindings are completed, and refused where they make no sense",
    post(ROLES, role("a:b", rule("get", "pods"))),
    post(ROLES, role("a/b", rule("get", "pods"))),
    post(ROLES, role("..", rule("get", "pods"))),
    post(ROLES, named("none", "Role", VERSION)),
    post(ROLES, role("bad", {"apiGroups": [""]}, {"verbs": ["get"]}, urls("/x"), {"verbs": []})),
    post(ROLES, role("both", {**urls("/x"), "apiGroups": [""], "resources": ["pods"]})),
    post(ROLES, role("unknown", {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "pods": ["x"]})),
    post(f"{ROLES}?fieldValidation=Strict", role("unknown", {"verbs": ["get"], "resource": ["pods"]})),
    post(ROLES, role("wrong", {"verbs": "get"})),
    put(f"{ROLES}/new", role("new", rule("get", "pods"))),
    put(f"{ROLES}/new", role("new", rule("get list", "pods"))),
    patch(f"{ROLES}/new", {"rules": None}),
    patch(f"{ROLES}/new", [{"op": "add", "path": "/rules", "value": [rule("get", "pods")]}], PATCH),
    patch(f"{ROLES}/new", {"rules": [rule("list", "pods")]}, STRATEGIC),
    apply(f"{ROLES}/applied", role("applied", rule("get", "pods"))),
    apply(f"{ROLES}/applied", role("applied", rule("list", "pods")), "b"),
    apply(f"{ROLES}/applied", role("applied", rule("list", "pods")), "b", force=True),
    post(BINDINGS, binding("a", "Role/a:b", "User/ann", "Group/team", "ServiceAccount/robot")),
    post(BINDINGS, named("none", "RoleBinding", VERSION, roleRef={"kind": "Role", "name": "a:b"})),
    post(BINDINGS, named("bad", "RoleBinding", VERSION, roleRef={"apiGroup": "x", "kind": "Pod", "name": ""})),
    post(BINDINGS, named("bad", "RoleBinding", VERSION, roleRef={"kind": "Role", "name": "a/b"})),
    post(BINDINGS, named("bad", "RoleBinding", VERSION)),
    post(BINDINGS, binding("bad", "Role/a:b", "Person/ann", "User/", "ServiceAccount/UPPER")),
    post(
        BINDINGS,
        {
            **binding("bad", "Role/a:b"),
            "subjects": [
                {"kind": "User", "name": "a", "apiGroup": "x"},
                {"kind": "ServiceAccount", "name": "a", "apiGroup": GROUP},
                {"kind": "Group", "name": "g", "namespace": "n"},
            ],
        },
    ),
    patch(f"{BINDINGS}/a", {"roleRef": {"name": "other"}}),
    patch(f"{BINDINGS}/a", {"roleRef": {"kind": "ClusterRole"}}),
    patch(f"{BINDINGS}/a", {"subjects": []}),
    get(ROLES, TABLE),
    get(BINDINGS, TABLE),
    delete(f"{ROLES}/new"),
    delete(f"{BINDINGS}/a"),
    delete(f"{ROLES}?dryRun=All"),
    post(CLUSTER_ROLES, cluster_role("a", urls("/x*", "/y"), rule("get", "pods"))),
    post(CLUSTER_BINDINGS, cluster_binding("a", "a", "User/ann", "ServiceAccount/x/robot")),
    post(CLUSTER_BINDINGS, cluster_binding("b", "a", "ServiceAccount/robot")),
    post(CLUSTER_BINDINGS, binding("${ns}-c", "Role/a", "User/ann", kind="ClusterRoleBinding")),
    get(f"{CLUSTER_ROLES}/${{ns}}-a", TABLE),
    get(f"{CLUSTER_BINDINGS}/${{ns}}-a", TABLE),
)

ESCALATING = sequence(
    "nobody grants what they do not have",
    post(ROLES, role("writer", WRITER, rule("get list", "pods"), rule("get", "configmaps", resourceNames=["a"]))),
    post(BINDINGS, binding("writer", "Role/writer", "User/ann")),
    post(CLUSTER_ROLES, cluster_role("writer", WRITER, urls("/a*"))),
    post(CLUSTER_BINDINGS, cluster_binding("writer", "writer", "User/eve")),
    *once("ann", get(f"{PODS}?labelSelector=none")),
    *once("eve", get(f"{CLUSTER_ROLES}?labelSelector=none")),
    *by(
        "ann",
        post(ROLES, role("fits", rule("get", "pods"), rule("get", "configmaps", resourceNames=["a"]))),
        post(ROLES, role("more", rule("get list watch delete", "pods"), rule("get", "secrets"))),
        post(ROLES, role("more", rule("get", "configmaps", resourceNames=["a", "b"]))),
        post(ROLES, role("more", rule("get", "configmaps"))),
        post(ROLES, role("more", rule("*", "*", "*"))),
        post(ROLES, role("more", rule("get", "pods/log pods/exec", "core apps"))),
        post(ROLES, role("bad", rule("get", "secrets"), {"verbs": []})),
        put(f"{ROLES}/fits", role("fits", rule("get delete", "pods"))),
        put(f"{ROLES}/other", role("other", rule("get delete", "pods"))),
        patch(f"{ROLES}/fits", {"rules": [rule("get delete", "pods")]}),
        apply(f"{ROLES}/fits", role("fits", rule("watch", "pods")), force=True),
        apply(f"{ROLES}/applied", role("applied", rule("watch", "pods"))),
        patch(f"{ROLES}/fits", {"metadata": {"labels": {"a": "b"}}}),
        patch(f"{ROLES}/writer", {"metadata": {"finalizers": ["example.com/x"]}}),
        patch(f"{ROLES}/writer", {"metadata": {"finalizers": None}}),
        post(BINDINGS, binding("fits", "Role/fits", "User/ben")),
        post(BINDINGS, binding("more", "ClusterRole/cluster-admin", "User/ann")),
        post(BINDINGS, binding("more", "ClusterRole/view", "User/ann")),
        post(BINDINGS, binding("none", "Role/none", "User/ann")),
        post(BINDINGS, binding("none", "ClusterRole/none", "User/ann")),
        post(BINDINGS, binding("none", "Strange/none", "User/ann")),
        patch(f"{BINDINGS}/fits", {"subjects": [{"kind": "User", "name": "ann"}]}),
        post(CLUSTER_ROLES, cluster_role("mine", rule("get", "pods"))),
        post(CLUSTER_BINDINGS, cluster_binding("mine", "writer", "User/ann")),
    ),
    *by(
        "eve",
        post(CLUSTER_ROLES, cluster_role("fits", urls("/a", "/abc*"))),
        post(CLUSTER_ROLES, cluster_role("more", urls("/b", "/a", verbs="get post"))),
        post(CLUSTER_ROLES, cluster_role("gathers", **GATHERS)),
        post(CLUSTER_BINDINGS, cluster_binding("root", "writer", "User/fay")),
        post(CLUSTER_BINDINGS, binding("${ns}-x", "ClusterRole/cluster-admin", "User/eve", kind="ClusterRoleBinding")),
        post(CLUSTER_BINDINGS, binding("${ns}-x", "ClusterRole/none", "User/eve", kind="ClusterRoleBinding")),
        patch(f"{CLUSTER_ROLES}/view", {"metadata": {"labels": {"a": "b"}}}),
        patch(f"{CLUSTER_ROLES}/cluster-admin", {"metadata": {"labels": {"a": "b"}}}),
    ),
)

ALLOWED = sequence(
    "escalate and bind are rights too",
    post(ROLES, role("writer", WRITER, rule("escalate", "roles", GROUP))),
    post(BINDINGS, binding("writer", "Role/writer", "User/ann")),
    post(ROLES, role("binder", WRITER, rule("bind", "clusterroles", GROUP, resourceNames=["view"]))),
    post(BINDINGS, binding("binder", "Role/binder", "User/ben")),
    *once("ann", get(f"{ROLES}?labelSelector=none")),
    *once("ben", get(f"{ROLES}?labelSelector=none")),
    *by(
        "ann",
        post(ROLES, role("all", rule("*", "*", "*"))),
        post(BINDINGS, binding("all", "Role/all", "User/ann")),
        post(BINDINGS, binding("view", "ClusterRole/view", "User/ann")),
    ),
    *by(
        "ben",
        post(ROLES, role("more", rule("get", "pods"))),
        post(BINDINGS, binding("view", "ClusterRole/view", "User/ben")),
        post(BINDINGS, binding("edit", "ClusterRole/edit", "User/ben")),
    ),
    *once("ben", get(NO_MAPS)),
    *by("ben", get(f"{HOME}/secrets"), get(f"{CORE}/pods")),
)

GATHERING = sequence(
    "cluster roles gather what others have",
    post(CLUSTER_ROLES, cluster_role("all", rule("get", "nothing"), **GATHERS)),
    post(CLUSTER_ROLES, cluster_role("empty", aggregationRule={"clusterRoleSelectors": []})),
    post(
        CLUSTER_ROLES,
        cluster_role("bad", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a b": "c d"}}]}),
    ),
    post(
        CLUSTER_ROLES,
        cluster_role(
            "bad",
            aggregationRule={"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]},
        ),
    ),
    post(CLUSTER_ROLES, _labelled("part-b", rule("get", "pods"))),
    get(f"{CLUSTER_ROLES}/${{ns}}-all", until=("rules", [rule("get", "pods")])),
    post(CLUSTER_ROLES, _labelled("part-a", rule("list", "pods"), rule("get", "pods"))),
    get(f"{CLUSTER_ROLES}/${{ns}}-all", until=("rules", [rule("list", "pods"), rule("get", "pods")])),
    post(CLUSTER_ROLES, _labelled("part-c", rule("delete", "pods"), value="no")),
    delete(f"{CLUSTER_ROLES}/${{ns}}-part-b"),
    patch(f"{CLUSTER_ROLES}/${{ns}}-part-a", {"rules": [rule("watch", "pods")]}),
    get(f"{CLUSTER_ROLES}/${{ns}}-all", until=("rules", [rule("watch", "pods")])),
    post(
        CLUSTER_ROLES,
        {
            **cluster_role("for-viewers", rule("get", "gadgets", "example.com")),
            "metadata": {
                "name": "${ns}-for-viewers",
                "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"},
            },
        },
    ),
    post(BINDINGS, binding("admin", "ClusterRole/admin", "User/ann")),
    *once("ann", get("/apis/example.com/v1/namespaces/${ns}/gadgets/x", unseen=True), 404),
    delete(f"{CLUSTER_ROLES}/${{ns}}-for-viewers"),
    *once("ann", get("/apis/example.com/v1/namespaces/${ns}/gadgets/x"), 403),
)

DEFAULTS = sequence(
    "default roles are there, with the same rules",
    *(get(f"{CLUSTER_ROLES}/{name}") for name in ("cluster-admin", "system:basic-user", "system:node", "view")),
    get(f"{CLUSTER_BINDINGS}/system:public-info-viewer"),
    get(f"{CLUSTER_BINDINGS}/system:node"),
    *by("system:anonymous", replace(get("/version"), unseen=True), get("/livez"), get("/readyz")),
)

SEQUENCES: tuple[Sequence, ...] = (SPELLED, ESCALATING, ALLOWED, GATHERING, DEFAULTS)
