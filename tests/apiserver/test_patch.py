"""Patches: RFC 7386's and RFC 6902's examples, Kubernetes' own directives, and bounds on hostile ones."""

import copy
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin import builtin_schema
from isthmus.apiserver.patch import json_patch, merge_patch, strategic_merge_patch
from isthmus.errors import Refused

DEPLOYMENT = builtin_schema("apps", "v1", "Deployment")


# The test cases of RFC 7386, appendix A, whose documents and patches are objects.
@pytest.mark.parametrize(
    ("live", "patch", "want"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_its_rfc_says(live: Manifest, patch: Manifest, want: Manifest) -> None:
    before = copy.deepcopy((live, patch))
    assert merge_patch(live, patch) == want
    assert (live, patch) == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1, max_size=1), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("xyz", min_size=1, max_size=1), JSON, max_size=3)


@given(live=OBJECTS, patch=OBJECTS)
def test_a_merge_patch_twice_is_a_merge_patch_once(live: Manifest, patch: Manifest) -> None:
    once = merge_patch(live, patch)
    assert merge_patch(once, patch) == once


def test_json_patches_do_what_their_rfc_says() -> None:
    live = {"foo": {"bar": ["baz", "qux"]}, "a/b": 1}
    operations = [
        {"op": "test", "path": "/foo/bar/0", "value": "baz"},
        {"op": "add", "path": "/foo/bar/1", "value": "new"},
        {"op": "move", "from": "/a~1b", "path": "/moved"},
        {"op": "copy", "from": "/foo/bar", "path": "/copied"},
        {"op": "remove", "path": "/foo"},
        {"op": "add", "path": "/copied/-", "value": None},
    ]
    assert json_patch(live, operations) == {"moved": 1, "copied": ["baz", "new", "qux", None]}
    assert live == {"foo": {"bar": ["baz", "qux"]}, "a/b": 1}


def test_replace_sets_a_member_that_is_not_there_as_kubernetes_does() -> None:
    assert json_patch({"a": {}}, [{"op": "replace", "path": "/a/b", "value": 1}]) == {"a": {"b": 1}}
    with pytest.raises(Refused):
        json_patch({"a": []}, [{"op": "replace", "path": "/a/0", "value": 1}])


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        pytest.param({"op": "add"}, 400, id="an object"),
        pytest.param(["x"], 400, id="a list of text"),
        pytest.param([{"op": "test", "path": "/a", "value": 2}], 422, id="a test that fails"),
        pytest.param([{"op": "add", "path": "/x/y", "value": 2}], 422, id="below what is not there"),
        pytest.param([{"op": "add", "path": "x", "value": 2}], 422, id="a path without a slash"),
        pytest.param([{"op": "add", "path": "/x"}], 422, id="no value"),
        pytest.param([{"op": "add", "value": 1}], 422, id="no path"),
        pytest.param([{"op": "copy", "path": "/x"}], 422, id="no source"),
        pytest.param([{"op": 3, "path": "/x"}], 422, id="no operation"),
        pytest.param([{"op": "remove", "path": ""}], 422, id="nothing is left"),
        pytest.param([{"op": "replace", "path": "", "value": []}], 400, id="no object is left"),
        pytest.param([{"op": "add", "path": "/x", "value": 1}] * 10_001, 413, id="too many"),
        pytest.param([{"op": "copy", "from": "", "path": f"/{at}"} for at in range(40)], 413, id="copies of copies"),
        pytest.param([{"op": "copy", "from": "", "path": "/x"}] * 200, 400, id="copies in copies"),
    ],
)
def test_bad_json_patches_are_refused(operations: object, code: int) -> None:
    with pytest.raises(Refused) as refusal:
        json_patch({"a": 1}, operations)
    assert refusal.value.code == code


def nested(depth: int) -> Manifest:
    patch: Manifest = {}
    for _ in range(depth):
        patch = {"x": patch}
    return patch


