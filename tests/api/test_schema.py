"""Schemas out of wire types: structural, bounded, without defaults."""

from datetime import datetime
from typing import Annotated

import pytest
from msgspec import Meta

from isthmus.api.meta import Object, Wire
from isthmus.api.schema import schema
from isthmus.api.scheme import Manifest


class Inner(Wire):
    """What is inside. Not shown."""

    port: int
    note: str | None = None


class Thing(Object):
    """A thing.

    And more of it.
    """

    inner: Inner | None = None
    many: Annotated[tuple[Inner, ...], Meta(max_length=3)] = ()
    keys: dict[str, Annotated[str, Meta(max_length=5)]] = {}
    kinds: Annotated[str, Meta(extra_json_schema={"enum": ["a", "b"]})] = "a"
    count: Annotated[int, Meta(ge=1, lt=10)] = 1
    when: datetime | None = None
    sure: bool = False


INNER: Manifest = {
    "type": "object",
    "description": "What is inside. Not shown.",
    "properties": {"port": {"type": "integer", "format": "int32"}, "note": {"type": "string"}},
    "required": ["port"],
}


def test_a_schema_says_what_the_type_says() -> None:
    assert schema(Thing) == {
        "type": "object",
        "description": "A thing.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "inner": INNER,
            "many": {"type": "array", "items": INNER, "maxItems": 3},
            "keys": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 5}},
            "kinds": {"type": "string", "enum": ["a", "b"]},
            "count": {"type": "integer", "format": "int64", "minimum": 1, "maximum": 9},
            "when": {"type": "string", "format": "date-time"},
            "sure": {"type": "boolean"},
        },
    }


def test_what_is_no_object_has_no_schema() -> None:
    with pytest.raises(TypeError, match="no wire type of a Kubernetes object"):
        schema(Inner)


class Vague(Object):
    """Holds something of no known shape."""

    anything: object = None


def test_a_type_without_a_shape_is_a_clear_error() -> None:
    with pytest.raises(TypeError, match="no schema is known"):
        schema(Vague)
