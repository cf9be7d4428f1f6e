"""Custom resources that break their schema are refused, in the words of kube-apiserver."""

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.structural import from_crd
from isthmus.apiserver.validation import validate

TEXT = {"type": "string"}
PAIR = {"type": "object", "properties": {"a": TEXT, "b": TEXT}}
REQUIRED = [{"required": ["a"]}, {"required": ["b"]}]
PORT = {
    "type": "object",
    "required": ["port"],
    "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}},
}
PROPERTIES: Manifest = {
    "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-zä]+$"},
    "n": {"type": "integer", "minimum": 1, "maximum": 10, "multipleOf": 2},
    "x": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 1.5, "exclusiveMaximum": True},
    "kind": {"type": "string", "enum": ["A", "B"]},
    "when": {"type": "string", "format": "date-time"},
    "i32": {"type": "integer", "format": "int32"},
    "b": {"type": "boolean"},
    "either": {"x-kubernetes-int-or-string": True},
    "set": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
    "ports": {
        "type": "array",
        "maxItems": 2,
        "minItems": 1,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": PORT,
    },
    "m": {"type": "object", "maxProperties": 1, "minProperties": 1, "additionalProperties": {"type": "integer"}},
    "one": {**PAIR, "oneOf": REQUIRED},
    "any": {**PAIR, "anyOf": REQUIRED},
    "no": {**PAIR, "not": {"required": ["a"]}},
    "all": {**PAIR, "allOf": [{"required": ["a"]}, {"properties": {"a": {"minLength": 3}}}]},
    "nil": {"type": "string", "nullable": True},
    "guest": {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
    },
}
SPEC = {"type": "object", "required": ["name"], "properties": PROPERTIES}
SCHEMA = from_crd({"type": "object", "required": ["spec"], "properties": {"spec": SPEC}})


def thing(spec: object) -> Manifest:
    return {"apiVersion": "test.dev/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": spec}


def said(spec: Manifest) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in validate(thing({"name": "ok", **spec}), SCHEMA)]


def nowhere(field: str, sentence: str) -> str:
    return f'<nil>: Invalid value: "": "spec.{field}" {sentence}'


# Every sentence here is what a real kube-apiserver 1.36 answered.
@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        ({"name": "ää"}, []),
        ({"name": "X"}, ['spec.name: Invalid value: "X": spec.name in body should be at least 2 chars long']),
        ({"name": "toolonger"}, ["spec.name: Too long: may not be more than 5 bytes"]),
        ({"name": "AB"}, ["spec.name: Invalid value: \"AB\": spec.name in body should match '^[a-zä]+$'"]),
        ({"name": 5}, ['spec.name: Invalid value: "integer": spec.name in body must be of type string: "integer"']),
        ({"n": 0}, ["spec.n: Invalid value: 0: spec.n in body should be greater than or equal to 1"]),
        (
            {"n": 11},
            [
                "spec.n: Invalid value: 11: spec.n in body should be a multiple of 2",
                "spec.n: Invalid value: 11: spec.n in body should be less than or equal to 10",
            ],
        ),
        ({"n": 4.0}, []),
        ({"n": "a"}, ['spec.n: Invalid value: "string": spec.n in body must be of type integer: "string"']),
        ({"x": 0}, ["spec.x: Invalid value: 0: spec.x in body should be greater than 0"]),
        ({"x": 1.5}, ["spec.x: Invalid value: 1.5: spec.x in body should be less than 1.5"]),
        ({"x": 1}, []),
        ({"kind": "C"}, ['spec.kind: Unsupported value: "C": supported values: "A", "B"']),
        (
            {"when": "now"},
            ['spec.when: Invalid value: "now": spec.when in body must be of type date-time: "now"'],
        ),
        (
            {"i32": 1 << 40},
            ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.i32'],
        ),
        ({"b": "x"}, ['spec.b: Invalid value: "string": spec.b in body must be of type boolean: "string"']),
        ({"b": 1}, ['spec.b: Invalid value: "integer": spec.b in body must be of type boolean: "integer"']),
        ({"either": 1}, []),
        (
            {"either": True},
            ['spec.either: Invalid value: "boolean": spec.either in body must be of type integer,string: "boolean"'],
        ),
        ({"set": ["a", "a"]}, ['spec.set[1]: Duplicate value: "a"']),
        ({"ports": []}, ["spec.ports: Invalid value: 0: spec.ports in body should have at least 1 items"]),
        (
            {"ports": [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "TCP"}]},
            ['spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}'],
        ),
        ({"ports": [{"port": 1}, {"port": 2}, {"port": 3}]}, ["spec.ports: Too many: 3: must have at most 2 items"]),
        ({"ports": [{}]}, ["spec.ports[0].port: Required value"]),
        ({"m": {}}, ["spec.m: Invalid value: 0: spec.m in body should have at least 1 properties"]),
        ({"m": {"a": 1, "b": 2}}, ["spec.m: Too many: 2: must have at most 1 item"]),
        (
            {"one": {}},
            [
                nowhere("one", "must validate one and only one schema (oneOf). Found none valid"),
                "spec.one.a: Required value",
            ],
        ),
        (
            {"one": {"a": "", "b": ""}},
            [nowhere("one", "must validate one and only one schema (oneOf). Found 2 valid alternatives")],
        ),
        (
            {"any": {}},
            [
                nowhere("any", "must validate at least one schema (anyOf)"),
                "spec.any.a: Required value",
            ],
        ),
        ({"no": {"a": "x"}}, [nowhere("no", "must not validate the schema (not)")]),
        (
            {"all": {}},
            [
                "spec.all.a: Required value",
                nowhere("all", "must validate all the schemas (allOf)"),
            ],
        ),
        ({"nil": None}, []),
        ({"guest": {"x": 1}}, ["spec.guest.apiVersion: Required value", "spec.guest.kind: Required value"]),
    ],
    ids=str,
)
def test_every_fault_has_its_sentence(spec: Manifest, causes: list[str]) -> None:
    assert said(spec) == causes


def test_what_must_be_there_must_be_there() -> None:
    assert [cause.field for cause in validate({"metadata": {}}, SCHEMA)] == ["spec"]
    assert [cause.field for cause in validate(thing({}), SCHEMA)] == ["spec.name"]
    assert [cause.message for cause in validate(thing("text"), SCHEMA)] == [
        'Invalid value: "string": spec in body must be of type object: "string"'
    ]


def test_an_update_is_not_blamed_for_what_it_left_as_it_was() -> None:
    old = thing({"name": "BROKEN", "ports": [{"port": "a"}, {"port": 2}]})
    new = thing({"name": "BROKEN", "ports": [{"port": "a"}, {"port": 3}]})
    assert validate(new, SCHEMA, old) == []
    worse = thing({"name": "BROKEN2", "ports": [{"port": "b"}, {"port": 2}]})
    assert [cause.field for cause in validate(worse, SCHEMA, old)] == ["spec.name", "spec.ports[0].port"]


def test_a_list_that_repeated_itself_before_may_go_on() -> None:
    old = thing({"name": "ok", "set": ["a", "a"]})
    assert validate(thing({"name": "okk", "set": ["a", "a"]}), SCHEMA, old) == []


def test_faults_are_bounded() -> None:
    many = {"name": "ok", "m": {f"k{number}": "x" for number in range(5000)}}
    assert len(validate(thing(many), SCHEMA)) <= 100
