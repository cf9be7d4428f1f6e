"""One member, one profile: what a cluster's ClusterProfile says, by what the hub and the cluster's agent know of it.

KEP-4322; catalogue clusterprofile.md, sections 1 and 2.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from isthmus.api.inventory import (
    CLUSTER_PROFILES,
    CONTROL_PLANE_HEALTHY,
    EXEC_EXTENSION,
    JOINED,
    KUBECONFIG_READER,
    MANAGER_LABEL,
    MAX_VALUE,
    READER,
    AccessCluster,
    AccessProvider,
    ClusterManager,
    ClusterProfile,
    ClusterProfileSpec,
    ClusterProfileStatus,
    ClusterVersion,
    Extension,
    Property,
)
from isthmus.api.isthmus import (
    CLUSTER_LABEL,
    CLUSTER_SET_LABELS,
    MANAGED_BY,
    MARKER_LABEL,
    MEMBERS,
    SILENT,
    Member,
    MemberSpec,
    MemberStatus,
)
from isthmus.api.meta import Condition, ObjectMeta, OwnerReference
from isthmus.inventory.rules.facts import UNFIT
from isthmus.kit.moments import in_utc
from isthmus.kit.names import hashed

# Facts of ours carry this suffix; a ClusterProperty of the same name is the cluster's own word, and wins (INV-18).
SUFFIX: Final = ".isthmus.dev"
# Names of cluster managers that begin so are ours.
MANAGER_PREFIX: Final = "isthmus-"
# The data keys of the Secrets that `isthmus credential grant` writes.
TOKEN_KEY: Final = "token"  # noqa: S105 - the name of a key
KUBECONFIG_KEY: Final = "kubeconfig"
_MAX_LABEL: Final = 63
_MAX_NAME: Final = 253
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")


def manager_of(cluster_set: str) -> str:
    """The unique name of a set's cluster manager: a label value (INV-2, INV-4)."""
    name = f"{MANAGER_PREFIX}{cluster_set}"
    return name if len(name) <= _MAX_LABEL else hashed("isthmus", cluster_set, limit=_MAX_LABEL)


def cluster_set_of(labels: Mapping[str, str]) -> str:
    """The ClusterSet that a namespace of profiles stands for, by either key; none: empty (INV-11, README Q-17)."""
    return next((labels[key] for key in CLUSTER_SET_LABELS if labels.get(key)), "")


def profile(member: Member, seen: ClusterProfile | None, *, now: datetime) -> ClusterProfile:
    """What the member's profile should be; moments that `seen` states are kept as long as they hold (INV-22).

    It goes with its Member, by whomever that is deleted (INV-30).
    """
    spec = member.spec or MemberSpec(id=member.metadata.name, set=member.metadata.namespace)
    manager = manager_of(spec.set)
    owner = OwnerReference(
        api_version=MEMBERS.api_version, kind=MEMBERS.kind, name=member.metadata.name, uid=member.metadata.uid
    )
    before = seen.status if seen is not None and seen.status is not None else ClusterProfileStatus()
    said = member.status
    return ClusterProfile(
        api_version=CLUSTER_PROFILES.api_version,
        kind=CLUSTER_PROFILES.kind,
        metadata=ObjectMeta(
            name=member.metadata.name,
            namespace=member.metadata.namespace,
            labels={MANAGER_LABEL: manager, MARKER_LABEL: MANAGED_BY, CLUSTER_LABEL: member.metadata.name},
            owner_references=(owner,),
        ),
        spec=ClusterProfileSpec(cluster_manager=ClusterManager(name=manager)),
        status=ClusterProfileStatus(
            conditions=(_transition(_healthy(member), before, now), _transition(_joined(member), before, now)),
            version=ClusterVersion(kubernetes=said.kubernetes_version) if said and said.kubernetes_version else None,
            properties=_properties(said, before, now) if said is not None else (),
            access_providers=_access(member.metadata.name, spec),
        ),
    )


def is_urgent(wanted: ClusterProfile, seen: ClusterProfile | None) -> bool:
    """Whether the change is one that consumers wait for: health, membership, or the way to the cluster."""
    if seen is None or seen.status is None or wanted.status is None:
        return True
    states = [{(each.type, each.status) for each in status.conditions} for status in (wanted.status, seen.status)]
    return not states[0] <= states[1] or wanted.status.access_providers != seen.status.access_providers


def troubles(member: Member) -> tuple[tuple[str, str], ...]:
    """What people should hear of, as reason and message of an Event."""
    told = []
    spec, said = member.spec, member.status
    if spec is not None and spec.server and (problem := address_problem(spec)):
        told.append(("AccessNotPublished", problem))
    if said is not None and said.left_out:
        names = ", ".join(said.left_out[:10]) + (" and others" if len(said.left_out) > 10 else "")
        told.append(("PropertiesLeftOut", f"not mirrored from ClusterProperties: {names}; {UNFIT}"))
    return tuple(told)


