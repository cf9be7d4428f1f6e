"""The same requests to the embedded server and to the real one: the same answers."""

from collections.abc import Iterator

import pytest

from isthmus.api.scheme import Manifest
from tests.apiserver.calling import pod, service, widget_definition
from tests.apiserver.pair import APPLY, JSON, MERGE, PATCH, STRATEGIC, Pair, pair_of

SPACE = "verbs"
HOME = f"/api/v1/namespaces/{SPACE}"
MAPS, PODS, SERVICES = f"{HOME}/configmaps", f"{HOME}/pods", f"{HOME}/services"
APPS = f"/apis/apps/v1/namespaces/{SPACE}"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_of(tmp_path_factory.mktemp("verbs"), SPACE) as made:
        yield made


def maps(name: str, **fields: object) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **fields}


def workload(kind: str, name: str, **spec: object) -> Manifest:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "host"}]}}
    selector = {"matchLabels": {"a": "b"}}
    told = {"replicas": 0, "selector": selector, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": told}


def remove(pair: Pair, path: str) -> None:
    """Delete on both; their answers name their own UIDs."""
    codes = [each.send("DELETE", path)[0] for each in (pair.ours, pair.theirs)]
    assert codes == [200, 200]


def test_the_life_of_an_object(pair: Pair) -> None:
    assert pair.send("POST", MAPS, maps("a", data={"x": "y"}))["code"] == 201
    assert pair.send("POST", MAPS, maps("a"))["code"] == 409
    assert pair.send("PUT", f"{MAPS}/a", maps("a", data={"x": "z"}))["code"] == 200
    stale = {"metadata": {"name": "a", "resourceVersion": "1"}, "data": {}}
    assert pair.send("PUT", f"{MAPS}/a", stale)["code"] == 409
    assert pair.send("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, MERGE)["code"] == 200
    assert pair.send("PATCH", f"{MAPS}/a", {"data": {"l": "v"}}, STRATEGIC)["code"] == 200
    assert pair.send("PATCH", f"{MAPS}/a", [{"op": "replace", "path": "/data/k", "value": "w"}], PATCH)["code"] == 200
    assert pair.send("PATCH", f"{MAPS}/a", {"metadata": {"resourceVersion": "1"}}, MERGE)["code"] == 409
    remove(pair, f"{MAPS}/a")
    assert pair.send("DELETE", f"{MAPS}/a")["code"] == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "media"),
    [
        pytest.param("GET", "/api/v1/namespaces/nowhere", None, JSON, id="no such namespace"),
        pytest.param("POST", "/api/v1/namespaces/nowhere/configmaps", maps("a"), JSON, id="nothing to put it in"),
        pytest.param("GET", f"{MAPS}/none", None, JSON, id="no such object"),
        pytest.param("GET", "/api/v1/nothings", None, JSON, id="no such kind"),
        pytest.param("GET", f"{HOME}/nodes", None, JSON, id="a node in a namespace"),
        pytest.param("GET", f"{MAPS}/a/status", None, JSON, id="no such subresource"),
        pytest.param("POST", "/api/v1/configmaps", maps("a"), JSON, id="in no namespace"),
        pytest.param("DELETE", "/api/v1/namespaces", None, JSON, id="all namespaces"),
        pytest.param("DELETE", "/api/v1/namespaces/default", None, JSON, id="the default namespace"),
        pytest.param("POST", f"{MAPS}/a", maps("a"), JSON, id="POST to an object"),
        pytest.param("POST", MAPS, {"metadata": {}}, JSON, id="no name"),
        pytest.param("POST", MAPS, maps("BAD_"), JSON, id="no DNS name"),
        pytest.param("POST", MAPS, maps("a") | {"metadata": {"name": "a", "resourceVersion": "5"}}, JSON, id="version"),
        pytest.param(
            "POST", MAPS, maps("a") | {"metadata": {"name": "a", "namespace": "b"}}, JSON, id="two namespaces"
        ),
        pytest.param("POST", f"{MAPS}?fieldValidation=Strict", maps("a", colour="red"), JSON, id="unknown field"),
        pytest.param("POST", f"{MAPS}?fieldValidation=Perhaps", maps("a"), JSON, id="unknown strictness"),
        pytest.param("POST", f"{MAPS}?dryRun=Some", maps("a"), JSON, id="half a dry run"),
        pytest.param("POST", MAPS, maps("a", data=3), JSON, id="wrong type"),
        pytest.param("PUT", f"{MAPS}/a", maps("b"), JSON, id="two names"),
        pytest.param("PUT", f"{MAPS}/none", maps("none"), JSON, id="update of nothing"),
        pytest.param("PATCH", f"{MAPS}/none", {"data": {}}, MERGE, id="patch of nothing"),
        pytest.param("PATCH", f"{MAPS}/ap", maps("ap"), APPLY, id="apply by nobody"),
        pytest.param("PATCH", f"{MAPS}/ap?fieldManager=x", maps("b"), APPLY, id="apply under another name"),
        pytest.param("PATCH", f"{MAPS}/ap?fieldManager=x", {"data": {}}, APPLY, id="apply without a kind"),
        pytest.param("PATCH", f"{MAPS}/ap?fieldManager=x", maps("ap", colour="red"), APPLY, id="apply unknown field"),
        pytest.param("GET", f"{MAPS}?resourceVersionMatch=Exact", None, JSON, id="match without version"),
        pytest.param("GET", f"{MAPS}?resourceVersionMatch=Never&resourceVersion=1", None, JSON, id="no such match"),
        pytest.param("GET", f"{MAPS}?fieldSelector=data.x=y", None, JSON, id="a field that is not indexed"),
        pytest.param("GET", f"{MAPS}?limit=many", None, JSON, id="no number"),
        pytest.param("GET", f"{MAPS}?watch=1&sendInitialEvents=true", None, JSON, id="stream without match"),
        pytest.param("DELETE", f"{MAPS}/none", {"propagationPolicy": "Later"}, JSON, id="no such policy"),
        pytest.param("POST", PODS, pod("p", containers=[]), JSON, id="a pod of nothing"),
        pytest.param("POST", PODS, pod("p", containers="x"), JSON, id="containers that are text"),
    ],
)
def test_refusals(pair: Pair, method: str, path: str, body: Manifest | None, media: str) -> None:
    assert pair.send(method, path, body, media)["code"] >= 400


