"""The words of the table: one request with what is to be compared, and sequences of them under a name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from isthmus.api.scheme import Manifest

JSON, YAML = "application/json", "application/yaml"
PROTOBUF, CBOR = "application/vnd.kubernetes.protobuf", "application/cbor"
MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIALS = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

CORE = "/api/v1"
HOME = "/api/v1/namespaces/${ns}"
MAPS, PODS, SERVICES, SECRETS = f"{HOME}/configmaps", f"{HOME}/pods", f"{HOME}/services", f"{HOME}/secrets"
APPS = "/apis/apps/v1/namespaces/${ns}"
DEPLOYMENTS = f"{APPS}/deployments"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/${ns}/leases"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# What a step that forgets the past is called: etcd's compaction, the window of the embedded server.
COMPACT = "COMPACT"


@dataclass(frozen=True)
class Reason:
    """Why the two servers may differ, for docs/embedded.md; one line each."""

    what: str
    why: str
    # Where answers may differ for this reason: patterns of dotted paths, "*" for anywhere.
    paths: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Differs:
    """A declared difference: where the answers may, and have to, differ."""

    reason: Reason
    paths: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Step:
    """One request. `${name}` in path and body stands for what an earlier step kept, `${ns}` for the namespace.

    `until` asks again, for a bounded time, until the code, (dotted path, value), or ("Warning", text) is there.
    `events` makes it a watch, of which so many lines are read. With `loose` the parts of a sentence may come in
    any order: Go has them from a map. With `unseen` the answer is not compared.
    """

    method: str
    path: str
    body: object = None
    media: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    until: object = None
    events: int = 0
    loose: bool = False
    unseen: bool = False
    differs: Differs | None = None

    def differing(self, reason: Reason, *paths: str) -> "Step":
        """The same step, with a declared difference."""
        return replace(self, differs=Differs(reason, paths or ("",)))

    def keeping(self, **paths: str) -> "Step":
        """The same step, of whose answer the values at these dotted paths are remembered."""
        return replace(self, keep=paths)

    def accepting(self, accept: str) -> "Step":
        """The same step, with that Accept header."""
        return replace(self, headers={**self.headers, "Accept": accept})


@dataclass(frozen=True)
class Sequence:
    """Steps in a namespace of their own."""

    name: str
    steps: tuple[Step, ...]

    @property
    def namespace(self) -> str:
        """Its namespace, on both servers."""
        words = "".join(letter if letter.isalnum() else "-" for letter in self.name.lower())
        return f"d-{words}"[:60].strip("-")


def sequence(name: str, *steps: Step) -> Sequence:
    """Steps under a name."""
    return Sequence(name, steps)


def get(path: str, accept: str = "", **more: object) -> Step:
    """Read."""
    return Step("GET", path, headers={"Accept": accept} if accept else {}, **more)  # type: ignore[arg-type]  # fields of Step


def watch(path: str, events: int, accept: str = "", **more: object) -> Step:
    """Read so many lines of a watch."""
    joint = "&" if "?" in path else "?"
    return get(f"{path}{joint}watch=1&timeoutSeconds=4", accept, events=events, **more)


def post(path: str, body: object, media: str = JSON, **more: object) -> Step:
    """Create."""
    return Step("POST", path, body, media, **more)  # type: ignore[arg-type]  # fields of Step


def put(path: str, body: object, media: str = JSON, **more: object) -> Step:
    """Replace."""
    return Step("PUT", path, body, media, **more)  # type: ignore[arg-type]  # fields of Step


def patch(path: str, body: object, media: str = MERGE, **more: object) -> Step:
    """Change a part."""
    return Step("PATCH", path, body, media, **more)  # type: ignore[arg-type]  # fields of Step


def apply(path: str, body: object, manager: str = "a", *, force: bool = False, **more: object) -> Step:
    """Server-side apply."""
    joint = "&" if "?" in path else "?"
    forced = "&force=true" if force else ""
    return Step("PATCH", f"{path}{joint}fieldManager={manager}{forced}", body, APPLY, **more)  # type: ignore[arg-type]  # fields of Step


def delete(path: str, body: object = None, **more: object) -> Step:
    """Delete."""
    return Step("DELETE", path, body, JSON if body is not None else "", **more)  # type: ignore[arg-type]  # fields of Step


def compact() -> Step:
    """Have both servers forget what was before now."""
    return Step(COMPACT, "", unseen=True)


def named(name: str, kind: str = "ConfigMap", version: str = "v1", **fields: object) -> Manifest:
    """An object; `metadata` adds to its name."""
    metadata = fields.pop("metadata", {})
    assert isinstance(metadata, dict)
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}, **fields}


def labelled(name: str, **labels: str) -> Manifest:
    """A ConfigMap with labels."""
    return named(name, metadata={"labels": labels})


def pod(name: str, **spec: object) -> Manifest:
    """A pod with one container."""
    return named(name, "Pod", spec={"containers": [{"name": "c", "image": "i"}], **spec})


def service(name: str, **spec: object) -> Manifest:
    """A Service with one port."""
    return named(name, "Service", spec={"ports": [{"port": 80}], **spec})


def workload(name: str, kind: str = "Deployment", **spec: object) -> Manifest:
    """A Deployment, or another kind that runs pods."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    whole = {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}
    return named(name, kind, "apps/v1", spec=whole)
