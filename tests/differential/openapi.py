"""OpenAPI documents, version 3, as far as clients read them: the types of served kinds, and how they are patched."""

from isthmus.api.scheme import Manifest
from isthmus.apiserver.kinds import BUILT_IN

PREFIX = "#/components/schemas/"
SAID = "x-kubernetes-group-version-kind"
# What no client acts upon.
LEFT_OUT = ("description", "default", "x-kubernetes-unions", SAID)
KINDS = frozenset((kind.group, kind.version, kind.kind) for kind in BUILT_IN)
GROUP_VERSIONS = frozenset(f"apis/{group}/{version}" if group else f"api/{version}" for group, version, _ in KINDS)


def index(document: Manifest) -> Manifest:
    """The paths of what both serve, without the hashes by which they are cached."""
    paths = {path: each["serverRelativeURL"].partition("?")[0] for path, each in document["paths"].items()}
    return {path: paths[path] for path in sorted(GROUP_VERSIONS & paths.keys())}


def document(whole: Manifest) -> Manifest:
    """Every type that a served kind is made of by the last part of its name, and the patches that kinds take."""
    schemas: Manifest = whole["components"]["schemas"]
    found: Manifest = {}
    kinds = {
        name: each
        for name, schema in schemas.items()
        for each in schema.get(SAID, ())
        if (each["group"], each["version"], each["kind"]) in KINDS and f"{each['kind']}" == _last(name)
    }
    pending = list(kinds)
    while pending:
        name = pending.pop()
        if _last(name) not in found:
            found[_last(name)] = _told(schemas[name], schemas, pending)
    told = {each["kind"]: [{**each}] for each in kinds.values()}
    return {"openapi": whole["openapi"], "types": found, "kinds": told, "patches": _patches(whole["paths"])}


def _last(name: str) -> str:
    return name.rpartition(".")[2].rstrip("_")


def _told(schema: Manifest, schemas: Manifest, pending: list[str]) -> Manifest:
    """A schema in which types with fields are named, and those without told where they are used."""
    schema = {name: value for name, value in schema.items() if name not in LEFT_OUT}
    for each in schema.pop("allOf", ()):
        schema |= each
    if reference := schema.pop("$ref", "").removeprefix(PREFIX):
        if not schemas[reference].get("properties"):
            return _told(schema | schemas[reference], schemas, pending)
        pending.append(reference)
        return schema | {"type": _last(reference)}
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            schema[part] = _told(schema[part], schemas, pending)
    if "properties" in schema:
        schema["properties"] = {name: _told(each, schemas, pending) for name, each in schema["properties"].items()}
    return {name: sorted(value) if name in {"required", "enum"} else value for name, value in schema.items()}


def _patches(paths: Manifest) -> Manifest:
    """By path: the parameters and content types of its patch, where that is of a kind that both serve."""
    told: Manifest = {}
    for path, operations in paths.items():
        patch = operations.get("patch", {})
        said = patch.get(SAID, {})
        if path.endswith("/{name}") and (said.get("group"), said.get("version"), said.get("kind")) in KINDS:
            parameters = {each["name"]: each["schema"]["type"] for each in patch["parameters"]}
            told[path] = {**parameters, "content": sorted(patch.get("requestBody", {}).get("content", ()))}
    return told
