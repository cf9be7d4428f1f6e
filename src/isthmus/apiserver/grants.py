"""Which rules stand for whom: roles and bindings in an index that changes as they do, never per request."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from isthmus.api.scheme import Manifest
from isthmus.apiserver.authentication import SERVICE_ACCOUNT_PREFIX, User
from isthmus.apiserver.builtin.rbac import ACCOUNT, GROUP
from isthmus.apiserver.causes import shown
from isthmus.apiserver.rbac import Rule
from isthmus.apiserver.storage import DELETED, Change, Key, Storage

CLUSTER_ROLES, ROLES = f"clusterroles.{GROUP}", f"roles.{GROUP}"
CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS = f"clusterrolebindings.{GROUP}", f"rolebindings.{GROUP}"
MOST_KNOWN = 4096

# "User" or "Group", and the name; a service account is the user that its tokens name.
Subject: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Grant:
    """One subject of one binding; `role` is a Role by namespace and name, or a ClusterRole of no namespace."""

    binding: str
    subject: str
    role_kind: str
    role: Key

    def __str__(self) -> str:
        return f'{self.binding} of {self.role_kind} "{self.role[1]}" to {self.subject}'


class Grants:
    """All grants of one cluster. It listens to the collections of roles and bindings."""

    def __init__(self, storage: Storage) -> None:
        self._rules: dict[Key, tuple[Rule, ...]] = {}
        self._grants: dict[str, dict[Subject, dict[str, Grant]]] = {}
        self._known: dict[tuple[str, tuple[str, ...], str], tuple[Grant, ...]] = {}
        for name in (CLUSTER_ROLES, ROLES):
            storage.collection(name).listeners.append(self._role_seen)
        for name in (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
            storage.collection(name).listeners.append(self._binding_seen)

    def rules(self, role: Key) -> tuple[Rule, ...] | None:
        """The rules of a role; None if there is no such role."""
        return self._rules.get(role)

    def of(self, user: User, namespace: str) -> tuple[Grant, ...]:
        """What a user has been granted in the whole cluster and in one namespace."""
        key = (user.name, user.groups, namespace)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = self._known[key] = tuple(self._find(user, namespace))
        return found

    def _find(self, user: User, namespace: str) -> Iterator[Grant]:
        subjects = (("User", user.name), *(("Group", group) for group in user.groups))
        for scope in dict.fromkeys(("", namespace)):
            there = self._grants.get(scope, {})
            for subject in subjects:
                yield from there.get(subject, {}).values()

    def rules_of(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """All rules that a user has in a namespace, and the names of roles that are bound but not there."""
        found: list[Rule] = []
        lost: list[str] = []
        for grant in self.of(user, namespace):
            rules = self.rules(grant.role)
            if rules is None:
                lost.append(no_role(grant.role_kind, grant.role[1]))
            else:
                found += rules
        return found, lost

    def _role_seen(self, change: Change) -> None:
        key = change.record.key
        if change.type == DELETED:
            self._rules.pop(key, None)
        else:
            self._rules[key] = tuple(map(Rule.read, change.record.manifest().get("rules") or ()))

    def _binding_seen(self, change: Change) -> None:
        namespace, name = change.record.key
        self._known.clear()
        there = self._grants.setdefault(namespace, {})
        if change.before is not None:
            for subject, _ in _grants_in(change.before.manifest()):
                there.get(subject, {}).pop(name, None)
                if not there.get(subject):
                    there.pop(subject, None)
        if change.type != DELETED:
            for subject, grant in _grants_in(change.record.manifest()):
                there.setdefault(subject, {}).setdefault(name, grant)
        if not there:
            del self._grants[namespace]


def no_role(kind: str, name: str) -> str:
    """What is said of a role that is bound and not there."""
    return f'{kind.lower()}.{GROUP} "{name}" not found'


def _grants_in(binding: Manifest) -> Iterator[tuple[Subject, Grant]]:
    """The first grant for each subject of a binding."""
    metadata, role = binding["metadata"], binding.get("roleRef") or {}
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    about = f"{binding['kind']} {shown(f'{name}/{namespace}' if namespace else name)}"
    kind = str(role.get("kind", ""))
    role_key = (namespace if kind == "Role" else "", str(role.get("name", "")))
    for subject in binding.get("subjects") or ():
        who, called = subject["kind"], subject["name"]
        key = (who, called)
        if who == ACCOUNT:
            home = subject.get("namespace") or namespace
            called, key = f"{called}/{home}", ("User", f"{SERVICE_ACCOUNT_PREFIX}{home}:{called}")
        yield key, Grant(about, f"{who} {shown(called)}", kind, role_key)
