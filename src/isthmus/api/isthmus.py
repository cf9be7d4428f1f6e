"""Our own kinds: what members and the hub tell one another, in the set's namespace on the hub."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from isthmus.api.core import EndpointPort, SessionAffinityConfig
from isthmus.api.mcs import ImportedPort
from isthmus.api.meta import Object, Wire
from isthmus.api.scheme import Resource

GROUP = "isthmus.dev"
VERSION = "v1alpha1"
MANAGED_BY = "isthmus.dev"
AGENT_MANAGER = "isthmus-agent"
HUB_MANAGER = "isthmus-hub"
CLUSTER_LABEL = "isthmus.dev/cluster"
NAMESPACE_LABEL = "isthmus.dev/namespace"
SET_LABEL = "isthmus.dev/cluster-set"
# The ClusterSet that a namespace belongs to: KEP-4322's text and its Go code differ, so both.
CLUSTER_SET_LABELS = ("multicluster.x-k8s.io/clusterset", "clusterset.multicluster.x-k8s.io")
# On every object that Isthmus made and alone may change; its value is MANAGED_BY.
MARKER_LABEL = "isthmus.dev/managed-by"
RESERVED_IPS_ANNOTATION = "isthmus.dev/reserved-ips"
# On a heartbeat Lease: how many ServiceImports the member has.
IMPORTS_ANNOTATION = "isthmus.dev/imports"
# Begins the name of the Lease, in isthmus-system, by which a set's controller is elected; the set follows.
HUB_LEASE_PREFIX = "isthmus-hub-"
# On that Lease: until when verdicts are held back, since too many members fell silent at once.
HELD_UNTIL_ANNOTATION = "isthmus.dev/verdicts-held-until"
SYSTEM_NAMESPACE = "isthmus-system"
MEMBERS_NAMESPACE = "isthmus-members"
# Raised whenever the merge would answer differently for the same input (design, part 3, rule 4); what each version
# does is told by `mcs/rules/versions.py`.
RULES_VERSION = 2

HEALTHY = "Healthy"
SILENT = "Silent"

PENDING, APPROVED, DENIED, JOINED = "Pending", "Approved", "Denied", "Joined"
# Begins the names of a token's account, Secret, Role and JoinRequest on the hub; its id follows.
JOIN_PREFIX = "join-"
# Ends the name of a member's second account, which applies Works.
WORKS_SUFFIX = "-works"
# On everything that belongs to one join token: its id.
TOKEN_LABEL = "isthmus.dev/join-token"  # noqa: S105  # its name
EXPIRES_ANNOTATION = "isthmus.dev/expires"
POD_RANGES_ANNOTATION = "isthmus.dev/pod-ranges"
# Who holds the Lease of a cluster that has left, and has taken everything back.
HAS_LEFT = "left"

# Members do not trust each other: whatever one writes and all others read has an end.
MAX_PORTS = 256
MAX_KEYS = 64
MAX_SLICES = 100
MAX_ENDPOINTS = 1000
# kube-proxy uses the first alone, and Kubernetes gives the others no meaning.
MAX_ADDRESSES = 1
MAX_CHUNKS = 1000
MAX_GATEWAYS = 16
MAX_PROPERTIES = 256
# Exports of one member, and bytes of them with their endpoints, unless its Member says otherwise.
MAX_EXPORTS = 5000
MAX_EXPORT_BYTES = 64 * 1024 * 1024
# On the account of a member that has stored as many as it may, by the resource that it may create no more of.
FULL_LABELS = {
    "exportedservices": "isthmus.dev/full-of-exports",
    "exportedendpoints": "isthmus.dev/full-of-endpoints",
}

Label = Annotated[str, Meta(max_length=63)]
# A UID, a version: whatever people judge by has no room for anything that they cannot see.
Visible = Annotated[str, Meta(max_length=63, extra_json_schema={"pattern": "^[!-~]*$"})]
Short = Annotated[str, Meta(max_length=253)]
Address = Annotated[str, Meta(max_length=2048)]
Authority = Annotated[str, Meta(max_length=65_536)]
ServiceKind = Annotated[str, Meta(extra_json_schema={"enum": ["ClusterSetIP", "Headless"]})]


class Health(Wire):
    """The hub's verdict on a member: Healthy or Silent, since when, and why."""

    state: Annotated[str, Meta(extra_json_schema={"enum": ["Healthy", "Silent"]})] = HEALTHY
    since: datetime | None = None
    reason: str = ""


