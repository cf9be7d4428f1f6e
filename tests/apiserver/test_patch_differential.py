"""Patches give on an embedded server what they give on a real one: objects, refusals, and the words of refusals."""

from collections.abc import Iterator
from zlib import crc32

import pytest

from isthmus.api.scheme import Manifest
from tests.apiserver.pair import MERGE, PATCH, STRATEGIC, Pair, pair_of

NAMESPACE = "patches"
V1 = f"/api/v1/namespaces/{NAMESPACE}"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_of(tmp_path_factory.mktemp("pair"), NAMESPACE) as both:
        yield both


def number_of(request: pytest.FixtureRequest) -> int:
    return crc32(request.node.name.encode())


def config_map(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"a": "b"}}, "data": data}


def deployment(name: str) -> Manifest:
    container = {
        "name": "main",
        "image": "shop:1",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81, "name": "admin"}],
        "args": ["x", "y"],
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "containers": [container, {"name": "side", "image": "side:1"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    }
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    metadata = {"name": name, "finalizers": ["test.dev/a", "test.dev/b"]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def service(name: str) -> Manifest:
    ports = [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports}}


@pytest.mark.parametrize(
    ("media", "patch"),
    [
        pytest.param(MERGE, {"data": {"a": None, "c": "3"}}, id="null removes, the rest is set"),
        pytest.param(MERGE, {"data": None}, id="a whole map goes"),
        pytest.param(MERGE, {"metadata": {"labels": {"a": None}}}, id="the last label goes"),
        pytest.param(MERGE, {"dat": {"a": "b"}}, id="an unknown field is dropped"),
        pytest.param(MERGE, {"metadata": {"name": "other"}}, id="a name stays"),
        pytest.param(MERGE, {"metadata": {"resourceVersion": "1"}}, id="an old version is a conflict"),
        pytest.param(PATCH, [{"op": "add", "path": "/data/x", "value": "y"}], id="add"),
        pytest.param(PATCH, [{"op": "replace", "path": "/data/a", "value": "y"}], id="replace"),
        pytest.param(PATCH, [{"op": "replace", "path": "/data/zz", "value": "y"}], id="replace what is not there"),
        pytest.param(PATCH, [{"op": "remove", "path": "/data/zz"}], id="remove what is not there"),
        pytest.param(PATCH, [{"op": "add", "path": "/spec/x/y", "value": 1}], id="add below what is not there"),
        pytest.param(PATCH, [{"op": "remove", "path": "/data/a"}], id="remove"),
        pytest.param(PATCH, [{"op": "test", "path": "/data/a", "value": "1"}], id="a test that holds"),
        pytest.param(PATCH, [{"op": "test", "path": "/data/a", "value": "z"}], id="a test that fails"),
        pytest.param(PATCH, [{"op": "move", "from": "/data/a", "path": "/data/m"}], id="move"),
        pytest.param(PATCH, [{"op": "copy", "from": "/data/a", "path": "/data/m"}], id="copy"),
        pytest.param(PATCH, [{"op": "foo", "path": "/data/a"}], id="an unknown operation"),
        pytest.param(PATCH, [], id="no operation"),
        pytest.param(STRATEGIC, {"data": {"a": None, "c": "3"}}, id="strategic: null removes"),
        pytest.param(STRATEGIC, {"data": {"$patch": "replace", "z": "1"}}, id="strategic: replace a map"),
        pytest.param(STRATEGIC, {"data": {"$patch": "delete"}}, id="strategic: delete a map"),
    ],
)
def test_config_maps_are_patched_alike(pair: Pair, media: str, patch: object, request: pytest.FixtureRequest) -> None:
    name = f"map-{number_of(request)}"
    pair.send("POST", f"{V1}/configmaps", config_map(name, a="1", b="2"))
    pair.send("PATCH", f"{V1}/configmaps/{name}", patch, media)
    pair.send("GET", f"{V1}/configmaps/{name}")


@pytest.mark.parametrize(
    ("media", "patch"),
    [
        pytest.param(MERGE, {"data": {"a": 1}}, id="a number is no text"),
        pytest.param(MERGE, {"data": ["a"]}, id="a list is no map"),
        pytest.param(MERGE, {"kind": "Secret"}, id="a kind stays"),
        pytest.param(MERGE, [1], id="a list is no merge patch"),
        pytest.param(MERGE, b"{", id="broken JSON is no merge patch"),
        pytest.param(PATCH, {"op": "add"}, id="an object is no JSON patch"),
        pytest.param(STRATEGIC, {"data": {"$patch": "foo"}}, id="strategic: an unknown directive"),
        pytest.param(STRATEGIC, {"$retainKeys": ["data"], "data": {"q": "1"}}, id="strategic: retain keys"),
        pytest.param("text/plain", {"data": {}}, id="an unknown type of patch"),
    ],
)
def test_bad_patches_of_config_maps_change_nothing(
    pair: Pair, media: str, patch: object, request: pytest.FixtureRequest
) -> None:
    name = f"map-{number_of(request)}"
    pair.send("POST", f"{V1}/configmaps", config_map(name, a="1", b="2"))
    pair.refuse("PATCH", f"{V1}/configmaps/{name}", patch, media)
    pair.send("GET", f"{V1}/configmaps/{name}")


def in_pod(patch: Manifest) -> Manifest:
    return {"spec": {"template": {"spec": patch}}}


def in_main(patch: Manifest) -> Manifest:
    return in_pod({"containers": [{"name": "main", **patch}]})


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param(in_main({"image": "shop:2"}), id="one container by its name"),
        pytest.param(in_pod({"containers": [{"name": "new", "image": "new:1"}]}), id="a new container comes first"),
        pytest.param(in_pod({"containers": [{"name": "side", "$patch": "delete"}]}), id="a container goes"),
        pytest.param(
            in_pod({"containers": [{"$patch": "replace"}, {"name": "only", "image": "o:1"}]}), id="all are replaced"
        ),
        pytest.param(in_main({"env": [{"name": "B", "$patch": "delete"}, {"name": "C", "value": "3"}]}), id="env"),
        pytest.param(in_main({"args": ["z"]}), id="an atomic list is replaced"),
        pytest.param(in_main({"ports": [{"containerPort": 80, "name": "web"}]}), id="ports by number"),
        pytest.param(in_main({"ports": None}), id="a list goes"),
        pytest.param(in_main({"$setElementOrder/env": [{"name": "B"}, {"name": "A"}]}), id="an order without a change"),
        pytest.param(
            in_main(
                {
                    "$setElementOrder/env": [{"name": "C"}, {"name": "B"}],
                    "env": [{"name": "C", "value": "3"}, {"name": "A", "$patch": "delete"}],
                }
            ),
            id="an order with changes",
        ),
        pytest.param(
            in_pod(
                {
                    "$setElementOrder/containers": [{"name": "side"}, {"name": "main"}],
                    "containers": [{"name": "main", "image": "shop:3"}],
                }
            ),
            id="an order turns containers round",
        ),
        pytest.param({"metadata": {"$deleteFromPrimitiveList/finalizers": ["test.dev/a"]}}, id="from a set"),
        pytest.param({"metadata": {"finalizers": ["test.dev/c"]}}, id="into a set"),
        pytest.param(
            {
                "metadata": {
                    "$setElementOrder/finalizers": ["test.dev/c", "test.dev/b", "test.dev/a"],
                    "finalizers": ["test.dev/c"],
                }
            },
            id="into a set, ordered",
        ),
        pytest.param(
            {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}, id="only the keys retained"
        ),
        pytest.param({"spec": {"strategy": {"type": "Recreate"}}}, id="a strategy with what it may not have"),
        pytest.param(
            in_pod({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}),
            id="another source for a volume",
        ),
        pytest.param(in_pod({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), id="two sources for one volume"),
        pytest.param({"spec": {"selector": {"matchLabels": {"x": "y"}}}}, id="a selector stays"),
        pytest.param({"spec": {"replicas": 0, "paused": True}}, id="zero is a value"),
        pytest.param({"spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}}, id="restart"),
        pytest.param({"status": {"replicas": 7}}, id="a status is not written here"),
        pytest.param(in_main({"resources": {"limits": {"cpu": "1500m", "memory": "1024Mi"}}}), id="quantities"),
        pytest.param(in_main({"livenessProbe": {"httpGet": {"port": "http"}}}), id="a probe with its defaults"),
    ],
)
def test_deployments_are_patched_alike(pair: Pair, patch: Manifest, request: pytest.FixtureRequest) -> None:
    name = f"deployment-{number_of(request)}"
    path = f"{APPS}/deployments"
    pair.send("POST", path, deployment(name))
    pair.send("PATCH", f"{path}/{name}", patch, STRATEGIC)
    pair.send("GET", f"{path}/{name}")


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param(in_pod({"containers": [{"image": "x"}]}), id="a container without its key"),
        pytest.param({"spec": {"replicas": "3"}}, id="a number in quotes"),
        pytest.param(
            in_main({"$setElementOrder/env": [{"name": "A"}], "env": [{"name": "Z", "value": "1"}]}),
            id="an order that lacks what is changed",
        ),
    ],
)
def test_bad_patches_of_deployments_change_nothing(pair: Pair, patch: Manifest, request: pytest.FixtureRequest) -> None:
    name = f"deployment-{number_of(request)}"
    path = f"{APPS}/deployments"
    pair.send("POST", path, deployment(name))
    pair.refuse("PATCH", f"{path}/{name}", patch, STRATEGIC)
    pair.send("GET", f"{path}/{name}")


