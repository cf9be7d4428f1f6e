"""Kubernetes' own kinds, with the fields that Isthmus reads."""

from datetime import datetime

import msgspec

from isthmus.api.meta import Object, Wire
from isthmus.api.scheme import Manifest, Resource

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
CORE_MANAGED_BY = "endpointslice-controller.k8s.io"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ZONE_LABEL = "topology.kubernetes.io/zone"
REGION_LABEL = "topology.kubernetes.io/region"
NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"


class NamespaceStatus(Wire):
    """Active, or Terminating."""

    phase: str = ""


class Namespace(Object):
    """core/v1 Namespace."""

    status: NamespaceStatus = NamespaceStatus()


class ServicePort(Wire):
    """One port of a Service; `target_port` is a number or a container port's name."""

    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None
    port: int = 0
    target_port: int | str | None = None
    node_port: int = 0


class ClientIPConfig(Wire):
    """How long one client stays with one backend, in seconds."""

    timeout_seconds: int | None = None


class SessionAffinityConfig(Wire):
    """Settings of session affinity."""

    client_ip: ClientIPConfig | None = msgspec.field(default=None, name="clientIP")


class ServiceSpec(Wire):
    """The fields of a Service that an export carries, and those we set on a derived one."""

    type: str = "ClusterIP"
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str = ""
    session_affinity: str = ""
    session_affinity_config: SessionAffinityConfig | None = None
    internal_traffic_policy: str = ""
    traffic_distribution: str = ""
    external_name: str = ""
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")
    publish_not_ready_addresses: bool = False


class Service(Object):
    """core/v1 Service."""

    spec: ServiceSpec = ServiceSpec()


class EndpointConditions(Wire):
    """Absent `ready` means ready."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ObjectReference(Wire):
    """A pointer to another object."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""


class ForZone(Wire):
    """A zone whose clients an endpoint is meant for."""

    name: str


class ForNode(Wire):
    """A node whose clients an endpoint is meant for."""

    name: str


class EndpointHints(Wire):
    """Where an endpoint is best used from."""

    for_zones: tuple[ForZone, ...] = ()
    for_nodes: tuple[ForNode, ...] = ()


class Endpoint(Wire):
    """One backend of a service."""

    addresses: tuple[str, ...]
    conditions: EndpointConditions = EndpointConditions()
    hostname: str | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(Wire):
    """One port of a slice: the backend's (target) number."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    app_protocol: str | None = None


class EndpointSlice(Object):
    """discovery.k8s.io/v1 EndpointSlice."""

    address_type: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class NodeCondition(Wire):
    """A node's condition, which follows no conventions but its own."""

    type: str
    status: str


class NodeCapacity(Wire):
    """What a node has, in Kubernetes' quantities."""

    cpu: str = ""
    memory: str = ""


class NodeStatus(Wire):
    """What we read of a node's status."""

    conditions: tuple[NodeCondition, ...] = ()
    capacity: NodeCapacity = NodeCapacity()


class NodeSpec(Wire):
    """Who runs the machine: `aws:///eu-west-1a/i-0abc`."""

    provider_id: str = msgspec.field(name="providerID", default="")


class Node(Object):
    """core/v1 Node; its zone and region stand in its labels."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class LeaseSpec(Wire):
    """Times are MicroTime strings: always six decimals, which a datetime would not keep."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Object):
    """coordination.k8s.io/v1 Lease."""

    spec: LeaseSpec = LeaseSpec()


class Event(Object):
    """core/v1 Event."""

    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int = 0
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", Namespace, namespaced=False)
SERVICES = Resource("", "v1", "services", "Service", Service)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", EndpointSlice, many=True)
NODES = Resource("", "v1", "nodes", "Node", Node, namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", Lease)
EVENTS = Resource("", "v1", "events", "Event", Event)
CONFIG_MAPS: Resource[Manifest] = Resource("", "v1", "configmaps", "ConfigMap", dict)
SERVICE_ACCOUNTS: Resource[Manifest] = Resource("", "v1", "serviceaccounts", "ServiceAccount", dict)
SECRETS: Resource[Manifest] = Resource("", "v1", "secrets", "Secret", dict)
PODS: Resource[Manifest] = Resource("", "v1", "pods", "Pod", dict)
CRDS: Resource[Manifest] = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    dict,
    namespaced=False,
)
