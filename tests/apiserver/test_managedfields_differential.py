"""Ownership of fields is on an embedded server what it is on a real one, step by step."""

import itertools
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.api.scheme import Manifest
from tests.apiserver.pair import APPLY, LIMIT, MERGE, STRATEGIC, Pair, pair_of

NAMESPACE = "owners"
V1 = f"/api/v1/namespaces/{NAMESPACE}"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
THINGS = f"/apis/test.dev/v1/namespaces/{NAMESPACE}/things"
OLD_THINGS = f"/apis/test.dev/v1alpha1/namespaces/{NAMESPACE}/things"
NUMBERS = itertools.count()

TEXT = {"type": "string"}
PORT = {
    "type": "object",
    "required": ["port"],
    "properties": {
        "port": {"type": "integer"},
        "protocol": {"type": "string", "default": "TCP"},
        "name": TEXT,
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
    },
}
SPEC = {
    "type": "object",
    "properties": {
        "text": TEXT,
        "count": {"type": "integer", "default": 3},
        "ports": {
            "type": "array",
            "items": PORT,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
        },
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
        "list": {"type": "array", "items": TEXT},
        "map": {"type": "object", "additionalProperties": TEXT},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": TEXT},
        "struct": {"type": "object", "properties": {"a": TEXT, "b": {"type": "object", "properties": {"c": TEXT}}}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "either": {"x-kubernetes-int-or-string": True},
    },
}
STATUS = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SCHEMA = {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.test.dev"},
    "spec": {
        "group": "test.dev",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {"name": name, "served": True, "storage": name == "v1", "schema": SCHEMA, "subresources": {"status": {}}}
            for name in ("v1", "v1alpha1")
        ],
    },
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_of(tmp_path_factory.mktemp("pair"), NAMESPACE) as both:
        for each in (both.ours, both.theirs):
            each.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)
            limit = time.monotonic() + LIMIT
            while each.send("GET", OLD_THINGS)[0] != 200 and time.monotonic() < limit:
                pass
        yield both


def thing(name: str, version: str = "v1", **spec: object) -> Manifest:
    return {"apiVersion": f"test.dev/{version}", "kind": "Thing", "metadata": {"name": name}, "spec": spec}


class Owned:
    """One object on both servers, and what is done to it."""

    def __init__(self, pair: Pair, path: str, obj: Manifest) -> None:
        self.pair = pair
        self.name = f"o{next(NUMBERS)}"
        self.path = path
        self.obj = {**obj, "metadata": {**obj.get("metadata", {}), "name": self.name}}

    def create(self, manager: str = "creator") -> Manifest:
        return self.pair.send("POST", f"{self.path}?fieldManager={manager}", self.obj)

    def apply(
        self, manager: str, changes: Manifest, *, force: bool = False, rest: str = "", path: str = ""
    ) -> Manifest:
        metadata = {**changes.get("metadata", {}), "name": self.name}
        versions = {"apiVersion": self.obj["apiVersion"], "kind": self.obj["kind"]}
        applied = {**versions, **changes, "metadata": metadata}
        query = f"fieldManager={manager}&force={str(force).lower()}"
        return self.pair.send("PATCH", f"{path or self.path}/{self.name}{rest}?{query}", applied, APPLY)

    def patch(self, manager: str, changes: object, media: str = MERGE, rest: str = "") -> Manifest:
        return self.pair.send("PATCH", f"{self.path}/{self.name}{rest}?fieldManager={manager}", changes, media)


def spec(**fields: object) -> Manifest:
    return {"spec": fields}


def test_a_field_left_out_goes_if_nobody_else_owns_it(pair: Pair) -> None:
    one = Owned(pair, THINGS, thing(""))
    one.apply("a", spec(text="x", map={"k": "1", "l": "2"}, struct={"a": "1", "b": {"c": "2"}}))
    one.apply("b", spec(text="x", map={"l": "2"}))
    one.apply("a", spec(map={"k": "1"}))
    one.apply("b", spec(map={}))
    one.apply("a", {})


def test_conflicts_name_managers_and_fields(pair: Pair) -> None:
    one = Owned(pair, THINGS, thing(""))
    one.apply("a", spec(text="x", ports=[{"port": 80, "name": "http"}]))
    one.apply("b", spec(text="y"))
    one.apply("b", spec(text="y", ports=[{"port": 80, "name": "web"}]))
    one.patch("c", spec(count=9))
    one.apply("b", spec(text="y", count=7, ports=[{"port": 80, "name": "web"}]))
    one.apply("b", spec(text="y", count=7), force=True)
    one.apply("a", spec(text="x"))


