"""The fields of a Pod that this node reads.

core/v1 Pod (Kubernetes API reference).
"""

from datetime import datetime

import msgspec

from isthmus.api.meta import Object, Wire
from isthmus.api.scheme import Manifest
from isthmus.errors import Invalid


class KeySelector(Wire):
    """One key of a ConfigMap or Secret."""

    name: str = ""
    key: str = ""
    optional: bool = False


class ObjectSelector(Wire):
    """A whole ConfigMap or Secret."""

    name: str = ""
    optional: bool = False


class FieldSelector(Wire):
    """A field of the pod itself."""

    field_path: str = ""


class EnvSource(Wire):
    """Where a variable's value comes from."""

    field_ref: FieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None
    resource_field_ref: dict[str, object] | None = None


class EnvVar(Wire):
    """One variable of a container."""

    name: str
    value: str = ""
    value_from: EnvSource | None = None


class EnvFrom(Wire):
    """All keys of a ConfigMap or Secret as variables."""

    prefix: str = ""
    config_map_ref: ObjectSelector | None = None
    secret_ref: ObjectSelector | None = None


class ExecAction(Wire):
    """A command in the container."""

    command: tuple[str, ...] = ()


class Header(Wire):
    """A header of a probe's request."""

    name: str
    value: str = ""


class HTTPGetAction(Wire):
    """A GET request."""

    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[Header, ...] = ()


class TCPSocketAction(Wire):
    """A TCP connection."""

    port: int | str
    host: str = ""


class SleepAction(Wire):
    """A pause."""

    seconds: int = 0


class Handler(Wire):
    """What to do after start or before the end of a container, or to see how it is."""

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    sleep: SleepAction | None = None


class Probe(Handler):
    """How to find out whether a container is well; times in seconds."""

    grpc: dict[str, object] | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class Lifecycle(Wire):
    """Hooks of a container."""

    post_start: Handler | None = None
    pre_stop: Handler | None = None


class ContainerPort(Wire):
    """A port with a name that probes and Services may use."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"


class VolumeMount(Wire):
    """Where a container sees a volume."""

    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: str = ""


class ResourceRequirements(Wire):
    """Requests and limits: they decide the QoS class, nothing else."""

    limits: dict[str, str | int | float] = {}
    requests: dict[str, str | int | float] = {}


class Container(Wire):
    """One program of a pod."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    volume_devices: tuple[dict[str, object], ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    restart_policy: str = ""
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    stdin: bool = False
    tty: bool = False

    def port(self, wanted: int | str) -> int:
        """The number of a port given by number or name; raises Invalid if no port has that name."""
        if isinstance(wanted, int) or wanted.isdigit():
            return int(wanted)
        for port in self.ports:
            if port.name == wanted:
                return port.container_port
        raise Invalid(f"container {self.name} has no port named {wanted!r}")


class KeyToPath(Wire):
    """Which key becomes which file."""

    key: str = ""
    path: str = ""
    mode: int | None = None


class DownwardFile(Wire):
    """A field of the pod as a file."""

    path: str
    field_ref: FieldSelector | None = None
    resource_field_ref: dict[str, object] | None = None
    mode: int | None = None


class ConfigMapVolume(Wire):
    """The keys of a ConfigMap as files."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretVolume(Wire):
    """The keys of a Secret as files; `name` in a projection."""

    secret_name: str = ""
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class DownwardVolume(Wire):
    """Fields of the pod as files."""

    items: tuple[DownwardFile, ...] = ()
    default_mode: int = 0o644


class TokenProjection(Wire):
    """A token of the pod's service account."""

    path: str = "token"
    audience: str = ""
    expiration_seconds: int = 3600


class Projection(Wire):
    """One of the sources that share a folder."""

    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downward_api: DownwardVolume | None = msgspec.field(default=None, name="downwardAPI")
    service_account_token: TokenProjection | None = None


class ProjectedVolume(Wire):
    """Several sources in one folder."""

    sources: tuple[Projection, ...] = ()
    default_mode: int = 0o644


class HostPath(Wire):
    """A path of this machine."""

    path: str
    type: str = ""


class Volume(Wire):
    """Files for a pod's containers; one of the sources is set."""

    name: str
    empty_dir: dict[str, object] | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downward_api: DownwardVolume | None = msgspec.field(default=None, name="downwardAPI")
    projected: ProjectedVolume | None = None
    host_path: HostPath | None = None


class HostAlias(Wire):
    """More lines for /etc/hosts."""

    ip: str
    hostnames: tuple[str, ...] = ()


class DNSOption(Wire):
    """One option of resolv.conf."""

    name: str
    value: str | None = None


class DNSConfig(Wire):
    """Additions to resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DNSOption, ...] = ()


class Gate(Wire):
    """A condition that somebody else sets before the pod is ready or may be scheduled."""

    condition_type: str = ""
    name: str = ""


class PodSpec(Wire):
    """What runs in a pod, and how."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int | None = None
    node_name: str = ""
    node_selector: dict[str, str] = {}
    hostname: str = ""
    subdomain: str = ""
    service_account_name: str = "default"
    automount_service_account_token: bool = True
    enable_service_links: bool = True
    host_network: bool = False
    host_aliases: tuple[HostAlias, ...] = ()
    dns_policy: str = "ClusterFirst"
    dns_config: DNSConfig | None = None
    readiness_gates: tuple[Gate, ...] = ()
    scheduling_gates: tuple[Gate, ...] = ()


class Terminated(Wire):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class RecordedState(Wire):
    """One of the three states, as recorded."""

    waiting: dict[str, object] | None = None
    running: dict[str, object] | None = None
    terminated: Terminated | None = None


class RecordedContainer(Wire):
    """What was last recorded of a container."""

    name: str
    restart_count: int = 0
    state: RecordedState = RecordedState()
    last_state: RecordedState = RecordedState()


class PodStatus(Wire):
    """What was last recorded of a pod, where a restarted node takes up from."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: datetime | None = None
    container_statuses: tuple[RecordedContainer, ...] = ()
    init_container_statuses: tuple[RecordedContainer, ...] = ()


class Pod(Object):
    """core/v1 Pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_over(self) -> bool:
        """Its containers ended and will not be started again."""
        return self.status.phase in {"Succeeded", "Failed"}


def decode(manifest: Manifest) -> Pod:
    """The Pod that a manifest describes; raises Invalid if it is none."""
    try:
        return msgspec.convert(manifest, Pod)
    except msgspec.ValidationError as error:
        raise Invalid(f"the pod cannot be read: {error}") from error
