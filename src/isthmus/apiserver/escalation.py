"""Nobody grants what they do not have: what is asked of those who write roles and bindings.

Kubernetes, "Using RBAC Authorization", "Privilege escalation prevention and bootstrapping".
"""

from collections.abc import Sequence

from isthmus.api.scheme import Manifest
from isthmus.apiserver.authentication import MASTERS, User
from isthmus.apiserver.authorization import Attributes, Authorizer, joined
from isthmus.apiserver.builtin.rbac import GROUP
from isthmus.apiserver.causes import shown
from isthmus.apiserver.grants import Grants
from isthmus.apiserver.kinds import Kind
from isthmus.apiserver.rbac import EVERYTHING, Rule, missing, quoted
from isthmus.apiserver.status import forbidden, not_found
from isthmus.errors import ServerFault

# Fields that the garbage collector changes of objects it could not have written.
COLLECTORS = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")


class Escalation:
    """Stands before every write of a role or binding."""

    def __init__(self, grants: Grants, authorizer: Authorizer) -> None:
        self._grants = grants
        self._authorizer = authorizer

    def check(self, kind: Kind, user: User, obj: Manifest, old: Manifest | None) -> None:
        """Raise Refused (403) if the write would grant what its author does not have."""
        if kind.group != GROUP or MASTERS in user.groups:
            return
        if old is not None and _content(obj) == _content(old):
            return
        if kind.kind.endswith("Binding"):
            self._check_binding(kind, user, obj)
        else:
            self._check_role(kind, user, obj, old)

    def _check_role(self, kind: Kind, user: User, role: Manifest, old: Manifest | None) -> None:
        metadata = role["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        # A create names nothing in its path.
        target = name if old is not None else ""
        asked = Attributes(user, "escalate", GROUP, "*", kind.plural, namespace=namespace, name=target)
        if self._authorizer.authorize(asked).allowed:
            return
        rules = [Rule.read(rule) for rule in role.get("rules") or ()]
        if told := self._lacking(user, namespace, rules):
            raise forbidden(kind, name, told)
        if (_gathers(role) or _gathers(old or {})) and self._lacking(user, namespace, EVERYTHING):
            raise forbidden(kind, name, "must have cluster-admin privileges to use the aggregationRule")

    def _check_binding(self, kind: Kind, user: User, binding: Manifest) -> None:
        metadata, role = binding["metadata"], binding.get("roleRef") or {}
        namespace, wanted, name = metadata.get("namespace", ""), str(role.get("kind", "")), str(role.get("name", ""))
        plural = {"Role": "roles", "ClusterRole": "clusterroles"}.get(wanted, "")
        group = role.get("apiGroup") or GROUP
        asked = Attributes(user, "bind", group, "*", plural, namespace=namespace, name=name)
        if plural and self._authorizer.authorize(asked).allowed:
            return
        if not plural:
            raise ServerFault(code=500, reason="", message=f"unsupported role reference kind: {shown(wanted)}")
        rules = self._grants.rules((namespace if wanted == "Role" else "", name))
        if rules is None:
            # Kubernetes names the kind that was sent, and what it could not find.
            raise not_found(kind, name)
        if told := self._lacking(user, namespace, rules):
            raise forbidden(kind, metadata.get("name", ""), told)

    def _lacking(self, user: User, namespace: str, rules: Sequence[Rule]) -> str:
        """What is said of rights that the user does not have; empty if there are none."""
        held, lost = self._grants.rules_of(user, namespace)
        lacking = missing(held, rules)
        if not lacking:
            return ""
        who = f"user {shown(user.name)} (groups={quoted(user.groups)})"
        listed = "\n".join(sorted(set(map(str, lacking))))
        told = f"{who} is attempting to grant RBAC permissions not currently held:\n{listed}"
        return f"{told}; resolution errors: {joined(lost)}" if lost else told


def _gathers(role: Manifest) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _content(obj: Manifest) -> Manifest:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in COLLECTORS}
    return {**obj, "metadata": metadata}
