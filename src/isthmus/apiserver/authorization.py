"""Who may do what: RBAC over the roles and bindings that are stored, decided per request.

What a request asks is read off its path alone, before anybody looks whether such a thing is served.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from isthmus.apiserver.authentication import MASTERS, User
from isthmus.apiserver.builtin.names import path_segment_faults
from isthmus.apiserver.grants import Grants, no_role
from isthmus.apiserver.rbac import ALL, Rule, words_for
from isthmus.errors import Refused

VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# Old paths that have the verb in front: /api/v1/watch/pods.
VERB_PREFIXES = frozenset({"proxy", "watch"})
NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
# What a browser could take for HTML.
HARMLESS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do: with a resource, or, where `path` is given, with a path that leads to none."""

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str | None = None

    @property
    def qualified(self) -> str:
        """`pods`, `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def refusal(self, reason: str = "") -> Refused:
        """403: these words, and why if there is more to say."""
        scope = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        about = f'{self.verb} resource "{self.qualified}" in API group "{self.group}" {scope}'
        if self.path is not None:
            about = f'{self.verb} path "{self.path}"'
        told = f'User "{self.user.name}" cannot {about}'.translate(HARMLESS) + (f": {reason}" if reason else "")
        if not self.resource:
            return Refused(code=403, reason="Forbidden", message=f"forbidden: {told}", details={})
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        about = f'{resource} "{self.name}"' if self.name else resource
        details = {"name": self.name, "group": self.group, "kind": self.resource}
        return Refused(
            code=403,
            reason="Forbidden",
            message=f"{about} is forbidden: {told}",
            details={key: value for key, value in details.items() if value},
        )


def attributes_of(user: User, method: str, path: str, query: Mapping[str, str]) -> Attributes:
    """What an HTTP request asks for."""
    parts = path.strip("/").split("/")
    rest = parts[1:] if parts[0] == "api" else parts[2:] if parts[0] == "apis" else []
    if len(rest) < 2:
        return Attributes(user, method.lower(), path=path)
    group = parts[1] if parts[0] == "apis" else ""
    version, rest, verb, prefixed = rest[0], rest[1:], VERBS.get(method, ""), False
    if rest[0] in VERB_PREFIXES and len(rest) > 1:
        verb, rest, prefixed = rest[0], rest[1:], True
    namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 1 else ""
    if namespace and len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
        rest = rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    asked = Attributes(user, verb, group, version, resource, subresource, namespace, name)
    return asked if name or prefixed else _about_many(asked, query)


def _about_many(asked: Attributes, query: Mapping[str, str]) -> Attributes:
    if asked.verb == "delete":
        return replace(asked, verb="deletecollection")
    if asked.verb != "get":
        return asked
    return replace(asked, verb="watch" if wants_watch(query) else "list", name=_only_name(query))


def wants_watch(query: Mapping[str, str]) -> bool:
    """Whether a request for a collection asks to watch it."""
    return "watch" in query and query["watch"].lower() not in {"0", "false"}


def _only_name(query: Mapping[str, str]) -> str:
    """The name that a field selector pins: who may list one object by name may list just that."""
    for term in query.get("fieldSelector", "").split(","):
        field, equals, value = term.partition("=")
        if equals and field == "metadata.name":
            name = value.removeprefix("=")
            return "" if path_segment_faults(name) else name
    return ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes or no; the reason names the binding that allows, or what stood in the way of finding out."""

    allowed: bool
    reason: str = ""


BY_BIRTH = Decision(allowed=True)


class Authorizer:
    """Decides by what is stored now."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def authorize(self, asked: Attributes) -> Decision:
        """Whether the user may."""
        if MASTERS in asked.user.groups:
            return BY_BIRTH
        if asked.path is not None:
            path, verb = asked.path, asked.verb
            return self._decide(asked, lambda rule: rule.allows_path(verb, path))
        verbs, groups = frozenset((ALL, asked.verb)), frozenset((ALL, asked.group))
        resources, name = words_for(asked.qualified), asked.name
        return self._decide(asked, lambda rule: rule.allows(verbs, groups, resources, name))

    def check(self, asked: Attributes) -> None:
        """Raise Refused (403) unless the user may."""
        decision = self.authorize(asked)
        if not decision.allowed:
            raise asked.refusal(decision.reason)

    def _decide(self, asked: Attributes, allows: Callable[[Rule], bool]) -> Decision:
        lost: list[str] = []
        for grant in self._grants.of(asked.user, asked.namespace):
            rules = self._grants.rules(grant.role)
            if rules is None:
                lost.append(no_role(grant.role_kind, grant.role[1]))
            elif any(map(allows, rules)):
                return Decision(allowed=True, reason=f"RBAC: allowed by {grant}")
        return Decision(allowed=False, reason=f"RBAC: {joined(lost)}" if lost else "")


def joined(errors: Sequence[str]) -> str:
    """Errors as Go shows several at once."""
    different = list(dict.fromkeys(errors))
    return different[0] if len(different) == 1 else f"[{', '.join(different)}]"
