"""Rules of roles: what one allows, which rights some rules cover, and how messages spell them.

Kubernetes, "Using RBAC Authorization".
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from isthmus.api.scheme import Manifest
from isthmus.apiserver.causes import shown

ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One PolicyRule."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def read(cls, rule: Manifest) -> "Rule":
        """The rule in a role."""
        parts = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(tuple(rule.get(part) or ()) for part in parts))

    def allows(self, verbs: frozenset[str], groups: frozenset[str], resources: frozenset[str], name: str) -> bool:
        """Whether it has one word of each set, which hold all that mean what is asked, and the name if it has any."""
        return (
            not verbs.isdisjoint(self.verbs)
            and not groups.isdisjoint(self.groups)
            and not resources.isdisjoint(self.resources)
            and (not self.names or name in self.names)
        )

    def allows_path(self, verb: str, path: str) -> bool:
        """Whether it lets `verb` be done to a path that leads to no resource."""
        return (ALL in self.verbs or verb in self.verbs) and any(_url_covers(url, path) for url in self.urls)

    def covers(self, part: "Rule") -> bool:
        """Whether it grants all that `part`, one of the `parts` of a rule, grants."""
        return (
            (ALL in self.verbs or set(part.verbs) <= set(self.verbs))
            and (ALL in self.groups or set(part.groups) <= set(self.groups))
            and all(
                ALL in self.resources or each in self.resources or _any_subresource(each) in self.resources
                for each in part.resources
            )
            and (not self.names or (bool(part.names) and set(part.names) <= set(self.names)))
            and all(any(_url_covers(own, url) for own in self.urls) for url in part.urls)
        )

    def parts(self) -> Iterator["Rule"]:
        """The same rights as rules of one verb, one resource and one name each."""
        named: list[tuple[str, ...]] = [(name,) for name in self.names] or [()]
        for group, resource, verb, names in product(self.groups, self.resources, self.verbs, named):
            yield Rule((verb,), (group,), (resource,), names)
        for url, verb in product(self.urls, self.verbs):
            yield Rule((verb,), urls=(url,))

    def __str__(self) -> str:
        told = {
            "APIGroups": self.groups,
            "Resources": self.resources,
            "NonResourceURLs": self.urls,
            "ResourceNames": self.names,
            "Verbs": self.verbs,
        }
        return "{" + ", ".join(f"{name}:{quoted(values)}" for name, values in told.items() if values) + "}"


def quoted(texts: Iterable[str]) -> str:
    """Texts as Go's %q prints a list of them."""
    return f"[{' '.join(map(shown, texts))}]"


def words_for(resource: str) -> frozenset[str]:
    """The words in a rule that mean `pods`, or `pods/log`."""
    return frozenset((ALL, resource, _any_subresource(resource)))


def _any_subresource(resource: str) -> str:
    """`*/scale` for `deployments/scale`; what no rule holds for a resource itself."""
    _, slash, subresource = resource.partition("/")
    return f"*/{subresource}" if slash else "\0"


def _url_covers(rule: str, url: str) -> bool:
    return rule == url or (rule.endswith(ALL) and url.startswith(rule.rstrip(ALL)))


# May do everything there is: asked of whoever lets a role gather others.
EVERYTHING = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), urls=(ALL,)))


def missing(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The rights in `wanted` that `held` does not cover, few rules where they differ by verb only."""
    lacking = [part for rule in wanted for part in rule.parts() if not any(own.covers(part) for own in held)]
    verbs: dict[Rule, list[str]] = {}
    for part in lacking:
        verbs.setdefault(Rule((), part.groups, part.resources, part.names, part.urls), []).extend(part.verbs)
    found: list[Rule] = []
    for rule, each in verbs.items():
        if rule.urls:
            found += [Rule((verb,), urls=rule.urls) for verb in each]
        else:
            found.append(Rule(tuple(each), rule.groups, rule.resources, rule.names))
    return found
