"""Whether a cluster can join, and under which name: looked at before anything is written, anywhere.

KEP-2149, "Implementing the CRD"; catalogue about.md, section 4 (ABOUT-12, -23, -29, -32, -34, -35).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from isthmus.about.rules.identity import join_problem, registered_id_problem, value_problem
from isthmus.agent.needs import served_properties
from isthmus.api.about import CLUSTER_ID, CLUSTER_PROPERTIES, CLUSTER_SET
from isthmus.api.core import NAMESPACES
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL, Member, MemberSpec
from isthmus.api.meta import ObjectMeta
from isthmus.api.names import is_dns_subdomain
from isthmus.errors import Invalid
from isthmus.install.held import Held
from isthmus.install.rights import Right
from isthmus.inventory.rules.joining import JoinToken
from isthmus.kube.client import Client

NEW_TOKEN: Final = "Ask for a new one: isthmus token create"  # noqa: S105  # a command
# By so much two clocks may differ before one is believed against the other.
CLOCKS_DIFFER: Final = timedelta(minutes=5)
_RESERVED: Final = ("k8s.io", "kubernetes.io")
# What joining does beside applying manifests.
RIGHTS: Final[tuple[Right, ...]] = (
    ("get", "", "namespaces", ""),
    *(
        (verb, CLUSTER_PROPERTIES.group, CLUSTER_PROPERTIES.plural, "")
        for verb in ("list", "create", "patch", "delete")
    ),
)


@dataclass(frozen=True)
class Identity:
    """Who a cluster is: the UID of its kube-system, the version it runs, and what it says of itself.

    Properties in `ours` were made by a former joining.
    """

    uid: str
    version: str
    properties: Mapping[str, str]
    ours: frozenset[str] = frozenset()


async def identity(member: Client) -> Identity:
    """Asked of the cluster."""
    async with asyncio.TaskGroup() as tasks:
        namespace = tasks.create_task(member.get(NAMESPACES, "kube-system"), name="kube-system")
        version = tasks.create_task(member.version(), name="version")
        kind = await served_properties(member)
    found = (await member.list(kind)).items if kind else ()
    values = {item.metadata.name: item.spec.value for item in found if item.spec is not None}
    ours = frozenset(item.metadata.name for item in found if item.metadata.labels.get(MARKER_LABEL) == MANAGED_BY)
    return Identity(namespace.result().metadata.uid, version.result(), values, ours)


def as_left(seen: Identity) -> Identity:
    """Who a cluster will be once it has left its set: in none, and under an id only if somebody else gave it that."""
    going = {CLUSTER_ID, CLUSTER_SET} & seen.ours
    stays = {name: value for name, value in seen.properties.items() if name not in going}
    return replace(seen, properties=stays, ours=seen.ours - going)


def token_problem(token: JoinToken, now: datetime) -> str:
    """Why this token need not be tried, or nothing: the hub's clock, not ours, decides about minutes."""
    if now - token.expires > CLOCKS_DIFFER:
        return f"the token ended at {token.expires:%Y-%m-%d %H:%M UTC}, which is over. {NEW_TOKEN}"
    return ""


def name_for(token: JoinToken, wanted: str, own: str, context: str) -> str:
    """The name to join under: as typed, else as in the token, else the cluster's id, else its context's name.

    Raises Invalid where that cannot be, or the token is for another.
    """
    name = wanted or token.cluster or own or context
    if problem := registered_id_problem(name):
        raise Invalid(f"{problem}: name it with --name")
    if token.cluster and name != token.cluster:
        raise Invalid(
            f"the token is for cluster {token.cluster}, not for {name}: leave out --name, or ask for one: "
            f"isthmus token create --cluster {name}"
        )
    return name


def clash(name: str, token: JoinToken, seen: Identity, held: Held | None, wanted: Mapping[str, str]) -> str:
    """Why a cluster cannot join under that name, or nothing: what it is already is never changed silently.

    Nor what it says of itself by properties that somebody else made, where other values are `wanted`.
    """
    for property_, value in wanted.items():
        if property_ not in seen.ours and seen.properties.get(property_, value) != value:
            return (
                f"this cluster says {property_}={seen.properties[property_]} by a ClusterProperty that joining did not "
                "make: change that one (kubectl edit clusterproperty), or leave out --property"
            )
    if held and (held.cluster, held.set) != (name, token.set):
        return (
            f"this cluster has joined set {held.set} as {held.cluster}: join as that, which repairs, "
            "or leave first: isthmus leave; to leave and join by one command: isthmus join TOKEN --move"
        )
    record = Member(metadata=ObjectMeta(name=name, namespace=token.set), spec=MemberSpec(id=name, set=token.set))
    return join_problem(record, (), uid=seen.uid, properties=seen.properties)


def read_properties(words: tuple[str, ...]) -> dict[str, str]:
    """Out of NAME=VALUE. Raises Invalid for what a cluster's admin cannot say (ABOUT-4, ABOUT-34, ABOUT-35)."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Invalid(f"--property {word}: write NAME=VALUE")
        if not is_dns_subdomain(name):
            raise Invalid(f"--property {name}: not the name of an object: lower-case letters, digits, dashes and dots")
        if name == CLUSTER_ID or any(name == suffix or name.endswith(f".{suffix}") for suffix in _RESERVED):
            raise Invalid(f"--property {name}: names ending in {' or '.join(_RESERVED)} are Kubernetes' own")
        if problem := value_problem(name, value):
            raise Invalid(f"--property {name}: {problem}")
        found[name] = value
    return found
