"""Pods and workloads as an API server keeps them, with the fields that embedded clusters read."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from isthmus.api.meta import Object, ObjectMeta, Wire
from isthmus.api.scheme import Manifest, Resource


class SelectorRequirement(Wire):
    """One expression of a label selector: In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(Wire):
    """Which labels an object must carry."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[SelectorRequirement, ...] = ()


class WorkloadCondition(Wire):
    """A condition of a pod or workload; only Deployments keep `last_update_time`."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    last_update_time: datetime | None = None


class ContainerPort(Wire):
    """A port that a container names."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"


class Container(Wire):
    """One container; a `restart_policy` of its own makes an init container a sidecar."""

    name: str = ""
    ports: tuple[ContainerPort, ...] = ()
    restart_policy: str = ""


class PodSpec(Wire):
    """Where a pod runs and by which names it goes."""

    node_name: str = ""
    hostname: str = ""
    subdomain: str = ""
    host_network: bool = False
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()


class PodIP(Wire):
    """One address of a pod."""

    ip: str = ""


class ContainerStatus(Wire):
    """How often a container was started anew."""

    restart_count: int = 0


class PodStatus(Wire):
    """What the node says of a pod."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] = msgspec.field(default=(), name="podIPs")
    conditions: tuple[WorkloadCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object):
    """core/v1 Pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class ReplicaSetSpec(Wire):
    """So many pods of this template; the template passes through whole."""

    replicas: int | None = None
    min_ready_seconds: int = 0
    selector: LabelSelector = LabelSelector()
    template: Manifest = {}


class ReplicaSetStatus(Wire):
    """How many pods there are, and how well they are."""

    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    terminating_replicas: int | None = None
    observed_generation: int = 0
    conditions: tuple[WorkloadCondition, ...] = ()


class ReplicaSet(Object):
    """apps/v1 ReplicaSet."""

    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class RollingUpdate(Wire):
    """Bounds of a rolling update: a number, or a share of the replicas in per cent."""

    max_surge: int | str | None = None
    max_unavailable: int | str | None = None
    partition: int = 0


class Strategy(Wire):
    """How pods of an old template make way."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DeploymentSpec(Wire):
    """The template, how many pods of it, and how to change from one template to the next."""

    replicas: int | None = None
    selector: LabelSelector = LabelSelector()
    template: Manifest = {}
    strategy: Strategy = Strategy()
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None
    paused: bool = False
    progress_deadline_seconds: int | None = None


class DeploymentStatus(Wire):
    """How far a rollout has come."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    collision_count: int | None = None
    conditions: tuple[WorkloadCondition, ...] = ()


class Deployment(Object):
    """apps/v1 Deployment."""

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class StatefulSetSpec(Wire):
    """Pods with names of their own, made in order."""

    replicas: int | None = None
    selector: LabelSelector = LabelSelector()
    template: Manifest = {}
    service_name: str = ""
    pod_management_policy: str = "OrderedReady"
    update_strategy: Strategy = Strategy()
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None


class StatefulSetStatus(Wire):
    """How far a StatefulSet has come; revisions are names of templates."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    collision_count: int | None = None


class StatefulSet(Object):
    """apps/v1 StatefulSet."""

    spec: StatefulSetSpec = StatefulSetSpec()
    status: StatefulSetStatus = StatefulSetStatus()


class ControllerRevision(Object):
    """apps/v1 ControllerRevision: a template that a StatefulSet has or had, as a patch that brings it back."""

    data: Manifest = {}
    revision: int = 0


REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet", ReplicaSet)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", Deployment)
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet", StatefulSet)

CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision", ControllerRevision)


def pods_of(manifests: Iterable[Manifest]) -> list[Pod]:
    """The pods that can be read; one that cannot must not spoil the rest."""
    pods = []
    for manifest in manifests:
        try:
            pods.append(msgspec.convert(manifest, Pod, strict=False))
        except msgspec.ValidationError:
            continue
    return pods


def metadata_of(manifest: Manifest) -> ObjectMeta:
    """The metadata of an object that passes through whole; empty where it cannot be read."""
    try:
        return msgspec.convert(manifest.get("metadata"), ObjectMeta, strict=False)
    except msgspec.ValidationError:
        return ObjectMeta()
