"""The table of built-in kinds is whole, small and quick; values come out as Go would write them."""

import copy
import subprocess
import sys
import time
from importlib.resources import files

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin import builtin_schema, canonical
from isthmus.apiserver.builtin.quantity import canonical_quantity, quantity
from isthmus.apiserver.schema import Schema
from isthmus.errors import Refused


def schema(group: str, version: str, kind: str) -> Schema:
    found = builtin_schema(group, version, kind)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        *(("", kind) for kind in ("Namespace", "Pod", "Service", "Endpoints", "ConfigMap", "Secret", "Event", "Node")),
        *(("apps", kind) for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ControllerRevision")),
        ("discovery.k8s.io", "EndpointSlice"),
        ("coordination.k8s.io", "Lease"),
        ("events.k8s.io", "Event"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("authentication.k8s.io", "TokenReview"),
        ("authorization.k8s.io", "SubjectAccessReview"),
        ("", "ServiceAccount"),
    ],
)
def test_every_served_kind_is_in_the_table(group: str, kind: str) -> None:
    assert schema(group, "v1", kind).name == kind
    assert "managedFields" in schema(group, "v1", kind).properties["metadata"].properties


def test_what_is_not_served_has_no_schema() -> None:
    assert builtin_schema("batch", "v1", "Job") is None


def test_lists_know_how_they_merge() -> None:
    spec = schema("apps", "v1", "Deployment").properties["spec"]
    containers = spec.properties["template"].properties["spec"].properties["containers"]
    assert (containers.list_type, containers.list_keys) == ("map", ("name",))
    assert (containers.patch_strategy, containers.patch_key) == (("merge",), "name")
    ports = schema("", "v1", "Service").properties["spec"].properties["ports"]
    assert (ports.list_keys, ports.patch_key) == (("port", "protocol"), "port")
    assert spec.properties["strategy"].patch_strategy == ("retainKeys",)
    assert spec.properties["selector"].map_type == "atomic"


def test_types_that_hold_themselves_are_read() -> None:
    spec = schema("apiextensions.k8s.io", "v1", "CustomResourceDefinition").properties["spec"]
    version = spec.properties["versions"].items
    assert version is not None
    props = version.properties["schema"].properties["openAPIV3Schema"]
    assert props.properties["not"].properties["not"].name == "JSONSchemaProps"


def test_the_table_is_small_and_loads_quickly() -> None:
    assert len(files("isthmus.apiserver.builtin").joinpath("facts.json").read_bytes()) < 200_000
    code = (
        "import time; from isthmus.apiserver.builtin import builtin_schema as b; t = time.perf_counter(); "
        "b('', 'v1', 'Pod'); print(time.perf_counter() - t)"
    )
    took = min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )
    assert took < 0.1


def test_go_leaves_out_what_is_empty_and_shows_what_it_always_shows() -> None:
    pod: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {}, "annotations": None, "creationTimestamp": None},
        "spec": {"containers": [{"name": "c", "image": "", "ports": [], "command": None}], "hostNetwork": False},
    }
    canonical(pod, schema("", "v1", "Pod"))
    assert pod == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "resources": {}}]},
        "status": {},
    }


def test_pointers_keep_their_zeros() -> None:
    deployment: Manifest = {"spec": {"replicas": 0, "paused": False, "minReadySeconds": 0}}
    canonical(deployment, schema("apps", "v1", "Deployment"))
    assert deployment["spec"]["replicas"] == 0
    assert "paused" not in deployment["spec"]
    assert "minReadySeconds" not in deployment["spec"]


def test_nulls_in_maps_and_lists_become_zeros() -> None:
    config: Manifest = {"data": {"a": None}, "metadata": {"finalizers": [None]}}
    canonical(config, schema("", "v1", "ConfigMap"))
    assert config == {"data": {"a": ""}, "metadata": {"finalizers": [""]}}


