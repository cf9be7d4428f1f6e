"""What one HTTP request asks for: which resource, how the answer should look, and what its body says."""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import yaml

from isthmus.api.scheme import Manifest
from isthmus.apiserver import protobuf
from isthmus.apiserver.status import bad_request, no_such_path, not_acceptable, unsupported_media_type
from isthmus.errors import Refused

MAX_BODY = 3 * 1024 * 1024
MAX_DEPTH = 100
# Aliases make a small YAML document large: what counts is how much it says once they are followed.
MAX_NODES = 1_000_000
JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
BODY_TYPES = (JSON, YAML)
STREAM_SUFFIX = ";stream=watch"
META_GROUP = "meta.k8s.io"
OBJECT, TABLE, PARTIAL = "", "Table", "PartialObjectMetadata"


@dataclass(frozen=True, slots=True)
class Path:
    """A resource path, taken apart: `/apis/apps/v1/namespaces/shop/deployments/web/scale`."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str

    @classmethod
    def parse(cls, path: str) -> "Path":
        """Read `path`. Raises NotFound when no resource can be there."""
        parts = path.strip("/").split("/")
        if not all(parts) or len(parts) < 3:
            raise no_such_path()
        if parts[0] == "api":
            group, version, rest = "", parts[1], parts[2:]
        elif parts[0] == "apis" and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            raise no_such_path()
        namespace = ""
        # Below a namespace are its contents, except for the namespace's own two subresources.
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
            namespace, rest = rest[1], rest[2:]
        if len(rest) > 3:
            raise no_such_path()
        plural, name, subresource = (*rest, "", "")[:3]
        return cls(group, version, namespace, plural, name, subresource)


@dataclass(frozen=True, slots=True)
class Form:
    """How the caller wants to see objects: whole, as a Table or only their metadata; JSON or YAML."""

    shape: str = OBJECT
    media_type: str = JSON

    @property
    def content_type(self) -> str:
        """The answer's Content-Type."""
        # Whatever the shape: a Table says itself that it is one.
        return self.media_type


def negotiate(accept: str) -> Form:
    """The first form in an Accept header that this server can give. Raises Refused (406)."""
    for media_range in accept.split(",") if accept.strip() else ["*/*"]:
        media_type, _, parameters = media_range.strip().partition(";")
        wanted = dict(part.strip().partition("=")[::2] for part in parameters.split(";") if part)
        shape = wanted.get("as", OBJECT).removesuffix("List")
        if shape != OBJECT and (shape not in {TABLE, PARTIAL} or wanted.get("v") != "v1"):
            continue
        if media_type in {JSON, "*/*"}:
            return Form(shape)
        if media_type == YAML:
            return Form(shape, YAML)
    raise not_acceptable((*BODY_TYPES, PROTOBUF), known="json" in accept or "yaml" in accept)


def flag(query: Mapping[str, str], name: str) -> bool:
    """Whether a query parameter says yes: whatever is there does, but 0 and false, as the real server has it."""
    return name in query and query[name].lower() not in {"0", "false"}


def number(query: Mapping[str, str], name: str) -> int:
    """A query parameter as a number, 0 when absent. Raises Refused (400)."""
    value = query.get(name, "0")
    if not value.removeprefix("-").isdecimal() or len(value) > 18:
        raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax')
    return int(value)


def revision(query: Mapping[str, str]) -> int:
    """The resourceVersion that a query asks for, 0 when absent. Raises Refused (500, as the real server)."""
    value = query.get("resourceVersion", "") or "0"
    if not value.isdecimal() or len(value) > 18:
        told = f'resourceVersion: Invalid value: "{value}": strconv.ParseUint: parsing "{value}": invalid syntax'
        raise Refused(code=500, reason="", message=told)
    return int(value)


def read_manifest(body: bytes, content_type: str) -> Manifest:
    """The object in a request's body. Raises Refused: 415 for other formats, 400 for what is not an object."""
    media_type = content_type.partition(";")[0].strip()
    if media_type == PROTOBUF:
        try:
            return protobuf.decode(body)
        except protobuf.Malformed as error:
            raise bad_request(f"the body cannot be read: {error}") from error
    if media_type not in {"", JSON, YAML}:
        raise unsupported_media_type((*BODY_TYPES, PROTOBUF))
    found = read_yaml(body) if media_type == YAML else read_json(body)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise bad_request("the object provided is unrecognized: couldn't get version/kind; json parse error")
    return found


def read_json(body: bytes) -> object:
    """Decoded JSON. Raises Refused (400)."""
    try:
        found: object = msgspec.json.decode(body)
        measure(found, MAX_NODES, 0)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is not valid JSON: {error}") from error
    return found


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: dates stay strings."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }
    # As Go's YAML 1.1 has it.
    bool_values = {**yaml.CSafeLoader.bool_values, "y": True, "n": False}


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))


def read_yaml(body: bytes) -> object:
    """Decoded YAML (JSON is YAML too). Raises Refused (400)."""
    if body.lstrip().startswith(b"{"):
        # Most clients send JSON under this name. What only looks like it is read as YAML below.
        with contextlib.suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            sent: object = msgspec.json.decode(body)
            measure(sent, MAX_NODES, 0)
            return sent
    try:
        _check_depth(body)
        found: object = yaml.load(body, _Loader)  # noqa: S506  # a subclass of the safe loader
        measure(found, MAX_NODES, 0)
        return with_text_keys(found)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise bad_request(f"error converting YAML to JSON: {error}") from error


def _check_depth(body: bytes) -> None:
    """Raise Refused (400) for a document that is nested too deep: the C loader would recurse until it dies."""
    depth = 0
    for event in yaml.parse(body, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise bad_request(f"the object is nested deeper than {MAX_DEPTH} levels")


def measure(value: object, budget: int, depth: int) -> int:
    """How much of `budget` values is left after `value`. Raises Refused (400) when it is too deep or too large."""
    if depth > MAX_DEPTH:
        raise bad_request(f"the object is nested deeper than {MAX_DEPTH} levels")
    if budget < 0:
        raise bad_request(f"the object holds more than {MAX_NODES} values")
    if isinstance(value, dict):
        for member in value.values():
            if isinstance(member, (dict, list)):
                budget = measure(member, budget, depth + 1)
        return budget - len(value)
    if isinstance(value, list):
        for item in value:
            if isinstance(item, (dict, list)):
                budget = measure(item, budget, depth + 1)
        return budget - len(value)
    return budget


def with_text_keys(value: object) -> object:
    """The same value, its mapping keys as JSON knows them: text."""
    if isinstance(value, dict):
        return {_text(key): with_text_keys(member) for key, member in value.items()}
    if isinstance(value, list):
        return [with_text_keys(item) for item in value]
    return value


def _text(key: object) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


def to_yaml(manifest: object) -> bytes:
    """YAML for an answer."""
    text: bytes = yaml.dump(manifest, Dumper=yaml.CSafeDumper, encoding="utf-8", sort_keys=True)
    return text