class MemberSpec(Wire):
    """Written by the hub: who the member is, and how it does."""

    id: Label
    set: Label
    uid: str = ""
    joined_at: datetime | None = None
    pod_ranges: Annotated[tuple[Label, ...], Meta(max_length=100)] = ()
    # The published address of its API server, and the PEM of the authority behind its certificate, in base64.
    server: Address = ""
    certificate_authority: Authority = ""
    # The proxy by which others reach that address, where they cannot reach it themselves.
    proxy_url: Address = msgspec.field(default="", name="proxyURL")
    # How many exports the hub takes of it, and how large they may be together.
    max_exports: Annotated[int, Meta(ge=0)] = MAX_EXPORTS
    max_export_bytes: Annotated[int, Meta(ge=0)] = MAX_EXPORT_BYTES
    health: Health = Health()


class NamespaceExports(Wire):
    """How many exports a namespace has, and a digest over their names and the ServiceExports' UIDs."""

    count: Annotated[int, Meta(ge=0)]
    digest: Label


class Exports(Wire):
    """What a member says it exports; `epoch` rises each time its agent publishes anew."""

    epoch: Annotated[int, Meta(ge=0)] = 0
    namespaces: Annotated[dict[str, NamespaceExports], Meta(max_length=10_000)] = {}


class Probe(Wire):
    """Whether a member's published address answered its own agent, since when that is so, and what went wrong.

    Moments are the agent's. An answer of any kind is an answer: who may read what is another matter.
    """

    answered: bool
    at: datetime | None = None
    problem: Annotated[str, Meta(max_length=1024)] = ""


class ClusterFacts(Wire):
    """What a cluster is made of, as its nodes say it; numbers in coarse steps, which a busy cluster seldom leaves."""

    provider: Label = ""
    distribution: Label = ""
    zones: Annotated[tuple[Label, ...], Meta(max_length=100)] = ()
    nodes: Annotated[int, Meta(ge=0)] = 0
    # Whole cores; whole GiB.
    cpu: Annotated[int, Meta(ge=0)] = 0
    memory: Annotated[int, Meta(ge=0)] = 0


class MemberStatus(Wire):
    """Written wholly by the member's agent."""

    agent_version: Visible = ""
    kubernetes_version: Visible = ""
    # Of its namespace kube-system: of two clusters that were given one id, the hub keeps to the first that says so.
    uid: Visible = ""
    rules_version: Annotated[int, Meta(ge=0)] = 0
    # The region that all nodes share, else empty: two clusters' zones are only compared within one region.
    region: Label = ""
    properties: Annotated[dict[str, Annotated[str, Meta(max_length=1024)]], Meta(max_length=MAX_PROPERTIES)] = {}
    # Properties that did not fit: they are never cut.
    left_out: Annotated[tuple[Short, ...], Meta(max_length=MAX_PROPERTIES)] = ()
    facts: ClusterFacts = ClusterFacts()
    # When the properties and facts were last seen to differ, by the member's clock.
    observed_at: datetime | None = None
    exports: Exports = Exports()
    # None until the agent has tried: then nothing is known of the address.
    probe: Probe | None = None
    # Seconds by which the member's clock is ahead of the hub's (behind: below zero), by the hub's `Date` headers.
    clock_difference: int | None = None


class Member(Object):
    """isthmus.dev Member: one cluster of the set."""

    spec: MemberSpec | None = None
    status: MemberStatus | None = None


class ExportedEndpoint(Wire):
    """One backend, without what names objects of its own cluster (MCS-73)."""

    # What agents of former versions stored is longer, and still read.
    addresses: Annotated[tuple[Label, ...], Meta(extra_json_schema={"maxItems": MAX_ADDRESSES})]
    ready: bool = True
    serving: bool | None = None
    terminating: bool | None = None
    hostname: Label | None = None
    zone: Label | None = None


class ExportedSlice(Wire):
    """One source EndpointSlice: its family, backend ports, and endpoints (MCS-71 keeps its boundaries)."""

    address_type: Annotated[str, Meta(extra_json_schema={"enum": ["IPv4", "IPv6"]})]
    ports: Annotated[tuple[EndpointPort, ...], Meta(max_length=MAX_PORTS)] = ()
    endpoints: Annotated[tuple[ExportedEndpoint, ...], Meta(max_length=MAX_ENDPOINTS)] = ()


class Chunks(Wire):
    """Endpoints that do not fit inline: `count` ExportedEndpoints, the newest stamped with `generation`."""

    generation: Annotated[int, Meta(ge=0)]
    count: Annotated[int, Meta(ge=0, le=MAX_CHUNKS)]


class Via(Wire):
    """The gateway that leads to the backends, where pod networks do not reach each other."""

    addresses: Annotated[tuple[Short, ...], Meta(max_length=MAX_GATEWAYS)] = ()
    port: int = 0


