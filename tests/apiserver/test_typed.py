"""An applied object that its schema cannot type is refused, in the words of server-side apply."""

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin import builtin_schema
from isthmus.apiserver.typed import type_faults

SERVICE = builtin_schema("", "v1", "Service")


# Every sentence here is what a real kube-apiserver 1.36 answered.
@pytest.mark.parametrize(
    ("spec", "faults"),
    [
        ({"type": "ClusterIP", "ports": [{"port": 80, "targetPort": "http"}]}, []),
        ({"unknown": 1}, [".spec.unknown: field not declared in schema"]),
        ({"type": 1}, [".spec.type: expected string, got &value.valueUnstructured{Value:1}"]),
        ({"publishNotReadyAddresses": "x"}, [".spec.publishNotReadyAddresses: expected boolean, got &{x}"]),
        (
            {"ports": [{"port": "x"}]},
            ['.spec.ports[port="x",protocol="TCP"].port: expected numeric (int or float), got string'],
        ),
        ({"ports": {"a": 1}}, [".spec.ports: expected list, got &{map[a:1]}"]),
        ({"selector": ["a"]}, [".spec.selector: expected map, got &{[a]}"]),
        ({"ports": [{"port": 1}, {"port": 1}]}, ['.spec.ports: duplicate entries for key [port=1,protocol="TCP"]']),
        ({"ports": [3]}, [".spec.ports: associative list with keys may not have non-map elements"]),
        ({"type": None, "ports": None}, []),
    ],
    ids=str,
)
def test_values_of_another_type_are_faults(spec: Manifest, faults: list[str]) -> None:
    assert list(type_faults({"kind": "Service", "spec": spec}, SERVICE)) == faults
