"""Who a cluster is, and which set it belongs to: what may be said, and what a member mirrors of its record.

KEP-2149; catalogue about.md, section 4.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from isthmus.api.about import (
    CLUSTER_ID,
    CLUSTER_PROPERTIES,
    CLUSTER_SET,
    ClusterProperty,
    ClusterPropertySpec,
)
from isthmus.api.isthmus import JOIN_PREFIX, MANAGED_BY, MARKER_LABEL, WORKS_SUFFIX, Member
from isthmus.api.meta import ObjectMeta
from isthmus.api.names import is_dns_label
from isthmus.errors import Invalid

MAX_ID = 63
# Names are built on an id of our registry, so it is shorter.
MAX_REGISTERED_ID = 50
# Unicode code points, not bytes (ABOUT-4).
MAX_VALUE = 128_000
RESERVED_IDS = ("system", "members", "hub")


def id_problem(id_: str) -> str:
    """Why a cluster of that id cannot take part in multicluster services, or nothing (ABOUT-12, ABOUT-16)."""
    labels = id_.split(".")
    if not all(is_dns_label(label) for label in labels):
        return f"cluster id {id_!r} is not made of DNS labels: use lower-case letters, digits and dashes"
    if len(labels) > 2:
        return f"cluster id {id_!r} has {len(labels)} labels: use one, or a name and one context"
    if len(id_) > MAX_ID:
        return f"cluster id {id_!r} has {len(id_)} characters: a label value holds {MAX_ID}"
    return ""


def registered_id_problem(id_: str) -> str:
    """Why a cluster cannot be registered under that id here, or nothing (design, part 2)."""
    if not is_dns_label(id_) or len(id_) > MAX_REGISTERED_ID:
        return f"cluster id {id_!r} is not one DNS label of at most {MAX_REGISTERED_ID} characters"
    if id_ in RESERVED_IDS or id_.startswith(JOIN_PREFIX) or id_.endswith(WORKS_SUFFIX):
        return f"cluster id {id_!r} is kept for Isthmus itself: choose another"
    return ""


def set_problem(name: str) -> str:
    """Why a cluster set cannot have that name, or nothing: it is a label value and a namespace (ABOUT-28)."""
    if not is_dns_label(name):
        return f"cluster set {name!r} is not one DNS label of at most 63 characters"
    return ""


def join_problem(member: Member, others: Iterable[Member], *, uid: str, properties: Mapping[str, str]) -> str:
    """Why a cluster may not be that member, or nothing (ABOUT-9, -23, -29, -30, -32).

    `others` are the members of its set, with or without this one; `uid` is the UID of the cluster's `kube-system`,
    by which one that joins again is known; `properties` are its ClusterProperties.
    """
    spec = member.spec
    if spec is None or spec.id != member.metadata.name:
        return f"Member {member.metadata.name} does not say who it is: its spec.id must be its name"
    if problem := id_problem(spec.id) or set_problem(spec.set):
        return problem
    if member.metadata.namespace not in {"", spec.set}:
        return f"Member {member.metadata.name} says set {spec.set}, and stands in the namespace of another"
    if spec.uid and spec.uid != uid:
        return f"cluster id {spec.id} belongs to another cluster of the set ({spec.uid}): join under another id"
    for other in others:
        if other.spec and other.metadata.name != member.metadata.name and other.spec.uid == uid:
            return f"this cluster is member {other.spec.id} already: join under that id, or leave first"
    own = properties.get(CLUSTER_ID, "")
    if own and own != spec.id:
        return (
            f"this cluster's id is {own} (ClusterProperty {CLUSTER_ID}), which is never rewritten: "
            f"join as {own}, or delete the property if nothing relies on it"
        )
    current = properties.get(CLUSTER_SET, "")
    if current and current != spec.set:
        return (
            f"this cluster is in cluster set {current}: it can be in {spec.set} once it has left that. Remove its "
            f"Member there; if that hub is gone for good, delete ClusterProperty {CLUSTER_SET}"
        )
    return ""


def value_problem(name: str, value: str) -> str:
    """Why we write no property of that value, or nothing; what is read may have any (ABOUT-4, ABOUT-5)."""
    if not value:
        return f"ClusterProperty {name} needs a value"
    if len(value) > MAX_VALUE:
        return f"the value of ClusterProperty {name} has {len(value)} characters: {MAX_VALUE} are allowed"
    return ""


def properties(member: Member) -> tuple[ClusterProperty, ...]:
    """What a member says of itself, the id before the set that relies on it (ABOUT-11, -21, -26, -29)."""
    if member.spec is None:
        return ()
    return _property(CLUSTER_ID, member.spec.id), _property(CLUSTER_SET, member.spec.set)


def _property(name: str, value: str) -> ClusterProperty:
    if problem := value_problem(name, value):
        raise Invalid(problem)
    return ClusterProperty(
        api_version=CLUSTER_PROPERTIES.api_version,
        kind=CLUSTER_PROPERTIES.kind,
        metadata=ObjectMeta(name=name, labels={MARKER_LABEL: MANAGED_BY}),
        spec=ClusterPropertySpec(value=value),
    )


@dataclass(frozen=True)
class Mirror:
    """The two properties as they should be, those to delete before that, and why a cluster is refused."""

    wanted: tuple[ClusterProperty, ...] = ()
    unwanted: tuple[str, ...] = ()
    problem: str = ""


def mirror(
    member: Member | None, seen: Mapping[str, str], *, uid: str, others: Iterable[Member] = (), was_member: bool = False
) -> Mirror:
    """What a cluster's properties should be, by the hub's record of it; none: it has left.

    Leaving takes the membership and spares the id (ABOUT-20, ABOUT-22). A refused cluster gets neither (ABOUT-29),
    and nothing of what it has is changed (ABOUT-32): one of another set has to leave that first (ABOUT-27).
    Who `was_member` before, or says the set of a record that has its UID, goes on as one: then what differs was
    changed by somebody else, and is put back (ABOUT-11, ABOUT-21).
    """
    if member is None:
        return Mirror(unwanted=(CLUSTER_SET,) if CLUSTER_SET in seen else ())
    spec = member.spec
    goes_on = was_member or bool(spec and spec.uid and spec.uid == uid and seen.get(CLUSTER_SET) == spec.set)
    if problem := join_problem(member, others, uid=uid, properties={} if goes_on else seen):
        return Mirror(problem=problem)
    return Mirror(wanted=properties(member))
