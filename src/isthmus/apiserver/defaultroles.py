"""The roles and bindings that every cluster has from its start on.

`roles.json`, written by `tests/real/roles.py`, has those of a real API server: for people and for parts of a
cluster, but not for the controllers that run in kube-controller-manager.
"""

import functools
import json
from collections.abc import Mapping
from importlib.resources import files

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin.rbac import GROUP
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.rbac import Rule, missing
from isthmus.apiserver.writing import Write, Writing

MANAGER = "kube-apiserver"
AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
PLURALS = ("clusterroles", "clusterrolebindings")


@functools.cache
def _table() -> Mapping[str, bytes]:
    found: dict[str, list[Manifest]] = json.loads(files(__package__).joinpath("roles.json").read_bytes())
    return {plural: json.dumps(found[plural]).encode() for plural in PLURALS}


def start(cluster: Cluster, writing: Writing) -> None:
    """Make those that are missing, and give back what was taken from those that are not kept by hand."""
    for plural in PLURALS:
        kind = cluster.kinds.at(GROUP, "v1", plural)
        for wanted in json.loads(_table()[plural]):
            _keep(cluster, writing, kind, wanted)


def _keep(cluster: Cluster, writing: Writing, kind: Kind, wanted: Manifest) -> None:
    name = wanted["metadata"]["name"]
    write = Write(kind, "", name, manager=MANAGER)
    record = cluster.collection(kind).get(write.key)
    if record is None:
        writing.create(write, wanted)
        return
    seen = record.manifest()
    if (seen["metadata"].get("annotations") or {}).get(AUTO_UPDATE) == "false":
        return
    lost = _lost(seen, wanted)
    if lost:
        part = "rules" if "rules" in seen else "subjects"
        writing.update(write, seen | {part: [*(seen.get(part) or ()), *lost]})


def _lost(seen: Manifest, wanted: Manifest) -> list[Manifest]:
    if "roleRef" in wanted:
        return [subject for subject in wanted.get("subjects") or () if subject not in (seen.get("subjects") or ())]
    held = [Rule.read(rule) for rule in seen.get("rules") or ()]
    return [rule for rule in wanted.get("rules") or () if missing(held, [Rule.read(rule)])]
