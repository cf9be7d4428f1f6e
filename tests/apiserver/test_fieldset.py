"""Sets of fields: FieldsV1 in and out, the fields of objects, and what is left without them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.scheme import Manifest
from isthmus.apiserver.fieldset import decode, encode, fields_of, in_order, readable, with_named, without
from isthmus.apiserver.schema import MISSING, Schema
from isthmus.errors import Invalid

TEXT = Schema(type="string")
PORT = Schema(
    type="object",
    properties={"port": Schema(type="integer"), "protocol": Schema(type="string", default="TCP"), "name": TEXT},
)
SCHEMA = Schema(
    type="object",
    properties={
        "text": TEXT,
        "ports": Schema(type="array", items=PORT, list_type="map", list_keys=("port", "protocol")),
        "set": Schema(type="array", items=TEXT, list_type="set"),
        "list": Schema(type="array", items=TEXT),
        "map": Schema(type="object", additional=TEXT),
        "whole": Schema(type="object", additional=TEXT, map_type="atomic"),
        "open": Schema(type="object", preserve_unknown=True),
    },
)


def owned(obj: Manifest) -> Manifest:
    return encode(fields_of(obj, SCHEMA))


def test_fields_are_leaves_free_keys_and_items() -> None:
    obj = {
        "text": "x",
        "ports": [{"port": 80, "name": "http"}],
        "set": ["a"],
        "list": ["a", "b"],
        "map": {"k": "1"},
        "whole": {"k": "1"},
        "open": {"deep": {"er": [1]}},
    }
    assert owned(obj) == {
        "f:text": {},
        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}}},
        "f:set": {'v:"a"': {}},
        "f:list": {},
        "f:map": {"f:k": {}},
        "f:whole": {},
        "f:open": {"f:deep": {".": {}, "f:er": {}}},
    }


def test_items_that_repeat_are_owned_as_one() -> None:
    assert owned({"set": ["a", "a"], "ports": [{"port": 1, "name": "x"}, {"port": 1}]}) == {
        "f:set": {'v:"a"': {}},
        "f:ports": {'k:{"port":1,"protocol":"TCP"}': {}},
    }


KEYS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "v:1"])


@given(paths=st.frozensets(st.lists(KEYS, min_size=1, max_size=4).map(tuple)))
def test_a_set_survives_the_wire(paths: frozenset[tuple[str, ...]]) -> None:
    assert decode(encode(paths)) == paths


def test_keys_are_read_in_any_order_and_spelling() -> None:
    assert decode({'k:{"b": 1, "a":"x"}': {}}) == {('k:{"a":"x","b":1}',)}


@pytest.mark.parametrize("fields", ["x", {"a": {}}, {"x:a": {}}, {"v:": {}}, {"k:{": {}}, {"f:a": []}, {"f:a": 3}])
def test_what_is_no_set_is_refused(fields: object) -> None:
    if fields == {"f:a": []}:
        assert decode(fields) == {("f:a",)}
    else:
        with pytest.raises(Invalid):
            decode(fields)


def test_a_set_nested_too_deep_is_refused() -> None:
    fields: Manifest = {}
    for _ in range(100):
        fields = {"f:x": fields}
    with pytest.raises(Invalid):
        decode(fields)


def test_paths_read_as_kubernetes_prints_them() -> None:
    path = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name")
    assert readable(path) == '.spec.ports[port=80,protocol="TCP"].name'
    assert readable(("f:set", 'v:"a"')) == '.set[="a"]'
    assert in_order([("f:b", "f:c"), ("f:z",), ("f:b",)]) == [("f:b",), ("f:z",), ("f:b", "f:c")]


def test_named_fields_come_with_what_is_below_them() -> None:
    below = frozenset({("f:map", "f:k"), ("f:ports", 'k:{"port":80}', "f:name")})
    assert with_named(below, SCHEMA) == below | {("f:map",), ("f:ports",)}


def test_what_is_left_without_some_fields() -> None:
    obj = {"text": "x", "ports": [{"port": 80, "name": "a"}, {"port": 81}], "set": ["a", "b"], "map": {"k": "1"}}
    gone = frozenset({("f:text",), ("f:ports", 'k:{"port":80,"protocol":"TCP"}'), ("f:set", 'v:"a"')})
    assert without(obj, gone, SCHEMA) == {"ports": [{"port": 81}], "set": ["b"], "map": {"k": "1"}}
    assert without(obj, frozenset({("f:map", "f:k")}), SCHEMA) == {**obj, "map": None}
    assert without({"text": "x"}, frozenset({("f:text",)}), SCHEMA) is MISSING
