"""Schemas prune what they do not know, fill in what they know better, and word refusals."""

import copy

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.schema import Cause, Schema, fill_defaults, invalid, prune

TEXT = Schema(type="string")
PORT = Schema(
    type="object", properties={"port": Schema(type="integer"), "protocol": Schema(type="string", default="TCP")}
)
SPEC = Schema(
    type="object",
    properties={
        "text": TEXT,
        "maybe": Schema(type="string", nullable=True),
        "ports": Schema(type="array", items=PORT),
        "map": Schema(type="object", additional=PORT),
        "open": Schema(type="object", preserve_unknown=True, properties={"known": PORT}),
        "filled": Schema(type="object", default={"port": 1}, properties=PORT.properties),
        "guest": Schema(type="object", embedded=True, properties={"spec": TEXT}),
    },
)
ROOT = Schema(type="object", properties={"spec": SPEC})


@pytest.mark.parametrize(
    ("spec", "unknown", "left"),
    [
        pytest.param({"text": "a"}, [], {"text": "a"}, id="what is known stays"),
        pytest.param({"z": 1, "a": 2}, ["spec.a", "spec.z"], {}, id="unknown fields are listed in order"),
        pytest.param({"ports": [{"port": 1, "x": 2}]}, ["spec.ports[0].x"], {"ports": [{"port": 1}]}, id="in lists"),
        pytest.param({"map": {"k": {"x": 1}}}, ["spec.map.k.x"], {"map": {"k": {}}}, id="in maps"),
        pytest.param(
            {"open": {"x": 1, "known": {"y": 1}}},
            ["spec.open.known.y"],
            {"open": {"x": 1, "known": {}}},
            id="open objects keep what they do not know, known parts do not",
        ),
        pytest.param(
            {"guest": {"kind": "A", "metadata": {"x": 1}, "y": 1}},
            ["spec.guest.y"],
            {"guest": {"kind": "A", "metadata": {"x": 1}}},
            id="an embedded object keeps kind and metadata",
        ),
        pytest.param({"text": None}, [], {}, id="a null that may not be goes, without a word"),
        pytest.param({"maybe": None}, [], {"maybe": None}, id="a null that may be stays"),
        pytest.param({"text": {"x": 1}}, ["spec.text.x"], {"text": {}}, id="a map where text should be"),
    ],
)
def test_unknown_fields_go(spec: Manifest, unknown: list[str], left: Manifest) -> None:
    obj = {"spec": copy.deepcopy(spec)}
    assert prune(obj, ROOT) == unknown
    assert obj == {"spec": left}


def test_defaults_fill_gaps_and_wrong_nulls_at_every_depth() -> None:
    obj = {"spec": {"ports": [{"port": 1, "protocol": None}, {"protocol": "UDP"}], "maybe": None}}
    fill_defaults(obj, ROOT)
    assert obj == {
        "spec": {
            "ports": [{"port": 1, "protocol": "TCP"}, {"protocol": "UDP"}],
            "maybe": None,
            "filled": {"port": 1, "protocol": "TCP"},
        }
    }


def test_a_default_is_never_shared() -> None:
    first: Manifest = {"spec": {}}
    second: Manifest = {"spec": {}}
    for obj in (first, second):
        fill_defaults(obj, ROOT)
    first["spec"]["filled"]["port"] = 7
    assert second["spec"]["filled"]["port"] == 1


def test_a_refusal_lists_every_cause_and_says_each_thing_once() -> None:
    causes = [Cause("spec.a", "FieldValueRequired", "Required value")] * 2
    refusal = invalid("Service", "", "x", causes)
    assert refusal.message == 'Service "x" is invalid: spec.a: Required value'
    assert refusal.code == 422
    assert len(refusal.details["causes"]) == 2  # type: ignore[arg-type]  # a list
    several = invalid("Thing", "test.dev", "x", [*causes, Cause("spec.b", "FieldValueInvalid", "Invalid value: 1: no")])
    assert several.message == 'Thing.test.dev "x" is invalid: [spec.a: Required value, spec.b: Invalid value: 1: no]'
