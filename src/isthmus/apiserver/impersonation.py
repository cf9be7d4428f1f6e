"""Acting as somebody else (`kubectl --as`): who may, and who is then acting.

Kubernetes, "User impersonation": the verb `impersonate`, and KEP-5284, where what is then done has to be allowed too.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from isthmus.apiserver.authentication import (
    ANONYMOUS,
    AUTHENTICATED,
    MASTERS,
    SERVICE_ACCOUNT_PREFIX,
    SERVICE_ACCOUNTS,
    UNAUTHENTICATED,
    User,
)
from isthmus.apiserver.authorization import Attributes, Authorizer
from isthmus.apiserver.builtin.names import label_faults, subdomain_faults
from isthmus.apiserver.causes import shown
from isthmus.apiserver.rbac import ALL
from isthmus.apiserver.status import bad_request
from isthmus.errors import Refused

PREFIX, EXTRA = "impersonate-", "impersonate-extra-"
NODE_PREFIX, NODES = "system:node:", "system:nodes"
NODE_NAME = "authentication.kubernetes.io/node-name"
GROUP, VERSION = "authentication.k8s.io", "v1"
# From so many on, the right to all is looked for first.
MANY = 4
MOST_KNOWN = 10_000


@dataclass(slots=True)
class Wanted:
    """Who the headers name."""

    name: str = ""
    uid: str = ""
    groups: list[str] = field(default_factory=list)
    extra: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_name_only(self) -> bool:
        """Whether the server alone says what this user is like."""
        return not (self.uid or self.groups or self.extra)

    @property
    def node(self) -> str:
        """The node whose user it is, if it is one's."""
        name = self.name.removeprefix(NODE_PREFIX)
        return name if name != self.name and not subdomain_faults(name) else ""

    @property
    def account(self) -> tuple[str, str] | None:
        """The service account's namespace and name, if it is one's."""
        return account_of(self.name)

    def __str__(self) -> str:
        groups = f"[]string{{{', '.join(map(shown, self.groups))}}}" if self.groups else "[]string(nil)"
        pairs = (f"{shown(key)}:[]string{{{', '.join(map(shown, each))}}}" for key, each in sorted(self.extra.items()))
        extra = f"map[string][]string{{{', '.join(pairs)}}}" if self.extra else "map[string][]string(nil)"
        return f'&user.DefaultInfo{{Name:"", UID:{shown(self.uid)}, Groups:{groups}, Extra:{extra}}}'