def test_keyed_lists_merge_by_key(pair: Pair) -> None:
    one = Owned(pair, THINGS, thing(""))
    one.apply("a", spec(ports=[{"port": 80, "name": "http"}, {"port": 81}]))
    one.apply("b", spec(ports=[{"port": 53, "protocol": "UDP"}, {"port": 80}]))
    one.apply("a", spec(ports=[{"port": 81}, {"port": 82}]))
    one.apply("a", spec(ports=[]))
    one.apply("b", spec())
    one.apply("b", spec(ports=[{"port": 1, "tags": ["x", "y"]}]))
    one.apply("a", spec(ports=[{"port": 1, "tags": ["y", "z"]}]))
    one.apply("b", spec(ports=[{"port": 1}]))


def test_sets_merge_by_value_and_atomics_as_wholes(pair: Pair) -> None:
    one = Owned(pair, THINGS, thing(""))
    one.apply("a", spec(set=["x", "y"], list=["1", "2"], whole={"k": "1"}))
    one.apply("b", spec(set=["y", "z"]))
    one.apply("b", spec(set=["z", "y"], list=["1"]))
    one.apply("b", spec(set=["z"], list=["1"], whole={"l": "1"}), force=True)
    one.apply("a", spec(set=["x"]))
    one.apply("a", spec(set=["x", "x"]))
    one.apply("a", spec(set=[]))


def test_a_first_apply_meets_what_was_made_otherwise(pair: Pair) -> None:
    one = Owned(pair, THINGS, thing("", text="x", map={"k": "1"}))
    one.create()
    one.apply("a", spec(text="x"))
    one.apply("a", spec(text="y"))
    one.apply("a", spec(map={"k": "2"}), force=True)
    one.apply("a", spec())


def test_updates_take_what_they_change(pair: Pair) -> None:
    one = Owned(pair, THINGS, thing(""))
    one.apply("a", spec(text="x", ports=[{"port": 80, "name": "http"}], map={"k": "1"}))
    one.patch("b", spec(text="y"))
    one.patch("b", spec(ports=[{"port": 80, "name": "web"}, {"port": 81}]))
    one.patch("c", spec(map=None))
    one.patch("c", {"metadata": {"labels": {"l": "m"}, "annotations": {"n": "o"}}})
    one.patch("c", {"metadata": {"labels": {"l": None}}})
    one.patch("c", spec(open={"deep": {"er": [1, {"a": 2}]}, "x": None}))
    one.apply("a", spec(text="y"))


def test_a_status_is_owned_by_its_own_path(pair: Pair) -> None:
    one = Owned(pair, THINGS, thing("", text="x"))
    one.create()
    one.patch("s", {"status": {"ready": True}, "spec": {"text": "z"}}, rest="/status")
    one.apply("t", {"status": {"note": "n", "list": [{"a": 1}]}}, rest="/status")
    one.apply("t", {"status": {"ready": False}}, rest="/status")
    one.apply("t", {"status": {"ready": False}}, rest="/status", force=True)
    one.apply("t", {"spec": {"text": "y"}, "status": {"ready": True}}, force=True)
    one.apply("s", {"metadata": {"labels": {"a": "b"}}, "spec": {"text": "q"}, "status": {"z": 1}}, rest="/status")


def test_owners_are_forgotten_on_demand(pair: Pair) -> None:
    one = Owned(pair, THINGS, thing("", text="x"))
    one.create()
    one.patch("b", {"metadata": {"managedFields": []}})
    one.patch("b", spec(text="y"))
    one.apply("a", spec(text="z"))
    one.apply("a", spec(text="y"))
    one.patch("b", {"metadata": {"managedFields": [{}]}})
    one.patch("b", {"metadata": {"managedFields": [{"operation": "foo"}]}})


def test_versions_of_one_kind_share_their_owners(pair: Pair) -> None:
    one = Owned(pair, THINGS, thing(""))
    one.apply("a", spec(text="x", map={"k": "1"}))
    old = {"apiVersion": "test.dev/v1alpha1"}
    one.apply("a", {**old, **spec(text="y")}, path=OLD_THINGS)
    one.apply("b", {**old, **spec(text="z")}, path=OLD_THINGS)
    one.apply("b", spec(text="z"))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(spec(unknown=1), id="an unknown field"),
        pytest.param(spec(text=1), id="a number for text"),
        pytest.param(spec(ports=[{"name": "x"}]), id="an item without keys"),
        pytest.param(spec(ports=[{"port": 1}, {"port": 1}]), id="an item twice"),
        pytest.param(spec(ports={"a": 1}), id="a map for a list"),
        pytest.param({"metadata": {"managedFields": []}}, id="managed fields"),
        pytest.param({"apiVersion": "test.dev/v9"}, id="another version"),
        pytest.param({"kind": "Other"}, id="another kind"),
        pytest.param({"metadata": {"resourceVersion": "1"}}, id="an old version"),
        pytest.param({"metadata": {"uid": "x"}}, id="another object"),
        pytest.param(spec(text=None), id="a null"),
        pytest.param(spec(struct=None), id="a null for a struct"),
        pytest.param(spec(struct={}), id="an empty struct"),
        pytest.param(spec(map={}), id="an empty map"),
        pytest.param(spec(open={"a": {"b": [1]}}), id="what the schema leaves open"),
        pytest.param(spec(either="50%"), id="a number or text"),
    ],
)
def test_odd_applies_end_alike(pair: Pair, changes: Manifest) -> None:
    one = Owned(pair, THINGS, thing("", text="x"))
    one.create()
    one.apply("a", changes, force=True)


