"""Who may do what: a restricted user's attempts, one by one, and what each is told."""

from collections.abc import Mapping
from dataclasses import replace

from isthmus.api.scheme import Manifest
from tests.differential.steps import (
    APPLY,
    APPS,
    DEPLOYMENTS,
    HOME,
    LEASES,
    MAPS,
    PODS,
    Sequence,
    Step,
    apply,
    delete,
    get,
    named,
    patch,
    pod,
    post,
    put,
    sequence,
    watch,
    workload,
)

GROUP = "rbac.authorization.k8s.io"
RBAC = f"/apis/{GROUP}/v1"
ROLES, BINDINGS = f"{RBAC}/namespaces/${{ns}}/roles", f"{RBAC}/namespaces/${{ns}}/rolebindings"
CLUSTER_ROLES, CLUSTER_BINDINGS = f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings"
# A list that is empty on both.
NO_MAPS = f"{MAPS}?labelSelector=none"
VERSION = f"{GROUP}/v1"


def rule(verbs: str, resources: str, groups: str = "", **more: list[str]) -> Manifest:
    """A rule; words are separated by spaces, `core` is the group without a name."""
    named_groups = ["" if group == "core" else group for group in (groups or "core").split()]
    return {"verbs": verbs.split(), "apiGroups": named_groups, "resources": resources.split(), **more}


def urls(*paths: str, verbs: str = "get") -> Manifest:
    """A rule about paths that lead to no resource."""
    return {"verbs": verbs.split(), "nonResourceURLs": list(paths)}


def role(name: str, *rules: Manifest, **more: object) -> Manifest:
    """A Role."""
    return named(name, "Role", VERSION, rules=list(rules), **more)


def cluster_role(name: str, *rules: Manifest, **more: object) -> Manifest:
    """A ClusterRole, of a name that is this sequence's own."""
    return named(f"${{ns}}-{name}", "ClusterRole", VERSION, rules=list(rules), **more)


def subject(who: str) -> Manifest:
    """`User/ann`, `Group/team`, `ServiceAccount/robot`, `ServiceAccount/home/robot`."""
    kind, *names = who.split("/")
    home = {"namespace": names[0]} if len(names) > 1 else {}
    return {"kind": kind, "name": names[-1], **home}


def binding(name: str, to: str, *who: str, kind: str = "RoleBinding") -> Manifest:
    """A binding of `Role/a` or `ClusterRole/b` to users, groups, accounts."""
    wanted, target = to.split("/")
    return named(
        name, kind, VERSION, roleRef={"apiGroup": GROUP, "kind": wanted, "name": target}, subjects=[*map(subject, who)]
    )


def cluster_binding(name: str, to: str, *who: str) -> Manifest:
    """A ClusterRoleBinding to a ClusterRole of this sequence."""
    return binding(f"${{ns}}-{name}", f"ClusterRole/${{ns}}-{to}", *who, kind="ClusterRoleBinding")


def acting(headers: Mapping[str, str], *steps: Step) -> tuple[Step, ...]:
    """The steps, taken by somebody else."""
    return tuple(replace(each, headers={**each.headers, **headers}) for each in steps)


def by(user: str, *steps: Step) -> tuple[Step, ...]:
    """The steps, taken by a user; `user+group` is one in a group."""
    name, _, group = user.partition("+")
    return acting({"Impersonate-User": name} | ({"Impersonate-Group": group} if group else {}), *steps)


def once(user: str, step: Step, code: int = 200) -> tuple[Step, ...]:
    """Asked until rights have their effect: a real server sees a role a moment after it was made."""
    return by(user, replace(step, until=code))


