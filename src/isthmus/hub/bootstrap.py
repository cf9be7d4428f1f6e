"""What must be there before a hub or an agent can work: definitions, namespaces, Members."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from isthmus.about.rules.identity import registered_id_problem, set_problem
from isthmus.api.about import CLUSTER_PROPERTIES
from isthmus.api.core import CRDS, NAMESPACES
from isthmus.api.crds import ABOUT_CRDS, HUB_CRDS, MCS_CRDS
from isthmus.api.inventory import CLUSTER_PROFILES, PLACEMENT_DECISIONS
from isthmus.api.isthmus import (
    CLUSTER_SET_LABELS,
    EXPORT_GRANTS,
    EXPORTED_ENDPOINTS,
    EXPORTED_SERVICES,
    HUB_MANAGER,
    JOIN_REQUESTS,
    MEMBERS,
    MEMBERS_NAMESPACE,
    SET_LABEL,
    SYSTEM_NAMESPACE,
)
from isthmus.api.mcs import SERVICE_EXPORTS, SERVICE_IMPORTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Conflict, Invalid, NotFound
from isthmus.install.manifests import apply
from isthmus.install.roles import member_access, member_roles
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, WriteOptions

log = logging.getLogger(__name__)

HUB_KINDS = cast(
    "tuple[Resource[object], ...]",
    (
        MEMBERS,
        EXPORTED_SERVICES,
        EXPORTED_ENDPOINTS,
        EXPORT_GRANTS,
        JOIN_REQUESTS,
        CLUSTER_PROFILES,
        PLACEMENT_DECISIONS,
    ),
)
MEMBER_KINDS = cast("tuple[Resource[object], ...]", (CLUSTER_PROPERTIES, SERVICE_EXPORTS, SERVICE_IMPORTS))
# Seconds that an API server may take to serve a kind once it is defined.
_SERVED_WITHIN = 30.0


@dataclass(frozen=True)
class NewMember:
    """A cluster to be taken into the set: its id, the UID of its kube-system, its pods' ranges if known."""

    id: str
    uid: str = ""
    pod_ranges: tuple[str, ...] = ()


async def bootstrap_hub(
    client: Client, cluster_set: str, members: Iterable[NewMember], *, clock: Clock = SYSTEM
) -> None:
    """Make the set's namespace, `isthmus-members`, each Member's `spec` and its rights; safe to repeat.

    A Member that is there keeps the moment of its joining and its health. Raises `Invalid` for names that
    cannot be, and for a namespace of the set's name that Isthmus did not make.
    """
    if problem := set_problem(cluster_set):
        raise Invalid(problem)
    await _define(client, HUB_CRDS, HUB_KINDS, clock)
    await _adopt_nothing(client, cluster_set)
    labels = {SET_LABEL: cluster_set} | dict.fromkeys(CLUSTER_SET_LABELS, cluster_set)
    await _namespace(client, cluster_set, labels)
    await _namespace(client, MEMBERS_NAMESPACE)
    await _namespace(client, SYSTEM_NAMESPACE)
    for member in members:
        await _register(client, cluster_set, member, clock)
        await apply(client, member_access(cluster_set, member.id))


async def bootstrap_member(client: Client, *, clock: Clock = SYSTEM) -> str:
    """Make the definitions, the namespace and the roles that an agent needs; safe to repeat. The UID of kube-system."""
    await _define(client, (*ABOUT_CRDS, *MCS_CRDS), MEMBER_KINDS, clock)
    await _namespace(client, SYSTEM_NAMESPACE)
    await apply(client, member_roles())
    return (await client.get(NAMESPACES, "kube-system")).metadata.uid


async def _define(client: Client, crds: Iterable[Manifest], kinds: Iterable[Resource[object]], clock: Clock) -> None:
    for crd in crds:
        try:
            await client.create(CRDS, crd, options=WriteOptions(manager=HUB_MANAGER))
        except Conflict:
            # There already, perhaps newer and somebody else's: never downgraded (design, part 3, rule 9).
            log.debug("definition is there", extra={"crd": crd["metadata"]["name"]})
    deadline = clock.monotonic() + _SERVED_WITHIN
    for kind in kinds:
        while not await client.serves(kind):
            if clock.monotonic() > deadline:
                raise Invalid(f"{client.server} does not serve {kind.plural}.{kind.group} {kind.version}")
            await clock.sleep(0.05)


async def _adopt_nothing(client: Client, cluster_set: str) -> None:
    try:
        seen = await client.get(NAMESPACES, cluster_set)
    except NotFound:
        return
    if seen.metadata.labels.get(SET_LABEL) != cluster_set:
        raise Invalid(
            f"namespace {cluster_set} on the hub is not ours (label {SET_LABEL} is missing): "
            "choose another name for the cluster set"
        )


async def _namespace(client: Client, name: str, labels: Mapping[str, str] | None = None) -> None:
    manifest: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    if labels:
        manifest["metadata"]["labels"] = dict(labels)
    await client.apply(NAMESPACES, manifest, options=WriteOptions(manager=HUB_MANAGER, force=True))


async def _register(client: Client, cluster_set: str, member: NewMember, clock: Clock) -> None:
    if problem := registered_id_problem(member.id):
        raise Invalid(problem)
    joined = clock.now().replace(microsecond=0)
    try:
        seen = await client.get(MEMBERS, member.id, namespace=cluster_set)
    except NotFound:
        seen = None
    known = seen.spec if seen is not None else None
    if known and known.uid and member.uid and known.uid != member.uid:
        raise Invalid(
            f"the id {member.id} belongs to another cluster of set {cluster_set} (kube-system UID {known.uid}): "
            "choose another name for this cluster, or remove that member first"
        )
    if known and known.joined_at is not None:
        joined = known.joined_at
    spec: Manifest = {"id": member.id, "set": cluster_set, "joinedAt": joined.strftime("%Y-%m-%dT%H:%M:%SZ")}
    if member.uid:
        spec["uid"] = member.uid
    if member.pod_ranges:
        spec["podRanges"] = list(member.pod_ranges)
    await client.apply(
        MEMBERS,
        {
            "apiVersion": MEMBERS.api_version,
            "kind": MEMBERS.kind,
            "metadata": {"name": member.id, "namespace": cluster_set},
            "spec": spec,
        },
        namespace=cluster_set,
        options=WriteOptions(manager=HUB_MANAGER, force=True),
    )
