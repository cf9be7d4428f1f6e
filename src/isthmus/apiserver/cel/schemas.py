"""Values of a custom resource as rules see them: numbers as their schema says, names that expressions can write.

Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", "Field types" and "Escaping".
"""

import base64
import re
from typing import Final

from isthmus.api.scheme import Manifest

_TEXT: Final = {"type": "string"}
_METADATA: Final = {"type": "object", "properties": {"name": _TEXT, "generateName": _TEXT}}
_ESCAPED: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
RESERVED: Final = {
    *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"),
    *("namespace", "null", "package", "return", "true", "var", "void", "while"),
}
# Formats whose values are moments and spans: the CEL library does not take these inside of others, but texts of them.
TIMES: Final = ("date", "date-time", "duration")


def escaped(name: str) -> str:
    """A field's name as expressions write it; empty if they cannot."""
    if not re.fullmatch(r"[A-Za-z_./-][\w./-]*", name, re.ASCII):
        return ""
    if name in RESERVED:
        return f"__{name}__"
    return re.sub(r"__|[-./]", lambda found: _ESCAPED[found[0]], name)


def fields_of(schema: Manifest, *, is_root: bool) -> Manifest:
    """The schemas of an object's fields; at its root, all objects have the same three besides."""
    fields: Manifest = schema.get("properties") or {}
    return {**fields, "kind": _TEXT, "apiVersion": _TEXT, "metadata": _METADATA} if is_root else fields


def fitted(value: object, schema: Manifest, *, is_root: bool = False) -> object:
    """The value as rules see it; of objects only the fields that the schema names."""
    is_root = is_root or bool(schema.get("x-kubernetes-embedded-resource"))
    if isinstance(value, list):
        made = [fitted(item, schema.get("items") or {}) for item in value]
        # The order of a set says nothing: two that hold the same are to be equal.
        return sorted(made, key=str) if schema.get("x-kubernetes-list-type") == "set" else made
    if isinstance(value, dict):
        additional = schema.get("additionalProperties")
        if isinstance(additional, dict) and not is_root:
            return {key: fitted(member, additional) for key, member in value.items()}
        known = fields_of(schema, is_root=is_root)
        return {escaped(name): fitted(value[name], known[name]) for name in known if name in value and escaped(name)}
    if isinstance(value, str) and schema.get("format") == "byte":
        return base64.b64decode(value)
    if isinstance(value, str) and schema.get("format") == "date":
        return f"{value}T00:00:00Z"
    if isinstance(value, int) and not isinstance(value, bool) and schema.get("type") == "number":
        return float(value)
    return value


def times_in(schema: Manifest, name: str = "") -> list[str]:
    """The names of fields, or of what is around them, whose values are moments or spans."""
    found = [name] if schema.get("format") in TIMES else []
    for below in (schema.get("items"), schema.get("additionalProperties")):
        found += times_in(below, name) if isinstance(below, dict) else []
    for inner, below in (schema.get("properties") or {}).items():
        found += times_in(below, escaped(inner)) if isinstance(below, dict) else []
    return found