def test_an_apply_needs_a_manager(pair: Pair) -> None:
    pair.send("PATCH", f"{THINGS}/x", thing("x"), APPLY)


TEMPLATE = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "main", "image": "i:1", "ports": [{"containerPort": 80}]}]},
}


def test_deployments_are_shared(pair: Pair) -> None:
    path = f"{APPS}/deployments"
    obj: Manifest = {"apiVersion": "apps/v1", "kind": "Deployment"}
    one = Owned(pair, path, obj)
    selector = {"matchLabels": {"a": "b"}}
    one.apply("a", spec(selector=selector, template=TEMPLATE, replicas=2))
    one.apply("scaler", spec(replicas=3))
    one.apply("scaler", spec(replicas=3), force=True)
    one.apply("a", spec(selector=selector, template=TEMPLATE))
    side = {"spec": {"containers": [{"name": "side", "image": "s:1"}]}}
    one.apply("injector", spec(template=side))
    one.apply(
        "injector", spec(template={"spec": {"containers": [{"name": "side", "env": [{"name": "E", "value": "1"}]}]}})
    )
    changed = {"spec": {"containers": [{"name": "main", "image": "i:2", "ports": [{"containerPort": 80}]}]}}
    one.patch("kubectl-edit", spec(template=changed), STRATEGIC)
    one.apply("a", spec(selector=selector, template=TEMPLATE))
    one.apply("injector", {})
    one.patch("controller", {"status": {"observedGeneration": 1}}, rest="/status")


def test_services_are_shared(pair: Pair) -> None:
    one = Owned(pair, f"{V1}/services", {"apiVersion": "v1", "kind": "Service"})
    one.apply("a", spec(ports=[{"port": 80, "name": "http"}], selector={"a": "b"}))
    one.apply("b", spec(ports=[{"port": 80, "protocol": "TCP", "name": "http"}, {"port": 53, "name": "dns"}]))
    one.apply("a", spec(ports=[{"port": 80, "name": "web"}], selector={"c": "d"}))
    one.apply("a", spec(ports=[{"port": 80, "name": "web"}], selector={"c": "d"}), force=True)
    one.apply("b", spec(ports=[{"port": 53, "name": "dns"}]))
    one.apply("a", spec(ports=[{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "TCP"}]))
    one.apply("a", {})


def test_kubectl_takes_over_from_client_side_apply(pair: Pair) -> None:
    obj: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1", "b": "2"}}
    one = Owned(pair, f"{V1}/configmaps", obj)
    last = '{"apiVersion":"v1","data":{"a":"1","b":"2"},"kind":"ConfigMap","metadata":{"annotations":{},"name":"x"}}\n'
    one.obj["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": last}
    one.create("kubectl-client-side-apply")
    one.apply("kubectl", {"data": {"a": "3"}})
    one.patch("other", {"data": {"a": "4"}})
    one.apply("kubectl", {"data": {"a": "5", "b": "6"}})


NAMES = st.sampled_from(["x", "y", "z"])
PORTS = st.fixed_dictionaries(
    {"port": st.integers(1, 3)},
    optional={"protocol": st.sampled_from(["TCP", "UDP"]), "name": NAMES, "tags": st.lists(NAMES, unique=True)},
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "text": NAMES,
        "count": st.integers(1, 3),
        "ports": st.lists(PORTS, max_size=3, unique_by=lambda port: (port["port"], port.get("protocol", "TCP"))),
        "set": st.lists(NAMES, unique=True),
        "list": st.lists(NAMES, max_size=2),
        "map": st.dictionaries(NAMES, NAMES),
        "whole": st.dictionaries(NAMES, NAMES, max_size=2),
        "struct": st.fixed_dictionaries(
            {}, optional={"a": NAMES, "b": st.fixed_dictionaries({}, optional={"c": NAMES})}
        ),
    },
)
STEPS = st.tuples(st.sampled_from(["apply", "force", "merge"]), st.sampled_from("abc"), SPECS)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(steps=st.lists(STEPS, min_size=2, max_size=6))
def test_any_sequence_of_writes_ends_alike(pair: Pair, steps: list[tuple[str, str, Manifest]]) -> None:
    one = Owned(pair, THINGS, thing(""))
    one.create()
    for verb, manager, fields in steps:
        if verb == "merge":
            one.patch(manager, spec(**fields))
        else:
            one.apply(manager, spec(**fields), force=verb == "force")