def account_of(user: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that a user name means."""
    namespace, colon, name = user.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    fits = user.startswith(SERVICE_ACCOUNT_PREFIX) and colon and not label_faults(namespace)
    return (namespace, name) if fits and not subdomain_faults(name) else None


class Impersonation:
    """Lets callers act as others. The way that got a caller there last is tried first."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._last: dict[str, str] = {}

    def acting(self, asked: Attributes, headers: Iterable[tuple[str, str]]) -> Attributes:
        """The same question, asked by whom the headers name. Raises Refused: 403, or 400 where they name nobody."""
        wanted = _wanted(headers)
        if wanted is None:
            return asked
        refusals: list[Refused] = []
        last = self._last.get(asked.user.name)
        for mode in sorted(MODES, key=lambda mode: mode != last):
            if not MODES[mode](wanted, asked.user):
                continue
            try:
                user = _Attempt(self._authorizer, asked, wanted, mode).user()
            except Refused as refusal:
                refusals.append(refusal)
                continue
            if len(self._last) >= MOST_KNOWN:
                self._last.clear()
            self._last[asked.user.name] = mode
            return replace(asked, user=user)
        raise refusals[0]


def _wanted(headers: Iterable[tuple[str, str]]) -> Wanted | None:
    wanted = Wanted()
    for header, value in headers:
        name = header.lower()
        if not name.startswith(PREFIX):
            continue
        if name == "impersonate-user":
            wanted.name = wanted.name or value
        elif name == "impersonate-uid":
            wanted.uid = wanted.uid or value
        elif name == "impersonate-group":
            wanted.groups.append(value)
        elif name.startswith(EXTRA):
            wanted.extra.setdefault(unquote(name.removeprefix(EXTRA)), []).append(value)
    if wanted.name:
        return wanted
    if wanted.is_name_only:
        return None
    raise bad_request(f"requested {wanted} without impersonating a user name")


def _is_own_node(wanted: Wanted, requestor: User) -> bool:
    runs_on = list(requestor.extra.get(NODE_NAME, ()))
    return wanted.is_name_only and account_of(requestor.name) is not None and runs_on == [wanted.node] != [""]


# From the narrowest on; the last is the old one, which asks nothing of the request.
MODES: Mapping[str, Callable[[Wanted, User], bool]] = {
    "associated-node": _is_own_node,
    "arbitrary-node": lambda wanted, _: wanted.is_name_only and bool(wanted.node),
    "serviceaccount": lambda wanted, _: wanted.is_name_only and wanted.account is not None,
    "user-info": lambda wanted, _: not wanted.node and wanted.account is None,
    "": lambda *_: True,
}


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One way to get at the wanted user; the old one has no mode."""

    authorizer: Authorizer
    asked: Attributes
    wanted: Wanted
    mode: str

    def user(self) -> User:
        """The user to act as. Raises Refused (403)."""
        if self.mode:
            self.authorizer.check(replace(self.asked, verb=f"impersonate-on:{self.mode}:{self.asked.verb}"))
        self._check_name()
        if self.wanted.uid:
            self.authorizer.check(self._about("uids", self.wanted.uid, group=GROUP))
        self._check_groups()
        self._check_extra()
        groups = list(self.wanted.groups)
        if self.wanted.account and not groups:
            groups = [SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{self.wanted.account[0]}"]
        elif self.wanted.node and self.mode:
            groups = [NODES]
        if self.wanted.name == ANONYMOUS:
            groups.append(UNAUTHENTICATED)
        elif UNAUTHENTICATED not in groups:
            groups.append(AUTHENTICATED)
        return User(self.wanted.name, tuple(dict.fromkeys(groups)), self.wanted.uid, self.wanted.extra)

    def _about(self, resource: str, name: str, **more: str) -> Attributes:
        verb = f"impersonate:{self.mode}" if self.mode else "impersonate"
        facts = {"group": GROUP if self.mode else "", "version": VERSION} | more
        return Attributes(self.asked.user, verb, resource=resource, name=name, **facts)

    def _check_name(self) -> None:
        wanted = self.wanted
        about = self._about("users", wanted.name)
        if wanted.node and self.mode:
            about = self._about("nodes", ALL if self.mode == "associated-node" else wanted.node)
        elif wanted.account:
            about = self._about("serviceaccounts", wanted.account[1], namespace=wanted.account[0])
        self.authorizer.check(about)

    def _check_groups(self) -> None:
        groups = self.wanted.groups
        if self.mode and "" in groups:
            raise self._about("groups", "").refusal("impersonating the empty string group is not allowed")
        if self.mode and MASTERS in groups:
            raise self._about("groups", MASTERS).refusal("impersonating the system:masters group is not allowed")
        if self.mode and len(groups) >= MANY and self.authorizer.authorize(self._about("groups", ALL)).allowed:
            return
        for group in groups:
            self.authorizer.check(self._about("groups", group))

    def _check_extra(self) -> None:
        pairs = [(key, value) for key, values in self.wanted.extra.items() for value in values]
        if self.mode and any(not key or not value for key, value in pairs):
            refused = self._about("userextras", "", group=GROUP)
            raise refused.refusal("impersonating empty values in extra is not allowed")
        every = self._about("userextras", ALL, group=GROUP, subresource=ALL)
        if self.mode and len(pairs) >= MANY and self.authorizer.authorize(every).allowed:
            return
        for key, value in pairs:
            self.authorizer.check(self._about("userextras", value, group=GROUP, subresource=key))
