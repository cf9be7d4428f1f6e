"""Writes the table of facts about built-in kinds, from a real API server's OpenAPI and the Go types behind it.

    python -m tests.real.facts

starts the control plane that `make real` built, asks it for /openapi/v3, and reads Go's module cache, which
alone knows what Go leaves out when it is empty. The table goes to src/isthmus/apiserver/builtin/facts.json.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from isthmus.api.scheme import Manifest
from tests.apiserver.pair import Sender, read_kubeconfig
from tests.real.build import VERSION
from tests.real.controlplane import ControlPlane

TARGET = Path(__file__).parents[2] / "src" / "isthmus" / "apiserver" / "builtin" / "facts.json"
KINDS = {
    "v1": (
        "Namespace Pod Service Endpoints ConfigMap Secret ServiceAccount Node Event PodTemplate Binding "
        "DeleteOptions Status"
    ),
    "apps/v1": "Deployment ReplicaSet StatefulSet DaemonSet ControllerRevision",
    "discovery.k8s.io/v1": "EndpointSlice",
    "coordination.k8s.io/v1": "Lease",
    "events.k8s.io/v1": "Event",
    "networking.k8s.io/v1": "NetworkPolicy",
    "apiextensions.k8s.io/v1": "CustomResourceDefinition",
    "admissionregistration.k8s.io/v1": "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
    "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding Role RoleBinding",
    "authentication.k8s.io/v1": "TokenReview SelfSubjectReview TokenRequest",
    "authorization.k8s.io/v1": (
        "SubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview LocalSubjectAccessReview"
    ),
    "autoscaling/v1": "Scale",
    "policy/v1": "Eviction",
}
PACKAGES = {
    "io.k8s.api.": ("k8s.io/api@v0.{minor}", "{path}/types.go"),
    "io.k8s.apimachinery.pkg.": ("k8s.io/apimachinery@v0.{minor}", "pkg/{path}/types.go"),
    "io.k8s.apiextensions-apiserver.pkg.": (
        "k8s.io/apiextensions-apiserver@v0.{minor}",
        "pkg/{path}/types*.go",
    ),
}
SHORT = {
    "type": "t",
    "format": "f",
    "required": "r",
    "enum": "e",
    "x-kubernetes-list-type": "l",
    "x-kubernetes-list-map-keys": "k",
    "x-kubernetes-map-type": "x",
    "x-kubernetes-patch-merge-key": "m",
    "x-kubernetes-patch-strategy": "s",
}
FIELD = re.compile(r'^\t(\w+\s+)?([^\s`]+)\s+`[^`]*json:"([^"]*)"')
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)


class GoTypes:
    """What the Go sources say of each field: left out when empty, or shown as zero."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._packages: dict[str, dict[str, str]] = {}

    def zeros(self, name: str) -> dict[str, str]:
        """For each JSON field of the type with this OpenAPI name: "drop", "show" or "keep"."""
        package, _, struct = name.rpartition(".")
        return dict(self._fields(package, struct))

    def _fields(self, package: str, struct: str) -> Iterator[tuple[str, str]]:
        for line in self._structs(package).get(struct, "").splitlines():
            match = FIELD.match(line)
            if match is None:
                continue
            kind, (tag, *flags) = match[2], match[3].split(",")
            if "inline" in flags or (not match[1] and not tag):
                yield from self._fields(package, kind.rpartition(".")[2].lstrip("*"))
            else:
                yield tag, _zero(kind, flags)

    def _structs(self, package: str) -> dict[str, str]:
        if package not in self._packages:
            self._packages[package] = {
                name: body for text in self._sources(package) for name, body in STRUCT.findall(text)
            }
        return self._packages[package]

    def _sources(self, package: str) -> Iterator[str]:
        for prefix, (module, pattern) in PACKAGES.items():
            if package.startswith(prefix):
                path = package.removeprefix(prefix).replace(".", "/")
                base = self.root / module.format(minor=VERSION.partition(".")[2])
                yield from (file.read_text() for file in base.glob(pattern.format(path=path)))


def _zero(kind: str, flags: list[str]) -> str:
    if kind.startswith("*"):
        return "keep"
    if "omitzero" in flags:
        return "drop"
    return "omitempty" if "omitempty" in flags else "show"


