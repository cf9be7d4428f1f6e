"""Writes the table by which protobuf bodies are read, from the .proto files and Go types of a real API server.

    python -m tests.apiserver.protobuf_facts --go DIR --out src/isthmus/apiserver/protobuf.json

`--go` is the module cache that the server was built from.
"""

import argparse
import json
import re
from pathlib import Path

VERSION = "0.36.3"
KINDS = {
    "core": ("v1", "ConfigMap Endpoints Event Namespace Node Pod Secret Service ServiceAccount Binding"),
    "apps": ("apps/v1", "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet"),
    "coordination": ("coordination.k8s.io/v1", "Lease"),
    "discovery": ("discovery.k8s.io/v1", "EndpointSlice"),
    "events": ("events.k8s.io/v1", "Event"),
    "networking": ("networking.k8s.io/v1", "NetworkPolicy"),
    "policy": ("policy/v1", "Eviction"),
    "autoscaling": ("autoscaling/v1", "Scale"),
    "authentication": ("authentication.k8s.io/v1", "TokenRequest TokenReview SelfSubjectReview"),
    "rbac": ("rbac.authorization.k8s.io/v1", "ClusterRole ClusterRoleBinding Role RoleBinding"),
    "admissionregistration": (
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
    ),
    "authorization": (
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview LocalSubjectAccessReview",
    ),
}
SCALARS = {"string": "s", "bytes": "b", "bool": "B", "int32": "i", "int64": "i", "double": "d"}
# Messages whose JSON is not an object of their fields; `isthmus.apiserver.protobuf` knows each.
SPECIAL = {
    "Time", "MicroTime", "Quantity", "IntOrString", "FieldsV1", "RawExtension", "ExtraValue",
}  # fmt: skip
MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  (optional|repeated|map<string, ?([\w.]+)>) ?([\w.]*) (\w+) = (\d+)", re.MULTILINE)
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
TAGS = re.compile(r'`(?=[^`]*json:"(?P<shown>[^",]*))(?=[^`]*protobuf:"[^"]*name=(?P<wire>\w+))')


def packages(cache: Path) -> dict[str, Path]:
    """Where each package's files are: short name to folder."""
    api, machinery = cache / f"k8s.io/api@v{VERSION}", cache / f"k8s.io/apimachinery@v{VERSION}"
    found = {name: api / name / "v1" for name in KINDS}
    found["meta"] = machinery / "pkg/apis/meta/v1"
    return found


def messages(package: str, folder: Path) -> dict[str, dict[str, list[str]]]:
    """The messages of one package: field number to JSON name (empty: its fields belong to the outer one) and type."""
    go = "\n".join(path.read_text() for path in folder.glob("types*.go")) + _more(package, folder)
    names = {struct: {wire: shown for shown, wire in TAGS.findall(body)} for struct, body in STRUCT.findall(go)}
    return {
        f"{package}.{name}": {
            number: [names.get(name, {}).get(wire, wire), _type(package, repeated, mapped, kind)]
            for repeated, mapped, kind, wire, number in FIELD.findall(body)
        }
        for name, body in MESSAGE.findall((folder / "generated.proto").read_text())
    }


def _more(package: str, folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.glob("*.go")) if package == "meta" else ""


def _type(package: str, repeated: str, mapped: str, kind: str) -> str:
    inner = mapped or kind
    short = SCALARS.get(inner) or _message(package, inner)
    return {"repeated": "*", "optional": ""}.get(repeated, "%") + short


def _message(package: str, kind: str) -> str:
    parts = kind.lstrip(".").split(".")
    if parts[-1] in SPECIAL:
        return f"={parts[-1]}"
    home = {"meta": "meta"}.get(parts[-3], parts[-3]) if len(parts) > 2 else package
    return f"{home}.{parts[-1]}"


def table(cache: Path) -> dict[str, object]:
    """What the decoder needs, and no message that no kind uses."""
    known: dict[str, dict[str, list[str]]] = {}
    for package, folder in packages(cache).items():
        known |= messages(package, folder)
    kinds = {f"{version}/{kind}": f"{pkg}.{kind}" for pkg, (version, each) in KINDS.items() for kind in each.split()}
    kinds["v1/DeleteOptions"] = "meta.DeleteOptions"
    used, waiting = {}, sorted(kinds.values())
    while waiting:
        name = waiting.pop()
        if name in used:
            continue
        used[name] = known[name]
        inner = (kind.lstrip("*%") for _, kind in known[name].values())
        waiting += [each for each in inner if "." in each]
    return {"kinds": kinds, "messages": dict(sorted(used.items()))}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--go", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.write_text(json.dumps(table(arguments.go), separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
