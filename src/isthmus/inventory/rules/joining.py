"""How a cluster gets into a set: what a join token says, and what the hub answers to a request.

Design, part 2; KEP-2149, "Uniqueness" (ABOUT-9, ABOUT-23, ABOUT-29, ABOUT-30).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec

from isthmus.api.core import SECRETS, SERVICE_ACCOUNTS
from isthmus.api.isthmus import (
    APPROVED,
    CLUSTER_LABEL,
    DENIED,
    EXPIRES_ANNOTATION,
    JOIN_PREFIX,
    MANAGED_BY,
    MARKER_LABEL,
    MEMBERS,
    MEMBERS_NAMESPACE,
    PENDING,
    POD_RANGES_ANNOTATION,
    SET_LABEL,
    TOKEN_LABEL,
    WORKS_SUFFIX,
    JoinRequestSpec,
    Member,
)
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid
from isthmus.kit.moments import in_utc

_VERSION: Final = "isthmus-v1"
# Characters: an authority's chain takes most of them.
_LONGEST: Final = 65_536
_SUM: Final = 8
_ID: Final = re.compile(r"[0-9a-f]{10}")
_ANEW: Final = "ask for a new one, on the hub: isthmus token create"
NO_TUNNEL: Final = "this hub has no tunnel: join without --tunnel, or have its admin type: isthmus install hub --tunnel"
ENDED: Final = f"the token has ended before the cluster joined; {_ANEW}"


@dataclass(frozen=True)
class JoinToken:
    """One string that lets one cluster ask to join: where the hub is, whom to trust there, and who to be.

    `server` is an https URL, `authority` a PEM (empty: the system's), `proxy` empty or a URL. `id` names what belongs
    to the token on the hub (`join-<id>`). Without `cluster` the request waits for an admin. `expires` is in UTC.
    """

    server: str
    authority: str
    proxy: str
    set: str
    id: str
    cluster: str
    expires: datetime
    bearer: str = field(repr=False)

    @property
    def name(self) -> str:
        """What its account, Secret, Role and JoinRequest are called."""
        return JOIN_PREFIX + self.id


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    server: str
    authority: str
    proxy: str
    set: str
    id: str
    cluster: str
    expires: datetime
    bearer: str


def written(token: JoinToken) -> str:
    """The token as people hand it on: version, content, and a sum by which a part that was cut off is missed."""
    fields = {name: getattr(token, name) for name in _Written.__struct_fields__}
    content = base64.urlsafe_b64encode(msgspec.json.encode(fields)).decode().rstrip("=")
    head = f"{_VERSION}.{content}"
    return f"{head}.{_sum(head)}"


def read_token(text: str) -> JoinToken:
    """The token that was `written`; whether it is still good, only its hub knows. Raises Invalid."""
    text = text.strip()
    if not text.startswith(_VERSION):
        raise Invalid(f"this is no join token: it begins with {text[:12]!r}, not with {_VERSION}; {_ANEW}")
    if len(text) > _LONGEST:
        raise Invalid(f"the join token is longer than {_LONGEST} characters: was it copied twice? If not, {_ANEW}")
    head, _, checksum = text.rpartition(".")
    if head == _VERSION or len(checksum) != _SUM:
        raise Invalid(f"the join token is cut short: copy it whole, or {_ANEW}")
    if checksum != _sum(head):
        raise Invalid(f"the join token is damaged: a character is missing or was changed; copy it whole, or {_ANEW}")
    content = head.removeprefix(_VERSION + ".")
    try:
        raw = base64.urlsafe_b64decode(content + "=" * (-len(content) % 4))
        read = msgspec.json.decode(raw, type=_Written)
    except (binascii.Error, ValueError, RecursionError) as problem:
        raise Invalid(f"the join token does not say what it should ({problem}); {_ANEW}") from problem
    if not read.server.startswith("https://") or not read.bearer or not _ID.fullmatch(read.id):
        raise Invalid(f"the join token lacks the hub's address, its id or who to be there; {_ANEW}")
    expires = in_utc(read.expires)
    if read.expires.tzinfo is None or expires is None:
        raise Invalid(f"the join token does not say when it ends; {_ANEW}")
    fields = {name: getattr(read, name) for name in _Written.__struct_fields__}
    return JoinToken(**fields | {"expires": expires})


def _sum(head: str) -> str:
    return hashlib.sha256(head.encode()).hexdigest()[:_SUM]


@dataclass(frozen=True)
class Ticket:
    """What the hub itself knows of a token: its set, its cluster (empty: any), until when, and approved pod ranges."""

    set: str
    cluster: str
    expires: datetime
    pod_ranges: tuple[str, ...] = ()


def ticket(secret: Manifest) -> Ticket:
    """What a token's Secret says; one without a moment is over. Raises Invalid for a moment that is none."""
    metadata = secret["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    said = annotations.get(EXPIRES_ANNOTATION, "1970-01-01T00:00:00Z")
    expires = in_utc(said)
    if expires is None:
        raise Invalid(f"Secret {metadata['name']}: annotation {EXPIRES_ANNOTATION}: {said!r} is no moment; delete it")
    ranges = tuple(part for part in annotations.get(POD_RANGES_ANNOTATION, "").split(",") if part)
    return Ticket(labels.get(SET_LABEL, ""), labels.get(CLUSTER_LABEL, ""), expires, ranges)


def ticket_secret(token_id: str, of: Ticket) -> Manifest:
    """The Secret of a new token; it holds nothing: the token lives no longer than it."""
    annotations = {EXPIRES_ANNOTATION: moment(of.expires)}
    if of.pod_ranges:
        annotations[POD_RANGES_ANNOTATION] = ",".join(of.pod_ranges)
    secret = _made(JOIN_PREFIX + token_id, {SET_LABEL: of.set, CLUSTER_LABEL: of.cluster, TOKEN_LABEL: token_id})
    secret["metadata"]["annotations"] = annotations
    return secret | {"apiVersion": SECRETS.api_version, "kind": SECRETS.kind, "type": "Opaque"}


@dataclass(frozen=True)
class Decision:
    """What becomes of a request: a phase, and the reason, a sentence for people."""

    phase: str
    reason: str = ""


def decide(
    request: JoinRequestSpec, of: Ticket, members: Iterable[Member], *, is_approved: bool, now: datetime
) -> Decision:
    """Approved, Denied or Pending; `members` are those of all sets of this hub, `is_approved` what an admin said.

    Names are one space for the whole hub: accounts, Leases and roles are called by them.
    """
    members = tuple(members)
    if of.expires <= now:
        return Decision(DENIED, ENDED)
    if problem := _misuse(request, of) or clash(request, members):
        return Decision(DENIED, problem)
    if is_approved or of.cluster:
        why = "its token names this cluster" if of.cluster else "an admin approved it"
        return Decision(APPROVED, f"{why}; it may come once it has left its set" if request.moving else why)
    waits = f"the token names no cluster: an admin has to type: isthmus approve {request.cluster}"
    if any(member.metadata.name == request.cluster for member in members):
        # All members may know its UID: that alone proves nothing.
        waits += f". It says that it is member {request.cluster}, which is there: make sure that it is"
    return Decision(PENDING, waits)


def _misuse(request: JoinRequestSpec, of: Ticket) -> str:
    if request.set != of.set:
        return f"the token is for set {of.set}, not for {request.set}; {_ANEW} --set {request.set}"
    if of.cluster not in {"", request.cluster}:
        return f"the token is for cluster {of.cluster}: join under that name, or {_ANEW}"
    if request.server and not request.server.startswith("https://"):
        return f"the address {request.server[:100]!r} of its API server does not begin with https://"
    return ""


def clash(request: JoinRequestSpec, members: Iterable[Member]) -> str:
    """Why a cluster cannot be that member, or nothing: the name is another's, or it is a member under another.

    What one that moves is in another set, it will not be when it comes.
    """
    for member in members:
        spec = member.spec
        if spec is None or (request.moving and spec.uid == request.uid and spec.set != request.set):
            continue
        where = f"set {spec.set}"
        if spec.id == request.cluster and spec.set != request.set:
            return f"the name {request.cluster} is taken on this hub, in {where}: join under another name"
        if spec.id == request.cluster and spec.uid and spec.uid != request.uid:
            return (
                f"the name {request.cluster} belongs to another cluster of {where} (kube-system UID {spec.uid}): join "
                f"under another name, or have an admin remove that member: isthmus remove {spec.id}"
            )
        if spec.id != request.cluster and spec.uid == request.uid:
            return f"this cluster is member {spec.id} of {where} already: join under that name, or leave first"
    return ""


def held_up(cluster: str, owner: str, members: Iterable[Member]) -> Decision:
    """What becomes of an approved request whose name has accounts of set `owner`: of a member, or of one that left."""
    if any(member.metadata.name == cluster for member in members):
        return Decision(DENIED, f"the name {cluster} is taken on this hub, in set {owner}: join under another")
    return Decision(
        APPROVED, f"set {owner} has yet to take back what {cluster} had there, which takes a minute at most"
    )


def record(
    token: str, request: JoinRequestSpec, of: Ticket, known: Member | None, *, now: datetime, tunnel: str = ""
) -> Manifest:
    """The Member as it is to be; one that joins again keeps the moment of its joining and its approved pod ranges.

    It bears the id of the `token` that let it in, longer than that is kept. What the cluster itself says of its pod
    ranges approves nothing. `tunnel` is where consumers find the hub's.
    """
    seen = known.spec if known is not None else None
    joined = seen.joined_at if seen is not None and seen.joined_at is not None else now
    ranges = of.pod_ranges or (seen.pod_ranges if seen is not None else ())
    spec: Manifest = {"id": request.cluster, "set": request.set, "uid": request.uid, "joinedAt": moment(joined)}
    spec |= {"server": request.server} if request.server else {}
    spec |= {"certificateAuthority": request.certificate_authority} if request.certificate_authority else {}
    spec |= {"proxyURL": through(tunnel, request.cluster)} if request.tunnel else {}
    spec |= {"podRanges": list(ranges)} if ranges else {}
    metadata = {"name": request.cluster, "namespace": request.set, "labels": {TOKEN_LABEL: token}}
    return {"apiVersion": MEMBERS.api_version, "kind": MEMBERS.kind, "metadata": metadata, "spec": spec}


def through(tunnel: str, cluster: str) -> str:
    """The proxy by which a member is reached: addresses may be the same in many clusters, so it is told the member."""
    scheme, _, rest = tunnel.partition("://")
    return f"{scheme}://{cluster}@{rest}"


def accounts(cluster: str, cluster_set: str) -> tuple[Manifest, ...]:
    """A member's two accounts on the hub: for services, and for Works."""
    head: Manifest = {"apiVersion": SERVICE_ACCOUNTS.api_version, "kind": SERVICE_ACCOUNTS.kind}
    labels = {SET_LABEL: cluster_set, CLUSTER_LABEL: cluster}
    names = (cluster, cluster + WORKS_SUFFIX)
    return tuple(head | _made(name, labels) | {"automountServiceAccountToken": False} for name in names)


def anchor(cluster: str, cluster_set: str, token_id: str) -> Manifest:
    """The Secret that a member's tokens are bound to: one for each joining, so that a step can be repeated."""
    labels = {SET_LABEL: cluster_set, CLUSTER_LABEL: cluster, TOKEN_LABEL: token_id}
    secret = _made(f"{cluster}-{token_id}", labels)
    return {"apiVersion": SECRETS.api_version, "kind": SECRETS.kind, "type": "Opaque"} | secret


def moment(at: datetime) -> str:
    """As Kubernetes writes moments: UTC, in whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _made(name: str, labels: Mapping[str, str]) -> Manifest:
    ours = {MARKER_LABEL: MANAGED_BY} | {key: value for key, value in labels.items() if value}
    return {"metadata": {"name": name, "namespace": MEMBERS_NAMESPACE, "labels": ours}}