def test_times_take_gos_form() -> None:
    lease: Manifest = {"metadata": {"creationTimestamp": "2026-01-01T02:00:00.5+01:00"}, "spec": {}}
    lease["spec"]["renewTime"] = "2026-01-01T01:00:00.123456+01:00"
    canonical(lease, schema("coordination.k8s.io", "v1", "Lease"))
    assert lease["metadata"]["creationTimestamp"] == "2026-01-01T01:00:00Z"
    assert lease["spec"]["renewTime"] == "2026-01-01T00:00:00.123456Z"


def test_canonical_is_stable() -> None:
    pod: Manifest = {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": 0.5}}}]}}
    canonical(pod, schema("", "v1", "Pod"))
    before = copy.deepcopy(pod)
    canonical(pod, schema("", "v1", "Pod"))
    assert pod == before


# Every sentence here is what a real kube-apiserver 1.36 answered.
@pytest.mark.parametrize(
    ("kind", "obj", "message"),
    [
        (
            "Service",
            {"spec": {"publishNotReadyAddresses": "x"}},
            "json: cannot unmarshal string into Go struct field ServiceSpec.spec.publishNotReadyAddresses of type bool",
        ),
        (
            "ConfigMap",
            {"data": {"a": 3}},
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        ("Secret", {"data": {"a": "%%%"}}, "illegal base64 data at input byte 0"),
        (
            "Pod",
            {"spec": {"containers": [{"resources": {"limits": {"cpu": "x"}}}]}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ],
)
def test_what_go_cannot_read_is_refused_in_its_words(kind: str, obj: Manifest, message: str) -> None:
    whole = {"apiVersion": "v1", "kind": kind, **obj}
    with pytest.raises(Refused) as refusal:
        canonical(whole, schema("", "v1", kind))
    assert refusal.value.code == 400
    assert refusal.value.message == f'{kind} in version "v1" cannot be handled as a {kind}: {message}'


@pytest.mark.parametrize("below", [{"items": {"required": 5}}, {"additionalProperties": {"properties": []}}])
def test_schemas_in_schemas_are_read_too(below: Manifest) -> None:
    openapi = {"type": "object", "properties": {"a": {"type": "object", **below}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": openapi}}
    definition = {"kind": "CustomResourceDefinition", "spec": {"versions": [version]}}
    with pytest.raises(Refused, match="cannot unmarshal"):
        canonical(definition, schema("apiextensions.k8s.io", "v1", "CustomResourceDefinition"))


def test_a_time_that_is_none_is_refused() -> None:
    for text in ("x", "2026-01-01T00:00:00Z"):
        with pytest.raises(Refused, match="parsing time"):
            canonical({"spec": {"renewTime": text}}, schema("coordination.k8s.io", "v1", "Lease"))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        *(("1", "1"), ("1000m", "1"), ("0.5", "500m"), ("1500m", "1500m"), ("1000", "1k"), ("1.5k", "1500")),
        *(("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("512", "512"), ("0.5Ki", "512"), ("1Ki", "1Ki"), ("0", "0")),
        *(("1e3", "1e3"), ("-1", "-1"), ("0Mi", "0"), ("2E", "2E"), ("1n", "1n"), ("+5", "5")),
    ],
)
def test_quantities_have_one_form(text: str, want: str) -> None:
    assert canonical_quantity(text) == want
    assert quantity(want) == quantity(text)


@pytest.mark.parametrize("text", ["", "x", "1x", "1e999999999", "--1", ".", "1" * 100, "Ki"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        canonical_quantity(text)


def test_a_large_slice_is_read_in_no_time() -> None:
    endpoints = [{"addresses": [f"10.0.{n // 250}.{n % 250}"], "conditions": {"ready": True}} for n in range(1000)]
    obj: Manifest = {"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 80, "name": "http"}]}
    started = time.perf_counter()
    canonical(obj, schema("discovery.k8s.io", "v1", "EndpointSlice"))
    assert time.perf_counter() - started < 0.5