class ExportedServiceSpec(Wire):
    """One constituent: an exporter's Service together with its ServiceExport."""

    cluster: Label
    namespace: Label
    name: Label
    uid: Label
    created: datetime
    type: ServiceKind
    ports: Annotated[tuple[ImportedPort, ...], Meta(max_length=MAX_PORTS)] = ()
    ip_families: Annotated[tuple[Label, ...], Meta(max_length=2)] = ()
    session_affinity: Label = ""
    session_affinity_config: SessionAffinityConfig | None = None
    internal_traffic_policy: Label = ""
    traffic_distribution: Label = ""
    exported_labels: Annotated[dict[str, Label], Meta(max_length=MAX_KEYS)] = {}
    exported_annotations: Annotated[dict[str, Annotated[str, Meta(max_length=65_536)]], Meta(max_length=MAX_KEYS)] = {}
    slices: Annotated[tuple[ExportedSlice, ...], Meta(max_length=MAX_SLICES)] = ()
    chunks: Chunks | None = None
    via: Via | None = None


class ExportedService(Object):
    """isthmus.dev ExportedService, named `<cluster>.<namespace>.<name>`."""

    spec: ExportedServiceSpec | None = None


class ExportedEndpointsSpec(Wire):
    """One chunk of a large service's endpoints."""

    cluster: Label
    namespace: Label
    name: Label
    generation: Annotated[int, Meta(ge=0)]
    index: Annotated[int, Meta(ge=0, lt=MAX_CHUNKS)]
    slice: ExportedSlice


class ExportedEndpoints(Object):
    """isthmus.dev ExportedEndpoints, named `<cluster>.<namespace>.<name>.<family>.<n>`."""

    spec: ExportedEndpointsSpec | None = None


class ExportGrantSpec(Wire):
    """Who may export what: namespaces that any grant names are closed to clusters and names it does not list.

    An empty `names` means every name of those namespaces.
    """

    namespaces: Annotated[tuple[Label, ...], Meta(max_length=1000)]
    clusters: Annotated[tuple[Label, ...], Meta(max_length=5000)] = ()
    names: Annotated[tuple[Label, ...], Meta(max_length=1000)] = ()


class ExportGrant(Object):
    """isthmus.dev ExportGrant (README Q-41)."""

    spec: ExportGrantSpec | None = None


class JoinRequestSpec(Wire):
    """What a cluster says of itself when it asks to be a member; none of it is believed without a look."""

    cluster: Annotated[str, Meta(max_length=50)]
    set: Label
    # Of its namespace kube-system: by it a cluster that joins again is known.
    uid: Annotated[Visible, Meta(min_length=1)]
    server: Address = ""
    certificate_authority: Authority = ""
    kubernetes_version: Visible = ""
    agent_version: Visible = ""
    pod_ranges: Annotated[tuple[Label, ...], Meta(max_length=100)] = ()
    # Its agent dials in at the hub's tunnel: nobody else reaches its address.
    tunnel: bool = False
    # It has its credential: the token it came with may go.
    received: bool = False
    # It is a member of another set still, and asks whether it could come once it has left that.
    moving: bool = False


class JoinCredential(Wire):
    """The account that the cluster may make tokens of, and the Secret, in `isthmus-members`, to bind them to."""

    account: Short
    secret: Short
    uid: Label


class JoinRequestStatus(Wire):
    """Written by the hub and its admins: Pending, Approved, Denied or Joined, and why."""

    phase: Annotated[str, Meta(extra_json_schema={"enum": ["Pending", "Approved", "Denied", "Joined"]})] = ""
    reason: Annotated[str, Meta(max_length=4096)] = ""
    credential: JoinCredential | None = None
    # It was a member before: its signs of life may be by its former credential.
    again: bool = False


class JoinRequest(Object):
    """isthmus.dev JoinRequest, named like the account of the token that it was made with; the record of its use."""

    spec: JoinRequestSpec | None = None
    status: JoinRequestStatus | None = None


MEMBERS = Resource(GROUP, VERSION, "members", "Member", Member)
EXPORTED_SERVICES = Resource(GROUP, VERSION, "exportedservices", "ExportedService", ExportedService, many=True)
EXPORTED_ENDPOINTS = Resource(GROUP, VERSION, "exportedendpoints", "ExportedEndpoints", ExportedEndpoints, many=True)
EXPORT_GRANTS = Resource(GROUP, VERSION, "exportgrants", "ExportGrant", ExportGrant)
JOIN_REQUESTS = Resource(GROUP, VERSION, "joinrequests", "JoinRequest", JoinRequest)