STRANGER = sequence(
    "who has no rights is refused everything, and told what",
    post(MAPS, named("a")),
    *by(
        "ann",
        get(PODS),
        get("/api/v1/pods"),
        get(f"{PODS}/a"),
        get(f"{PODS}/a/log"),
        get(f"{PODS}?watch=1"),
        get("/api/v1/watch/pods"),
        get(f"{PODS}?watch=false"),
        get(f"{MAPS}?fieldSelector=metadata.name%3Da"),
        get(f"{MAPS}?fieldSelector=metadata.name%3Da%2Fb"),
        get(f"{MAPS}?fieldSelector=metadata.name!%3Da"),
        get("/api/v1/namespaces"),
        get("/api/v1/namespaces/${ns}"),
        put("/api/v1/namespaces/${ns}/finalize", {}),
        post(PODS, pod("a")),
        post(f"{PODS}/a/eviction", {}),
        post(f"{PODS}/a/exec?command=sh", {}),
        put(f"{PODS}/a/status", pod("a")),
        patch(f"{MAPS}/a", {}),
        apply(f"{MAPS}/b", named("b")),
        delete(f"{MAPS}/a"),
        delete(MAPS),
        get(f"{DEPLOYMENTS}/a/scale"),
        get("/apis/nothing.example/v1/things"),
        get("/apis/nothing.example/v1/namespaces/${ns}/things/a/b"),
        get("/apis/nothing.example", unseen=True),
        get("/api/v9"),
        get("/nothing"),
        get("/"),
        get("/metrics"),
        post("/version", {}),
        get("/version", unseen=True),
        get("/openapi/v3", unseen=True),
        get("/healthz"),
        get(f"{MAPS}/%3Cb%3E"),
        get(f"{MAPS}/"),
    ),
)

LISTED = sequence(
    "a role grants verbs on kinds, a name only where it is given",
    post(MAPS, named("a")),
    post(MAPS, named("b")),
    post(DEPLOYMENTS, workload("w", replicas=0)),
    post(
        ROLES,
        role(
            "r",
            rule("get list watch", "pods"),
            rule("get list watch update patch delete", "configmaps", resourceNames=["a"]),
            rule("get update patch", "*/scale", "*"),
            rule("*", "secrets"),
            rule("create", "configmaps"),
            rule("get", "pods/exec pods/attach pods/portforward"),
        ),
    ),
    post(BINDINGS, binding("r", "Role/r", "User/ann")),
    *once("ann", get(PODS)),
    *by(
        "ann",
        get(f"{PODS}/a"),
        get("/api/v1/pods"),
        get(f"{PODS}/a/log"),
        get(f"{PODS}/a/exec?command=sh"),
        get(f"{PODS}/a/attach"),
        get(f"{PODS}/a/portforward"),
        get(f"{MAPS}/a"),
        get(f"{MAPS}/b"),
        get(MAPS),
        get(f"{MAPS}?fieldSelector=metadata.name%3Da"),
        get(f"{MAPS}?fieldSelector=metadata.name%3D%3Da"),
        get(f"{MAPS}?fieldSelector=metadata.name%3Db"),
        get(f"{MAPS}?fieldSelector=metadata.name%3Da,metadata.namespace%3Dx"),
        watch(f"{MAPS}?fieldSelector=metadata.name%3Da", 1),
        get(f"{MAPS}?watch=1"),
        patch(f"{MAPS}/a", {"data": {"x": "y"}}),
        patch(f"{MAPS}/b", {"data": {"x": "y"}}),
        post(MAPS, named("c")),
        delete(f"{MAPS}/c"),
        delete(f"{MAPS}?fieldSelector=metadata.name%3Da"),
        delete(f"{MAPS}/a"),
        get(f"{DEPLOYMENTS}/w"),
        get(f"{DEPLOYMENTS}/w/scale"),
        patch(f"{DEPLOYMENTS}/w/scale", {"spec": {"replicas": 1}}),
        get(f"{DEPLOYMENTS}/w/status"),
        get(f"{APPS}/replicasets/none/scale"),
        post(f"{HOME}/secrets", named("s", "Secret")),
        get(f"{HOME}/secrets"),
        delete(f"{HOME}/secrets"),
        get("/api/v1/namespaces/default/secrets"),
        get("/api/v1/secrets"),
    ),
    delete(f"{BINDINGS}/r"),
    *once("ann", get(PODS), 403),
    *by("ann", get(f"{DEPLOYMENTS}/w/scale")),
)