@pytest.mark.parametrize("patched", [merge_patch, lambda live, patch: strategic_merge_patch(live, patch, DEPLOYMENT)])
def test_patches_nested_too_deep_or_no_objects_are_refused(patched: Callable[[Manifest, object], Manifest]) -> None:
    patches: list[object] = [nested(500), [], "x", None]
    for patch in patches:
        with pytest.raises(Refused) as refusal:
            patched({}, patch)
        assert refusal.value.code == 400


def in_pod(spec: Manifest) -> Manifest:
    return {"spec": {"template": {"spec": spec}}}


LIVE = in_pod(
    {
        "containers": [
            {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}], "args": ["1"]},
            {"name": "b", "image": "b:1"},
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
) | {"metadata": {"finalizers": ["x/a", "x/b"]}}


def containers(patched: Manifest) -> list[Manifest]:
    found: list[Manifest] = patched["spec"]["template"]["spec"]["containers"]
    return found


def strategic(patch: Manifest) -> Manifest:
    return strategic_merge_patch(LIVE, patch, DEPLOYMENT)


def test_keyed_lists_merge_by_their_key() -> None:
    before = copy.deepcopy(LIVE)
    patched = containers(strategic(in_pod({"containers": [{"name": "b", "image": "b:2"}, {"name": "c"}]})))
    assert [(each["name"], each.get("image")) for each in patched] == [("a", "a:1"), ("b", "b:2"), ("c", None)]
    assert before == LIVE


def test_a_new_item_comes_first_and_others_keep_their_places() -> None:
    assert [each["name"] for each in containers(strategic(in_pod({"containers": [{"name": "c"}]})))] == ["c", "a", "b"]
    turned = in_pod({"containers": [{"name": "b"}, {"name": "a"}]})
    assert [each["name"] for each in containers(strategic(turned))] == ["b", "a"]


def test_an_item_is_deleted_and_a_list_replaced_by_directive() -> None:
    deleted = strategic(in_pod({"containers": [{"name": "a", "$patch": "delete"}]}))
    assert [each["name"] for each in containers(deleted)] == ["b"]
    replaced = strategic(in_pod({"containers": [{"$patch": "replace"}, {"name": "z"}]}))
    assert containers(replaced) == [{"name": "z"}]


def test_atomic_lists_are_replaced_and_sets_are_joined() -> None:
    patched = strategic(in_pod({"containers": [{"name": "a", "args": ["2"]}]}))
    assert containers(patched)[0]["args"] == ["2"]
    assert strategic({"metadata": {"finalizers": ["x/c"]}})["metadata"]["finalizers"] == ["x/c", "x/a", "x/b"]
    gone = strategic({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"]}})
    assert gone["metadata"]["finalizers"] == ["x/b"]


def test_an_order_is_set() -> None:
    order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "n"}]}
    assert [(each["name"], each["image"]) for each in containers(strategic(in_pod(order)))] == [
        ("b", "b:1"),
        ("a", "n"),
    ]


def test_only_the_keys_that_are_retained_stay() -> None:
    volume = {"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}
    patched = strategic(in_pod({"volumes": [volume]}))
    assert patched["spec"]["template"]["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/"}}]


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (in_pod({"containers": [{"image": "x"}]}), "map: map[image:x] does not contain declared merge key: name"),
        ({"spec": {"$patch": "foo"}}, "unknown patch type: foo in map: map[$patch:foo]"),
        ({"spec": {"$retainKeys": ["a"], "b": 1}}, "invalid patch format of retainKeys"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": 1}}, "invalid patch format of primitive list"),
        ({"metadata": {"$setElementOrder/finalizers": 1}}, "invalid patch format of setElementOrder list"),
    ],
)
def test_directives_that_make_no_sense_are_refused_in_kubernetes_words(patch: Manifest, message: str) -> None:
    with pytest.raises(Refused) as refusal:
        strategic(patch)
    assert (refusal.value.code, refusal.value.message) == (500, message)


def test_custom_resources_know_no_strategic_merge() -> None:
    with pytest.raises(Refused) as refusal:
        strategic_merge_patch({}, {}, None)
    assert refusal.value.code == 415