class Table:
    """Nodes, each written once, refer to each other by number."""

    def __init__(self, documents: Iterable[Manifest], types: GoTypes) -> None:
        self.schemas: dict[str, Manifest] = {}
        for document in documents:
            self.schemas.update(document["components"]["schemas"])
        self.types = types
        self.nodes: list[Manifest] = []
        self._numbers: dict[str, int] = {}

    def kind(self, api_version: str, kind: str) -> int:
        """The number of the node that describes a kind."""
        group, _, version = api_version.rpartition("/")
        wanted = {"group": group, "version": version, "kind": kind}
        found = [
            name
            for name, schema in self.schemas.items()
            if wanted in schema.get("x-kubernetes-group-version-kind", ()) and name.startswith("io.k8s")
        ]
        return self.named(found[0])

    def named(self, name: str) -> int:
        """The number of a type; types may refer to themselves."""
        if name not in self._numbers:
            self._numbers[name] = len(self.nodes)
            self.nodes.append({})
            node = self.node(self.schemas[name], self.types.zeros(name))
            self.nodes[self._numbers[name]] = {**node, "n": name.rpartition(".")[2]}
        return self._numbers[name]

    def inline(self, node: Manifest) -> int:
        """The number of a node without a name; equal nodes share one."""
        text = json.dumps(node, sort_keys=True)
        if text not in self._numbers:
            self._numbers[text] = len(self.nodes)
            self.nodes.append(node)
        return self._numbers[text]

    def node(self, schema: Manifest, zeros: dict[str, str]) -> Manifest:
        """An OpenAPI schema in short words."""
        node: Manifest = {SHORT[word]: value for word, value in schema.items() if word in SHORT}
        if "s" in node:
            node["s"] = node["s"].split(",")
        for name, field in sorted(schema.get("properties", {}).items()):
            node.setdefault("p", {})[name] = self.inline(self.field(field, zeros.get(name, "keep")))
        for word, short in (("items", "i"), ("additionalProperties", "a")):
            if isinstance(schema.get(word), dict):
                node[short] = self.inline(self.field(schema[word], "keep"))
        if "oneOf" in schema:
            node["t"] = schema.get("format") or "quantity"
        return node

    def field(self, schema: Manifest, zero: str) -> Manifest:
        """What a field says of its type, on top of the type."""
        reference = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf", ())), "")
        node = self.node(schema, {})
        if reference:
            node["ref"] = self.named(reference.rpartition("/")[2])
        if schema.get("default"):
            node["d"] = schema["default"]
        if letter := self.emptiness(schema, zero):
            node["z"] = letter
        return node

    def emptiness(self, schema: Manifest, zero: str) -> str:
        """ "d": left out when empty; "s": always shown; "": as it was sent. Structs know no omitempty."""
        reference = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf", ())), "")
        target = self.schemas.get(reference.rpartition("/")[2], {})
        is_struct = bool(reference) and target.get("type") != "array"
        if zero == "omitempty":
            return "s" if is_struct else "d"
        return {"show": "s", "drop": "d"}.get(zero, "")


def facts(documents: Iterable[Manifest], types: GoTypes) -> Manifest:
    """The whole table: kinds by `apiVersion/kind`, and the nodes."""
    table = Table(documents, types)
    kinds = {f"{version}/{kind}": table.kind(version, kind) for version, all_ in KINDS.items() for kind in all_.split()}
    return {"version": VERSION, "kinds": kinds, "nodes": table.nodes}


def documents(server: Sender) -> Iterator[Manifest]:
    """What a server's /openapi/v3 says of the groups and versions of KINDS."""
    for version in KINDS:
        path = f"apis/{version}" if "/" in version else f"api/{version}"
        yield server.send("GET", f"/openapi/v3/{path}")[1]


def module_cache() -> Path:
    """Where Go keeps the sources that the server was built from."""
    told = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=True).stdout
    return Path(told.strip())


def main() -> None:
    """Start a server, ask it, write the table, stop the server."""
    with tempfile.TemporaryDirectory() as folder:
        plane = ControlPlane(Path(folder))
        try:
            plane.start_etcd()
            plane.start_server()
            server = Sender(read_kubeconfig(plane.kubeconfig), Path(folder))
            table = facts(documents(server), GoTypes(module_cache()))
        finally:
            plane.stop()
    TARGET.write_text(json.dumps(table, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
