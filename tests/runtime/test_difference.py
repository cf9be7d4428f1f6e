"""Whether an object has to be written."""

import pytest

from isthmus.api.core import SERVICES, Service, ServicePort, ServiceSpec
from isthmus.api.mcs import SERVICE_IMPORTS, ServiceImport, ServiceImportSpec
from isthmus.api.meta import ObjectMeta
from isthmus.api.scheme import Manifest
from isthmus.runtime.difference import body, covers, digest, fields, is_same, plain


def test_only_what_we_own_is_sent() -> None:
    seen = ServiceImport(
        metadata=ObjectMeta(name="shop", namespace="prod", uid="u", resource_version="7", labels={"a": "b"}),
        spec=ServiceImportSpec(type="Headless", ports=()),
    )
    assert body(SERVICE_IMPORTS, seen) == {
        "apiVersion": "multicluster.x-k8s.io/v1beta1",
        "kind": "ServiceImport",
        "metadata": {"name": "shop", "namespace": "prod", "labels": {"a": "b"}},
        "spec": {"type": "Headless", "ports": ()},
    }
    assert body(SERVICE_IMPORTS, seen, subresource="status") == {
        "apiVersion": "multicluster.x-k8s.io/v1beta1",
        "kind": "ServiceImport",
        "metadata": {"name": "shop", "namespace": "prod"},
        "status": {},
    }


def test_what_the_server_adds_to_metadata_is_no_difference() -> None:
    wanted = Service(metadata=ObjectMeta(name="a", labels={"x": "y"}), spec=ServiceSpec(ports=(ServicePort(port=1),)))
    seen = Service(
        api_version="v1",
        kind="Service",
        metadata=ObjectMeta(name="a", labels={"x": "y"}, uid="u", resource_version="1", generation=4),
        spec=ServiceSpec(ports=(ServicePort(port=1),)),
    )
    assert is_same(SERVICES, wanted, seen)


def test_a_manifest_is_compared_as_its_wire_type_reads_it() -> None:
    manifest: Manifest = {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1, "protocol": "TCP"}]}}
    seen = Service(metadata=ObjectMeta(name="a"), spec=ServiceSpec(ports=(ServicePort(port=1),)))
    assert is_same(SERVICES, manifest, seen)
    assert covers(plain(seen), manifest)
    manifest["spec"]["type"] = "NodePort"
    assert not covers(plain(seen), manifest)


@pytest.mark.parametrize(
    ("seen", "wanted", "want"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, True, id="maps may hold more"),
        pytest.param({"a": 1}, {"a": 1, "b": 2}, False, id="but not less"),
        pytest.param({"a": [1, 2]}, {"a": [1]}, False, id="lists may not hold more"),
        pytest.param({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}, True, id="what is in a list may"),
        pytest.param({"a": "12"}, {"a": ["1", "2"]}, False, id="text is no list"),
    ],
)
def test_what_is_there_covers_what_is_wanted(seen: object, wanted: object, want: bool) -> None:
    assert covers(seen, wanted) is want


def test_a_digest_knows_content_not_order() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_fields_are_paths_and_a_list_is_one() -> None:
    assert fields({"a": {"b": 1, "c": {}}, "d": [{"e": 1}]}) == {"/a/b", "/a/c", "/d"}
