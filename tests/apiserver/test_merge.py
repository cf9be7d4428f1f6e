"""What differs between two objects, and what one laid over the other gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.scheme import Manifest
from isthmus.apiserver.merge import difference, merged, same
from isthmus.apiserver.schema import Schema

TEXT = Schema(type="string")
ITEM = Schema(type="object", properties={"name": TEXT, "value": TEXT})
SCHEMA = Schema(
    type="object",
    properties={
        "text": TEXT,
        "items": Schema(type="array", items=ITEM, list_type="map", list_keys=("name",)),
        "set": Schema(type="array", items=TEXT, list_type="set"),
        "list": Schema(type="array", items=TEXT),
        "map": Schema(type="object", additional=TEXT),
        "whole": Schema(type="object", additional=TEXT, map_type="atomic"),
    },
)


def items(*names: str) -> Manifest:
    return {"items": [{"name": name} for name in names]}


@pytest.mark.parametrize(
    ("live", "applied", "want"),
    [
        pytest.param({"map": {"a": "1"}}, {"map": {"b": "2"}}, {"map": {"a": "1", "b": "2"}}, id="maps by key"),
        pytest.param({"whole": {"a": "1"}}, {"whole": {"b": "2"}}, {"whole": {"b": "2"}}, id="atomic maps as wholes"),
        pytest.param({"list": ["a"]}, {"list": ["b"]}, {"list": ["b"]}, id="atomic lists as wholes"),
        pytest.param({"set": ["a", "b"]}, {"set": ["b", "c"]}, {"set": ["a", "b", "c"]}, id="sets by value"),
        pytest.param(items("a", "b", "c"), items("c", "a"), items("b", "c", "a"), id="the applied order wins"),
        pytest.param(items("a", "b"), items("x", "b"), items("a", "x", "b"), id="others keep their places"),
        pytest.param(items("a"), {"items": []}, items("a"), id="an empty list adds nothing"),
        pytest.param({"map": {"a": "1"}}, {"map": None}, {"map": {"a": "1"}}, id="a null adds nothing to a map"),
        pytest.param({"text": "a"}, {"text": None}, {"text": None}, id="a null replaces text"),
        pytest.param({}, {"map": {}}, {"map": {}}, id="an empty map may be new"),
        pytest.param({"map": "text"}, {"map": {"a": "1"}}, {"map": {"a": "1"}}, id="another type replaces"),
    ],
)
def test_what_is_applied_is_laid_over_what_lives(live: Manifest, applied: Manifest, want: Manifest) -> None:
    assert merged(live, applied, SCHEMA) == want


def test_fields_come_change_and_go() -> None:
    before = {"text": "x", "items": [{"name": "a", "value": "1"}, {"name": "b"}], "list": ["1"], "set": ["x"]}
    after = {"text": "y", "items": [{"name": "a", "value": "2"}, {"name": "c"}], "map": {"k": "1"}, "set": ["x", "y"]}
    found = difference(before, after, SCHEMA)
    assert found.added == {
        ("f:items", 'k:{"name":"c"}'),
        ("f:items", 'k:{"name":"c"}', "f:name"),
        ("f:map",),
        ("f:map", "f:k"),
        ("f:set", 'v:"y"'),
    }
    assert found.modified == {("f:text",), ("f:items", 'k:{"name":"a"}', "f:value")}
    assert found.removed == {("f:items", 'k:{"name":"b"}'), ("f:items", 'k:{"name":"b"}', "f:name"), ("f:list",)}


def test_items_that_repeat_are_compared_as_one() -> None:
    found = difference({"set": ["x", "x"]}, {"set": ["x"]}, SCHEMA)
    assert found.removed == {("f:set", 'v:"x"')}
    found = difference({"set": ["x"]}, {"set": ["x", "x"]}, SCHEMA)
    assert found.added == {("f:set", 'v:"x"')}


def test_where_the_type_is_open_another_type_is_a_change() -> None:
    found = difference({"x": {"a": 1}}, {"x": [1]}, None)
    assert found.modified == {("f:x",)}
    assert found.removed == {("f:x", "f:a")}


def test_true_is_not_one() -> None:
    assert not same(True, 1)
    assert not same({"a": [0]}, {"a": [False]})
    assert same({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]})


NAMES = st.sampled_from(["x", "y", "z"])
ITEMS = st.fixed_dictionaries({"name": NAMES}, optional={"value": NAMES})


def unlike(items: list[Manifest]) -> list[Manifest]:
    return list({item["name"]: item for item in items}.values())


OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "text": NAMES,
        "items": st.lists(ITEMS, max_size=3).map(unlike),
        "set": st.lists(NAMES, unique=True),
        "list": st.lists(NAMES, max_size=2),
        "map": st.dictionaries(NAMES, NAMES),
        "whole": st.dictionaries(NAMES, NAMES),
    },
)


@given(live=OBJECTS, applied=OBJECTS)
def test_applying_twice_is_applying_once(live: Manifest, applied: Manifest) -> None:
    once = merged(live, applied, SCHEMA)
    assert merged(once, applied, SCHEMA) == once


@given(obj=OBJECTS)
def test_an_object_does_not_differ_from_itself(obj: Manifest) -> None:
    found = difference(obj, obj, SCHEMA)
    assert not (found.added)
    assert not (found.modified)
    assert not (found.removed)
