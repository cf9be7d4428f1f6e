"""Cluster roles that gather the rules of others: kept as their selectors say, soon after a change.

Kubernetes, "Aggregated ClusterRoles".
"""

from collections.abc import Iterable, Sequence

import msgspec

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin.rbac import GROUP
from isthmus.apiserver.cluster import Cluster
from isthmus.apiserver.housekeeping import Housekeeper
from isthmus.apiserver.selectors import Matches, of_label_selector
from isthmus.apiserver.storage import DELETED, Change
from isthmus.apiserver.writing import APPLY_PATCH, Write, Writing

_encode = msgspec.json.encode
# Kubernetes' own gather one another: admin what edit has, edit what view has. From the end of the alphabet on,
# each finds what it gathers.
DEPTH = 3
MANAGER = "clusterrole-aggregation-controller"


class Aggregation:
    """Fills in the rules of every cluster role that has an aggregation rule."""

    def __init__(self, cluster: Cluster, writing: Writing, housekeeper: Housekeeper) -> None:
        self._writing = writing
        self._housekeeper = housekeeper
        self._kind = cluster.kinds.at(GROUP, "v1", "clusterroles")
        self._roles = cluster.collection(self._kind)
        self._gathering: dict[str, list[Matches]] = {}
        self._roles.listeners.append(self._seen)

    def start(self) -> None:
        """Bring all to where they should be, so that the first request finds them so."""
        for _ in range(DEPTH):
            self.gather()

    def _seen(self, change: Change) -> None:
        name, role = change.record.key[1], change.record.manifest()
        selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
        if selectors and change.type != DELETED:
            self._gathering[name] = list(map(of_label_selector, selectors))
        else:
            self._gathering.pop(name, None)
        self._housekeeper.soon(self.gather)

    def gather(self) -> None:
        """Bring each one step nearer to what it should be; one that changes is seen, and asks for the next step."""
        for name in sorted(self._gathering, reverse=True):
            record = self._roles.get(("", name))
            role = record.manifest() if record else {}
            wanted = self._rules(name, self._gathering[name])
            # As sets: two that gather each other would otherwise put their rules in order for ever.
            if role and _spelled(wanted) != _spelled(role.get("rules") or ()):
                self._write(name, wanted)

    def _rules(self, name: str, selectors: Sequence[Matches]) -> list[Manifest]:
        """All different rules of the others, by selector and name."""
        found: dict[bytes, Manifest] = {}
        for matches in selectors:
            for record in self._roles.within():
                if record.key[1] != name and matches(record.labels):
                    found.update((_spelling(rule), rule) for rule in record.manifest().get("rules") or ())
        return list(found.values())

    def _write(self, name: str, rules: list[Manifest]) -> None:
        about = {"apiVersion": self._kind.api_version, "kind": self._kind.kind, "metadata": {"name": name}}
        write = Write(self._kind, "", name, manager=MANAGER, force=True)
        # Where nothing is gathered, only what was gathered before goes.
        self._writing.patch(write, APPLY_PATCH, _encode({**about, "rules": rules} if rules else about))


def _spelled(rules: Iterable[Manifest]) -> set[bytes]:
    return set(map(_spelling, rules))


def _spelling(rule: Manifest) -> bytes:
    return _encode(rule, order="sorted")