def test_preconditions_of_a_delete(pair: Pair) -> None:
    pair.send("POST", MAPS, maps("pre"))
    for condition in ({"uid": "another"}, {"resourceVersion": "1"}):
        pair.refuse("DELETE", f"{MAPS}/pre", {"preconditions": condition})
    remove(pair, f"{MAPS}/pre")


def test_a_pod_from_binding_to_its_end(pair: Pair) -> None:
    pair.send("POST", PODS, pod("p", automountServiceAccountToken=False, serviceAccountName="default"))
    pair.send(
        "PATCH",
        f"{PODS}/p/status",
        {"status": {"phase": "Running", "podIPs": [{"ip": "10.1.1.1"}], "podIP": "10.1.1.1"}},
        STRATEGIC,
    )
    pair.send("PATCH", f"{PODS}/p", {"status": {"phase": "Failed"}}, STRATEGIC)
    pair.send("PATCH", f"{PODS}/p/status", {"metadata": {"labels": {"q": "r"}}}, STRATEGIC)
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "n1"}}
    assert pair.send("POST", f"{PODS}/p/binding", binding)["code"] == 201
    assert pair.send("GET", f"{PODS}?fieldSelector=spec.nodeName=n2")["items"] == []
    first = pair.send("DELETE", f"{PODS}/p?gracePeriodSeconds=9")
    assert first["metadata"]["deletionGracePeriodSeconds"] == 9
    assert pair.send("DELETE", f"{PODS}/p?gracePeriodSeconds=0")["code"] == 200
    assert pair.send("GET", f"{PODS}/p")["code"] == 404


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"clusterIP": "None"},
        {"clusterIP": "None", "selector": {"a": "b"}},
        {"type": "ExternalName", "externalName": "a.b"},
        {"type": "ClusterIP", "sessionAffinity": "ClientIP"},
        {"clusterIP": "1.2.3.4"},
        {"clusterIP": "nonsense"},
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
        {"ipFamilies": ["IPv9"]},
        {"ports": []},
    ],
    ids=str,
)
def test_services(pair: Pair, spec: Manifest) -> None:
    made = pair.send("POST", SERVICES, service("s", **spec))
    if made["code"] == 201:
        pair.send("PUT", f"{SERVICES}/s", service("s", **spec | {"ports": [{"port": 81}]}))
        pair.send("PATCH", f"{SERVICES}/s", {"metadata": {"labels": {"a": "b"}}}, MERGE)
        assert pair.send("DELETE", f"{SERVICES}/s")["code"] == 200


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet"])
def test_workloads_and_their_scale(pair: Pair, kind: str) -> None:
    path = f"{APPS}/{kind.lower()}s"
    pair.send("POST", path, workload(kind, "w"))
    pair.send("GET", f"{path}/w/scale")
    pair.send("PATCH", f"{path}/w/scale", {"spec": {"replicas": 3}}, MERGE)
    pair.send("PATCH", f"{path}/w/scale", {"spec": {"replicas": -1}}, MERGE)
    assert pair.send("GET", f"{path}/w")["spec"]["replicas"] == 3
    remove(pair, f"{path}/w")


