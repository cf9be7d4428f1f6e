"""What the fields of each kind are, for `kubectl explain`, and which parameters writes take."""

from isthmus.api.scheme import Manifest
from isthmus.apiserver.discovery import GIT_VERSION, of_version
from isthmus.apiserver.kinds import Kind, Kinds
from isthmus.apiserver.schema import MISSING, Schema
from isthmus.apiserver.status import no_such_path

# What `kubectl` looks for before it leaves validation to the server.
WRITE_PARAMETERS = {"dryRun": "string", "fieldManager": "string", "fieldValidation": "string", "force": "boolean"}
PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
# Where kubectl finds it, it makes patches by what the schemas say of lists.
STRATEGIC = "application/strategic-merge-patch+json"
# A document without paths, as protobuf: kubectl asks for it when version 3 does not know a kind.
EMPTY_V2 = b"\x0a\x032.0"
V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
PREFIX = "#/components/schemas/"


def index(kinds: Kinds) -> Manifest:
    """`/openapi/v3`: one document per group and version."""
    paths = {}
    for group, versions in kinds.groups().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}"}
    return {"paths": paths}


def document(kinds: Kinds, group: str, version: str) -> Manifest:
    """`/openapi/v3/...`. Raises NotFound."""
    served = of_version(kinds, group, version)
    if not served:
        raise no_such_path()
    components = _Components()
    for kind in served:
        components.add_kind(kind)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": GIT_VERSION},
        "paths": {path: operation for kind in served for path, operation in [_patch(kind)] if "patch" in kind.verbs},
        "components": {"schemas": components.schemas},
    }


def _type_of(kind: Kind) -> Manifest:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _patch(kind: Kind) -> tuple[str, Manifest]:
    path = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    path += "/namespaces/{namespace}" if kind.namespaced else ""
    parameters = [
        {"name": name, "in": "query", "schema": {"type": each, "uniqueItems": True}}
        for name, each in WRITE_PARAMETERS.items()
    ]
    content: Manifest = {each: {} for each in (*PATCHES, *(() if kind.custom else (STRATEGIC,)))}
    operation = {"parameters": parameters, "requestBody": {"content": content}, "responses": {}}
    operation["x-kubernetes-action"] = "patch"
    operation["x-kubernetes-group-version-kind"] = _type_of(kind)
    return f"{path}/{kind.plural}/{{name}}", {"patch": operation}


class _Components:
    """The schemas of one document; what has a name is told once and referred to."""

    def __init__(self) -> None:
        self.schemas: Manifest = {}
        self._names: dict[int, str] = {}

    def add_kind(self, kind: Kind) -> None:
        """Tell a kind's schema, as its author wrote it if it is a custom one."""
        if kind.custom:
            told = dict(kind.openapi)
            about: Manifest = {name: {"type": "string"} for name in ("apiVersion", "kind")}
            told["properties"] = about | {"metadata": {"type": "object"}} | (told.get("properties") or {})
            name = kind.kind
        elif kind.schema is not None:
            name = self._refer(kind.schema)["$ref"].removeprefix(PREFIX)
            told = self.schemas[name]
        else:
            return
        self.schemas[name] = told | {"x-kubernetes-group-version-kind": [_type_of(kind)]}

    def _told(self, schema: Schema) -> Manifest:
        if schema.name and schema.properties:
            # How a field is patched is said where it is used.
            return {"allOf": [self._refer(schema)], **_patching(schema)}
        return self._node(schema) | _patching(schema)

    def _refer(self, schema: Schema) -> Manifest:
        # Uses of one type differ in defaults; its table of fields is the same object.
        key = id(schema.properties)
        if key not in self._names:
            name = schema.name
            while name in self.schemas:
                name += "_"
            self._names[key] = name
            self.schemas[name] = {}
            self.schemas[name].update(self._node(schema))
        return {"$ref": PREFIX + self._names[key]}

    def _node(self, schema: Schema) -> Manifest:
        told: Manifest = {}
        if schema.type:
            told["type"] = schema.type
        elif schema.int_or_string or schema.format == "quantity":
            types = ("integer", "string") if schema.int_or_string else ("string", "number")
            told["oneOf"] = [{"type": each} for each in types]
        if schema.format and schema.format != "quantity":
            told["format"] = schema.format
        if schema.properties:
            told["properties"] = {name: self._told(each) for name, each in schema.properties.items()}
        if schema.required:
            told["required"] = list(schema.required)
        if schema.items is not None:
            told["items"] = self._told(schema.items)
        if schema.additional is not None:
            told["additionalProperties"] = self._told(schema.additional)
        if schema.enum:
            told["enum"] = list(schema.enum)
        if schema.default is not MISSING:
            told["default"] = schema.default
        return told | _merging(schema)


def _merging(schema: Schema) -> Manifest:
    """How server-side apply takes a list or a map."""
    told: Manifest = {}
    if schema.list_type:
        told["x-kubernetes-list-type"] = schema.list_type
    if schema.list_keys:
        told["x-kubernetes-list-map-keys"] = list(schema.list_keys)
    if schema.map_type and schema.name != "RawExtension":
        told["x-kubernetes-map-type"] = schema.map_type
    return told


def _patching(schema: Schema) -> Manifest:
    """How a strategic merge patch takes a field."""
    told: Manifest = {}
    if schema.patch_strategy:
        told["x-kubernetes-patch-strategy"] = ",".join(schema.patch_strategy)
    if schema.patch_key:
        told["x-kubernetes-patch-merge-key"] = schema.patch_key
    return told