def address_problem(spec: MemberSpec) -> str:
    """Why no access to the cluster can be published, or nothing (INV-23, INV-26, INV-31)."""
    if not spec.server:
        return "the address of its API server is not known"
    try:
        parts = urlsplit(spec.server)
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return f"its address {spec.server!r} is no URL"
    if not usable or parts.username is not None or parts.query or parts.fragment:
        return f"its address {spec.server!r} is not of the form https://HOST:PORT"
    if spec.proxy_url and not is_proxy(spec.proxy_url):
        return f"its proxy {spec.proxy_url!r} is not of the form http://HOST:PORT or https://HOST:PORT"
    if not spec.certificate_authority:
        return ""
    try:
        authority = base64.b64decode(spec.certificate_authority, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return "its certificate authority is not PEM in base64"
    if set(_PEM.findall(authority)) != {"CERTIFICATE"}:
        return "its certificate authority holds something other than certificates"
    return ""


def is_proxy(url: str) -> bool:
    """Whether it can be a `proxy-url`."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _healthy(member: Member) -> tuple[str, str, str, str, datetime | None]:
    """Type, status, reason, message, and since when, where that is known (section 1.3, INV-32)."""
    spec, said = member.spec, member.status
    kind = CONTROL_PLANE_HEALTHY
    if spec is not None and spec.health.state == SILENT:
        message = f"no sign of life from its agent: {spec.health.reason}"
        return kind, "Unknown", "HeartbeatLost", message, spec.health.since
    if spec is None or said is None:
        return kind, "Unknown", "NoStatus", "its agent has not reported yet", None
    if problem := address_problem(spec):
        return kind, "Unknown", "NoStatus", problem, None
    if said.probe is None:
        return kind, "Unknown", "NoStatus", f"its agent has not tried {spec.server} yet", None
    if not said.probe.answered:
        message = f"{spec.server} does not answer: {said.probe.problem or 'no reason was given'}"
        return kind, "False", "Unhealthy", message, None
    return kind, "True", "Healthy", f"{spec.server} answers", None


def _joined(member: Member) -> tuple[str, str, str, str, datetime | None]:
    spec = member.spec
    if member.metadata.deletion_timestamp is not None:
        return JOINED, "False", "Left", "it is being removed from the set", None
    if spec is None or (spec.id, spec.set) != (member.metadata.name, member.metadata.namespace):
        return JOINED, "False", "Rejected", "its Member does not say who it is: spec.id and spec.set differ", None
    if member.status is None:
        return JOINED, "False", "Pending", "its agent has not reported yet", None
    return JOINED, "True", "Joined", f"member of cluster set {spec.set}", spec.joined_at


def _transition(
    told: tuple[str, str, str, str, datetime | None], before: ClusterProfileStatus, now: datetime
) -> Condition:
    kind, status, reason, message, since = told
    same = next((each for each in before.conditions if (each.type, each.status) == (kind, status)), None)
    when = same.last_transition_time if same is not None else (since or now).replace(microsecond=0)
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=when)


def _properties(said: MemberStatus, before: ClusterProfileStatus, now: datetime) -> tuple[Property, ...]:
    """What the cluster says, unchanged, and what its nodes say under names of ours that it left free."""
    taken = set(said.properties) | set(said.left_out)
    values = {name: value for name, value in _facts(said).items() if name not in taken}
    values |= said.properties
    kept = {item.name: item for item in before.properties}
    observed = (in_utc(said.observed_at) or now).replace(microsecond=0)
    return tuple(
        kept[name]
        if name in kept and kept[name].value == value
        else Property(name=name, value=value, last_observed_time=observed)
        for name, value in sorted(values.items())
        # A member may have written anything.
        if 0 < len(name) <= _MAX_NAME and 0 < len(value) <= MAX_VALUE
    )


def _facts(said: MemberStatus) -> dict[str, str]:
    facts = said.facts
    numbers = {"nodes": facts.nodes, "cpu": facts.cpu, "memory": facts.memory}
    words = {
        "region": said.region,
        "zones": _joined_within(facts.zones),
        "provider": facts.provider,
        "distribution": facts.distribution,
        **{name: f"{number}{'Gi' if name == 'memory' else ''}" for name, number in numbers.items() if number},
    }
    return {f"{name}{SUFFIX}": word for name, word in words.items() if word}


def _joined_within(words: Iterable[str]) -> str:
    text = ",".join(words)
    return text if len(text) <= MAX_VALUE else ""


def _access(cluster: str, spec: MemberSpec) -> tuple[AccessProvider, ...]:
    """The two ways that the SIG's plugins know, to the Secret that a grant writes (INV-24, INV-27, CRED-7)."""
    if address_problem(spec):
        return ()
    configs: dict[str, object] = {
        READER: {"clusterName": cluster},
        KUBECONFIG_READER: {"name": cluster, "key": KUBECONFIG_KEY},
    }
    return tuple(
        AccessProvider(
            name=name,
            cluster=AccessCluster(
                server=spec.server,
                certificate_authority_data=spec.certificate_authority,
                proxy_url=spec.proxy_url,
                extensions=(Extension(name=EXEC_EXTENSION, extension=config),),
            ),
        )
        for name, config in configs.items()
    )