SUBJECTS = sequence(
    "users, groups and service accounts are bound, in a namespace and everywhere",
    post(CLUSTER_ROLES, cluster_role("r", rule("list", "configmaps"))),
    post(BINDINGS, binding("by-group", "ClusterRole/${ns}-r", "Group/team")),
    post(BINDINGS, binding("by-account", "ClusterRole/${ns}-r", "ServiceAccount/default", "ServiceAccount/x/robot")),
    *once("ben+team", get(NO_MAPS)),
    *once("system:serviceaccount:${ns}:default", get(NO_MAPS)),
    *once("system:serviceaccount:x:robot", get(NO_MAPS)),
    *by("system:serviceaccount:x:default", get(MAPS)),
    *by("system:serviceaccount:${ns}:default", get("/api/v1/configmaps")),
    *by("ben", get(MAPS)),
    *by("ben+team", get("/api/v1/configmaps"), get("/api/v1/namespaces/default/configmaps")),
    post(CLUSTER_BINDINGS, cluster_binding("r", "r", "User/eve", "ServiceAccount/${ns}/default")),
    *once("eve", get("/api/v1/namespaces/default/configmaps?limit=0&labelSelector=none")),
    *by("eve", get("/api/v1/configmaps?labelSelector=none"), get("/api/v1/namespaces/default/configmaps/a")),
    delete(f"{CLUSTER_BINDINGS}/${{ns}}-r"),
    delete(f"{CLUSTER_ROLES}/${{ns}}-r"),
    *once("ben+team", get(MAPS), 403),
    *by("ben+team", get(MAPS)),
)

LOST = sequence(
    "a binding to a role that is not there says so",
    post(ROLES, role("r", rule("list", "configmaps"))),
    post(BINDINGS, binding("lost", "Role/none", "User/fred")),
    post(BINDINGS, binding("lost-too", "ClusterRole/none", "User/fred", "User/gil")),
    post(BINDINGS, binding("r", "Role/r", "User/gil", "User/hal")),
    *once("gil", get(NO_MAPS)),
    *by("fred", replace(get(MAPS), loose=True)),
    *by("gil", get(PODS), get("/healthz"), get("/api/v1/pods")),
)

CREATING = sequence(
    "who may change what is there may not make what is not",
    post(ROLES, role("r", rule("get update patch", "leases configmaps", "core coordination.k8s.io"))),
    post(BINDINGS, binding("r", "Role/r", "User/ann")),
    *once("ann", get(f"{LEASES}/a"), 404),
    *by(
        "ann",
        put(f"{LEASES}/a", named("a", "Lease", "coordination.k8s.io/v1")),
        put(f"{LEASES}/a", named("a", "Lease", "coordination.k8s.io/v1", spec={"leaseTransitions": -1})),
        put(f"{MAPS}/a", named("a")),
        apply(f"{LEASES}/a", named("a", "Lease", "coordination.k8s.io/v1")),
        apply(f"{MAPS}/a", named("a", data={"a": "b"})),
        apply(f"{MAPS}/a?dryRun=All", named("a", data={"a": "b"})),
        patch(f"{MAPS}/a", named("a"), APPLY),
    ),
    post(MAPS, named("a")),
    *by("ann", put(f"{MAPS}/a", named("a", data={"a": "b"})), apply(f"{MAPS}/a", named("a", data={"c": "d"}))),
)

DOORS = sequence(
    "paths that lead to no resource have rights of their own",
    post(CLUSTER_ROLES, cluster_role("r", urls("/logs/*", "/metrics"), urls("/debug*", verbs="*"), urls("/exact"))),
    post(CLUSTER_BINDINGS, cluster_binding("r", "r", "User/dora")),
    *once("dora", get("/exact", unseen=True), 404),
    *by(
        "dora",
        get("/exact/"),
        get("/exact/below"),
        get("/logs"),
        replace(get("/logs/a/b"), unseen=True),
        get("/other"),
        post("/exact", {}),
        delete("/exact"),
        get("/metricsandmore"),
        get("/apis", unseen=True),
        get("/apis/apps/v1", unseen=True),
        post("/apis/apps/v1", {}),
    ),
    *by("system:anonymous", get("/api"), get("/apis"), get("/healthz"), get(PODS), get("/openapi/v3"), get("/nothing")),
    *by("system:anonymous", get("/version", unseen=True), post(MAPS, named("a"))),
)

SEQUENCES: tuple[Sequence, ...] = (STRANGER, LISTED, SUBJECTS, LOST, CREATING, DOORS)
