import pytest

from isthmus.apiserver.authentication import MASTERS, User
from isthmus.apiserver.authorization import Attributes, Authorizer, attributes_of
from isthmus.apiserver.grants import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Grants
from isthmus.apiserver.storage import Storage

ANN = User("ann", ("team",))
LIST_PODS = Attributes(ANN, "list", resource="pods", namespace="a")


@pytest.mark.parametrize(
    ("method", "path", "query", "asked"),
    [
        ("GET", "/", {}, Attributes(ANN, "get", path="/")),
        ("POST", "/version/", {}, Attributes(ANN, "post", path="/version/")),
        ("GET", "/apis/apps/v1", {}, Attributes(ANN, "get", path="/apis/apps/v1")),
        ("GET", "/api/v1", {}, Attributes(ANN, "get", path="/api/v1")),
        ("GET", "/api/v1/pods", {}, Attributes(ANN, "list", "", "v1", "pods")),
        ("HEAD", "/api/v1/nodes/a", {}, Attributes(ANN, "get", "", "v1", "nodes", "", "", "a")),
        ("GET", "/api/v1/namespaces", {"watch": ""}, Attributes(ANN, "watch", "", "v1", "namespaces")),
        ("GET", "/api/v1/namespaces/a", {}, Attributes(ANN, "get", "", "v1", "namespaces", "", "a", "a")),
        (
            "PUT",
            "/api/v1/namespaces/a/status",
            {},
            Attributes(ANN, "update", "", "v1", "namespaces", "status", "a", "a"),
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/b/scale",
            {},
            Attributes(ANN, "patch", "apps", "v1", "deployments", "scale", "a", "b"),
        ),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments",
            {"fieldSelector": "metadata.name=b"},
            Attributes(ANN, "deletecollection", "apps", "v1", "deployments", "", "a"),
        ),
        (
            "GET",
            "/api/v1/namespaces/a/pods",
            {"watch": "0", "fieldSelector": "spec.nodeName=n,metadata.name==b"},
            Attributes(ANN, "list", "", "v1", "pods", "", "a", "b"),
        ),
        ("GET", "/api/v1/watch/namespaces/a/pods/b", {}, Attributes(ANN, "watch", "", "v1", "pods", "", "a", "b")),
        ("OPTIONS", "/api/v1/pods", {}, Attributes(ANN, "", "", "v1", "pods")),
    ],
)
def test_a_request_is_read_off_its_path(method: str, path: str, query: dict[str, str], asked: Attributes) -> None:
    assert attributes_of(ANN, method, path, query) == asked


@pytest.fixture
def storage() -> Storage:
    return Storage(None, 10)


def role(storage: Storage, name: str, namespace: str, *verbs: str) -> None:
    obj = {
        "metadata": {"name": name, "uid": "u"},
        "rules": [{"verbs": list(verbs), "apiGroups": [""], "resources": ["pods"]}],
    }
    storage.put(storage.collection(ROLES if namespace else CLUSTER_ROLES), (namespace, name), obj)


def binding(storage: Storage, name: str, namespace: str, kind: str, to: str, *subjects: dict[str, str]) -> None:
    obj = {
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": name, "namespace": namespace, "uid": "u"},
        "roleRef": {"kind": kind, "name": to},
        "subjects": list(subjects),
    }
    storage.put(storage.collection(ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS), (namespace, name), obj)


def test_rights_come_and_go_with_each_change(storage: Storage) -> None:
    authorizer = Authorizer(Grants(storage))
    assert not authorizer.authorize(LIST_PODS).allowed
    binding(storage, "b", "a", "Role", "r", {"kind": "User", "name": "ann"})
    assert authorizer.authorize(LIST_PODS).reason.endswith('"r" not found')
    role(storage, "r", "a", "list")
    allowed = authorizer.authorize(LIST_PODS)
    assert (allowed.allowed, allowed.reason) == (True, 'RBAC: allowed by RoleBinding "b/a" of Role "r" to User "ann"')
    role(storage, "r", "a", "get")
    assert not authorizer.authorize(LIST_PODS).allowed
    role(storage, "r", "a", "list")
    binding(storage, "b", "a", "Role", "r", {"kind": "User", "name": "ben"})
    assert not authorizer.authorize(LIST_PODS).allowed
    binding(storage, "b", "a", "Role", "r", {"kind": "Group", "name": "team"})
    assert authorizer.authorize(LIST_PODS).allowed
    storage.remove(storage.collection(ROLE_BINDINGS), ("a", "b"))
    assert not authorizer.authorize(LIST_PODS).allowed


def test_what_is_bound_in_one_namespace_ends_there(storage: Storage) -> None:
    authorizer = Authorizer(Grants(storage))
    role(storage, "r", "", "list")
    binding(storage, "b", "a", "ClusterRole", "r", {"kind": "ServiceAccount", "name": "robot"})
    robot = User("system:serviceaccount:a:robot", ())
    places = {place: Attributes(robot, "list", resource="pods", namespace=place) for place in ("a", "b", "")}
    assert [place for place, asked in places.items() if authorizer.authorize(asked).allowed] == ["a"]
    binding(storage, "b", "", "ClusterRole", "r", {"kind": "ServiceAccount", "name": "robot", "namespace": "a"})
    assert all(authorizer.authorize(asked).allowed for asked in places.values())


def test_masters_may_do_what_no_role_names(storage: Storage) -> None:
    asked = Attributes(User("root", (MASTERS,)), "drink", resource="wine")
    assert Authorizer(Grants(storage)).authorize(asked).allowed


def test_a_path_is_allowed_by_its_beginning_only_where_a_star_says_so(storage: Storage) -> None:
    authorizer = Authorizer(Grants(storage))
    rules = [{"verbs": ["get"], "nonResourceURLs": ["/logs/*", "/a"]}]
    storage.put(storage.collection(CLUSTER_ROLES), ("", "r"), {"metadata": {"name": "r"}, "rules": rules})
    binding(storage, "b", "", "ClusterRole", "r", {"kind": "Group", "name": "team"})
    paths = ("/a", "/a/b", "/ab", "/logs", "/logs/", "/logs/x/y", "")
    allowed = [path for path in paths if authorizer.authorize(Attributes(ANN, "get", path=path)).allowed]
    assert allowed == ["/a", "/logs/", "/logs/x/y"]