@pytest.mark.parametrize(
    ("media", "patch"),
    [
        pytest.param(STRATEGIC, {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}, id="ports merge by port"),
        pytest.param(STRATEGIC, {"spec": {"ports": [{"port": 81, "name": "new"}]}}, id="a port more"),
        pytest.param(MERGE, {"spec": {"ports": [{"port": 81}]}}, id="a merge patch replaces the list"),
        pytest.param(MERGE, {"spec": {"ports": []}}, id="a service needs a port"),
        pytest.param(MERGE, {"spec": {"sessionAffinity": "ClientIP"}}, id="affinity with its default"),
        pytest.param(MERGE, {"spec": {"selector": {"a": "b"}}}, id="a selector is set"),
        pytest.param(PATCH, [{"op": "add", "path": "/spec/ports/-", "value": {"port": 82, "name": "x"}}], id="append"),
        pytest.param(PATCH, [{"op": "add", "path": "/spec/ports/9", "value": {"port": 82}}], id="far beyond the end"),
        pytest.param(PATCH, [{"op": "remove", "path": "/spec/ports/0"}], id="the first goes"),
        pytest.param(PATCH, [{"op": "replace", "path": "/spec/ports/0/port", "value": 70000}], id="out of range"),
    ],
)
def test_services_are_patched_alike(pair: Pair, media: str, patch: object, request: pytest.FixtureRequest) -> None:
    name = f"service-{number_of(request)}"
    pair.send("POST", f"{V1}/services", service(name))
    pair.send("PATCH", f"{V1}/services/{name}", patch, media)
    pair.send("GET", f"{V1}/services/{name}")
