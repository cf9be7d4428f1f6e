"""Schemas of custom resources: what is structural is read, what is not is refused with its path."""

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.schema import MISSING
from isthmus.apiserver.structural import NotStructural, from_crd

TEXT = {"type": "string"}
NO_PATTERN = "must be a valid regular expression, but isn't: error parsing regexp"
NO_METADATA = "must not specify anything other than name and generateName, but metadata is implicitly specified"


def root(**properties: object) -> Manifest:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


def test_a_schema_is_read_whole() -> None:
    schema = from_crd(
        root(
            ports={
                "type": "array",
                "maxItems": 3,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port"],
                "items": {"type": "object", "required": ["port"], "properties": {"port": {"type": "integer"}}},
            },
            map={"type": "object", "additionalProperties": TEXT},
            any={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            text={"type": "string", "default": "a", "enum": ["a", "b"], "pattern": "^[ab]$", "nullable": True},
            either={"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        )
    )
    spec = schema.properties["spec"]
    ports = spec.properties["ports"]
    assert (ports.list_type, ports.list_keys, ports.bounds.max_items) == ("map", ("port",), 3)
    assert spec.properties["map"].child("x") is spec.properties["map"].additional
    assert spec.properties["any"].preserve_unknown
    assert spec.properties["text"].default == "a"
    assert spec.properties["text"].nullable
    assert spec.properties["either"].int_or_string
    assert spec.default is MISSING
    assert "ownerReferences" in schema.properties["metadata"].properties


@pytest.mark.parametrize(
    ("openapi", "field", "message"),
    [
        pytest.param({}, "type", "Required value: must not be empty at the root", id="no type at the root"),
        pytest.param(
            {"type": "array", "items": TEXT}, "type", 'Invalid value: "array": must be object at the root', id="a list"
        ),
        pytest.param(
            root(a={}),
            "properties[spec].properties[a].type",
            "Required value: must not be empty for specified object fields",
            id="a field without a type",
        ),
        pytest.param(
            root(a={"type": "array"}),
            "properties[spec].properties[a].items",
            "Required value: must be specified",
            id="a list without items",
        ),
        pytest.param(
            root(a={"type": "array", "items": {}}),
            "properties[spec].properties[a].items.type",
            "Required value: must not be empty for specified array items",
            id="items without a type",
        ),
        pytest.param(
            root(a={"type": "text"}),
            "properties[spec].properties[a].type",
            'Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"',
            id="an unknown type",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": TEXT},
            "additionalProperties",
            "Forbidden: must not be used at the root",
            id="free keys at the root",
        ),
        pytest.param(
            root(a={"type": "string", "anyOf": [{"type": "string"}]}),
            "properties[spec].properties[a].anyOf[0].type",
            "Forbidden: must be empty to be structural",
            id="a type below anyOf",
        ),
        pytest.param(
            root(a={"$ref": "#/x", "type": "string"}),
            "properties[spec].properties[a].$ref",
            "Forbidden: $ref is not supported",
            id="a reference",
        ),
        pytest.param(
            root(a={"type": "string", "x-kubernetes-preserve-unknown-fields": False}),
            "properties[spec].properties[a].x-kubernetes-preserve-unknown-fields",
            "Invalid value: false: must be true or undefined",
            id="an extension that may only be true",
        ),
        pytest.param(
            root(a={"type": "array", "items": TEXT, "uniqueItems": True}),
            "properties[spec].properties[a].uniqueItems",
            "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            id="unique items",
        ),
        pytest.param(
            root(
                a={
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": TEXT}},
                }
            ),
            "properties[spec].properties[a].items.properties[k].default",
            "Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a"
            " required property",
            id="a key that may be missing",
        ),
        pytest.param(
            root(a={"type": "string", "pattern": "("}),
            "properties[spec].properties[a].pattern",
            f'Invalid value: "(": {NO_PATTERN}: missing ): `(`',
            id="a broken pattern",
        ),
        pytest.param(
            root(a={"type": "string", "default": 3}),
            "properties[spec].properties[a].default",
            'Invalid value: "integer":  in body must be of type string: "integer"',
            id="a default of another type",
        ),
        pytest.param(
            root(a={"type": "object", "default": {"b": 1}, "properties": {"b": TEXT}}),
            "properties[spec].properties[a].default.b",
            'Invalid value: "integer": b in body must be of type string: "integer"',
            id="a default wrong below",
        ),
        pytest.param(
            {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": TEXT}}}},
            "properties[metadata]",
            f"Forbidden: {NO_METADATA}",
            id="metadata beyond names",
        ),
        pytest.param(
            root(a={"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}),
            "properties[spec].properties[a].items.x-kubernetes-map-type",
            "Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
            id="a set of open objects",
        ),
    ],
)
def test_what_is_not_structural_is_refused(openapi: Manifest, field: str, message: str) -> None:
    with pytest.raises(NotStructural) as refusal:
        from_crd(openapi)
    assert (field, message) in [(cause.field, cause.message) for cause in refusal.value.causes]


def test_a_schema_nested_too_deep_is_refused() -> None:
    node: Manifest = {"type": "string"}
    for _ in range(200):
        node = {"type": "object", "properties": {"x": node}}
    with pytest.raises(NotStructural):
        from_crd(node)