def test_custom_kinds(pair: Pair) -> None:
    crd = widget_definition()
    for each in (pair.ours, pair.theirs):
        each.send("POST", CRDS, crd)
    path = f"/apis/example.com/v1/namespaces/{SPACE}/widgets"
    for each in (pair.ours, pair.theirs):
        while each.send("GET", path)[0] != 200:
            pass

    def widget(name: str, **fields: object) -> Manifest:
        return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, **fields}

    pair.send("POST", path, widget("a", spec={"colour": "red", "weight": 1}, status={"ready": True}))
    pair.send("POST", f"{path}?fieldValidation=Strict", widget("b", spec={"weight": 1}))
    pair.send("POST", path, widget("b", spec={"size": 0}))
    pair.send("POST", path, widget("b") | {"apiVersion": "example.com/v9"})
    pair.send("POST", path, widget("b") | {"kind": "Gadget"})
    pair.send("PUT", f"{path}/a", widget("a"))
    pair.send("PATCH", f"{path}/a", {"spec": {"size": 4}}, MERGE)
    pair.send("PATCH", f"{path}/a", {"spec": {"size": 4}}, STRATEGIC)
    pair.send("PATCH", f"{path}/a/status", {"status": {"ready": True}, "spec": {"size": 9}}, MERGE)
    pair.send("PATCH", f"{path}/a?fieldManager=x", widget("a", spec={"size": 5}), APPLY)
    pair.send("PATCH", f"{path}/a?fieldManager=x&force=true", widget("a", spec={"size": 5}), APPLY)
    pair.send("PATCH", f"{path}/n?fieldManager=x&dryRun=All", widget("n", spec={"size": 5}), APPLY)
    pair.send("PATCH", f"{path}/n/status?fieldManager=x", widget("n", status={"ready": True}), APPLY)
    older = pair.send("GET", path.replace("/v1/", "/v1beta1/") + "/a")
    assert (older["apiVersion"], older["metadata"]["generation"]) == ("example.com/v1beta1", 3)
    pair.send("PATCH", f"{path}/a", {"metadata": {"finalizers": ["x.io/y"]}}, MERGE)
    assert pair.send("DELETE", f"{path}/a?propagationPolicy=Background")["code"] == 200
    pair.send("PATCH", f"{path}/a", {"metadata": {"finalizers": None}}, MERGE)
    assert pair.send("GET", f"{path}/a")["code"] == 404
