"""What a node knows of a pod while it runs, and the status it tells of it.

core/v1 PodStatus, ContainerStatus; "Pod Lifecycle" (phases, conditions, container states).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from isthmus.api.scheme import Manifest
from isthmus.local.node.podspec import Container, Pod, PodSpec


@dataclass(frozen=True)
class Waiting:
    """Not running yet, or not yet again."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """Running since then."""

    since: datetime


@dataclass(frozen=True)
class Ended:
    """Ran, and ended."""

    code: int
    started: datetime | None
    finished: datetime
    message: str = ""
    reason: str = ""

    @property
    def why(self) -> str:
        """The reason, as Kubernetes words it."""
        return self.reason or ("Completed" if self.code == 0 else "Error")


State = Waiting | Running | Ended
# The conditions that a node writes.
TYPES = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
CREATING = Waiting("ContainerCreating")
INITIALIZING = Waiting("PodInitializing")


@dataclass
class ContainerState:
    """One container's state as it changes."""

    container: Container
    state: State = CREATING
    last: State | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    identity: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it ended and nobody is to start it again."""
        return isinstance(self.state, Ended)


@dataclass
class PodState:
    """All that goes into a pod's status."""

    addresses: tuple[str, ...] = ()
    started: datetime | None = None
    initialized: bool = False
    init: list[ContainerState] = field(default_factory=list)
    containers: list[ContainerState] = field(default_factory=list)
    phase: str = ""
    reason: str = ""
    message: str = ""


def phase(state: PodState, restart_policy: str) -> str:
    """Pending, Running, Succeeded or Failed; the last two only once nothing of the pod runs, sidecars neither."""
    runs = any(isinstance(each.state, Running) for each in (*state.init, *state.containers))
    if state.phase and not runs:
        return state.phase
    if not state.initialized:
        failed = any(isinstance(each.state, Ended) and each.state.code for each in state.init)
        return "Failed" if failed and restart_policy == "Never" else "Pending"
    if any(isinstance(each.state, Running) for each in state.containers):
        return "Running"
    ended = [each.state for each in state.containers if isinstance(each.state, Ended)]
    if len(ended) == len(state.containers) and restart_policy != "Always" and not runs:
        failed = any(each.code for each in ended)
        if not failed or restart_policy == "Never":
            return "Failed" if failed else "Succeeded"
    waited_before = any(each.last for each in state.containers)
    return "Running" if ended or waited_before else "Pending"


def status(pod: Pod, state: PodState, seen: Manifest, node: Sequence[str], now: datetime) -> Manifest:
    """The pod's status; conditions of others in `seen` stay, and so do times of what did not change."""
    reached = phase(state, pod.spec.restart_policy)
    is_told = reached == state.phase
    found: Manifest = {
        "phase": reached,
        "conditions": _conditions(pod, state, seen.get("conditions") or [], now),
        "hostIP": node[0],
        "hostIPs": [{"ip": address} for address in node],
        "qosClass": qos_class(pod.spec),
        "containerStatuses": [_container(each) for each in state.containers],
        "reason": (is_told and state.reason) or None,
        "message": (is_told and state.message) or None,
    }
    if state.init:
        found["initContainerStatuses"] = [_container(each) for each in state.init]
    if state.started:
        found["startTime"] = stamp(state.started)
    if state.addresses:
        found["podIP"] = state.addresses[0]
        found["podIPs"] = [{"ip": address} for address in state.addresses]
    return found


def is_ready(pod: Pod, state: PodState, conditions: Mapping[str, str]) -> bool:
    """Whether the pod may be sent requests: all containers ready, all readiness gates open."""
    gates = all(conditions.get(gate.condition_type) == "True" for gate in pod.spec.readiness_gates)
    return _containers_ready(pod, state) and gates


def stamp(moment: datetime) -> str:
    """A time as Kubernetes writes it, in whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _containers_ready(pod: Pod, state: PodState) -> bool:
    if not state.initialized or phase(state, pod.spec.restart_policy) in {"Succeeded", "Failed"}:
        return False
    return all(each.ready for each in state.containers)


def _conditions(pod: Pod, state: PodState, seen: Iterable[Manifest], now: datetime) -> list[Manifest]:
    before = {str(each.get("type")): each for each in seen}
    is_over = phase(state, pod.spec.restart_policy) in {"Succeeded", "Failed"}
    unready = ",".join(each.container.name for each in state.containers if not each.ready)
    not_ready = "" if _containers_ready(pod, state) else "ContainersNotReady"
    if is_over:
        not_ready = "PodCompleted"
    message = f"containers with unready status: [{unready}]" if not_ready == "ContainersNotReady" else ""
    gates = {kind: str(each.get("status")) for kind, each in before.items()}
    gated = "" if not_ready or is_ready(pod, state, gates) else "ReadinessGatesNotReady"
    begun = any(isinstance(each.state, Running | Ended) or each.last for each in (*state.init, *state.containers))
    wanted = {
        "PodReadyToStartContainers": ("" if begun or state.initialized else "SandboxNotReady", ""),
        "Initialized": ("" if state.initialized else "ContainersNotInitialized", ""),
        "Ready": (not_ready or gated, message),
        "ContainersReady": (not_ready, message),
        "PodScheduled": ("", ""),
    }
    if is_over and state.initialized:
        wanted["Initialized"] = ("", "")
    ours = [_condition(kind, why, said, before.get(kind), now) for kind, (why, said) in wanted.items()]
    return ours + [each for kind, each in before.items() if kind not in wanted]


def _condition(kind: str, why: str, message: str, before: Manifest | None, now: datetime) -> Manifest:
    value = "False" if why else "True"
    changed = before is None or before.get("status") != value
    moved = stamp(now) if changed or before is None else str(before.get("lastTransitionTime"))
    found: Manifest = {"type": kind, "status": value, "lastProbeTime": None, "lastTransitionTime": moved}
    if why:
        found["reason"] = why
    if message:
        found["message"] = message
    return found


def _container(state: ContainerState) -> Manifest:
    return {
        "name": state.container.name,
        "image": state.container.image,
        # Not from a registry: the programs are this machine's own.
        "imageID": "host",
        "containerID": f"isthmus://{state.identity}" if state.identity else "",
        "restartCount": state.restarts,
        "ready": state.ready,
        "started": state.started,
        "state": _state(state.state, state.identity),
        "lastState": _state(state.last, state.identity) if state.last else {},
    }


def _state(state: State, identity: str) -> Manifest:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}
        case Running(since):
            return {"running": {"startedAt": stamp(since)}}
        case Ended():
            found: Manifest = {
                "exitCode": state.code,
                "reason": state.why,
                "startedAt": stamp(state.started) if state.started else None,
                "finishedAt": stamp(state.finished),
                "containerID": f"isthmus://{identity}" if identity else None,
            }
            if state.message:
                found["message"] = state.message
            return {"terminated": {key: value for key, value in found.items() if value is not None}}


def qos_class(spec: PodSpec) -> str:
    """Guaranteed, Burstable or BestEffort ("Pod Quality of Service Classes")."""
    everything = [container.resources for container in (*spec.init_containers, *spec.containers)]
    if not any(each.limits or each.requests for each in everything):
        return "BestEffort"
    for each in everything:
        limits = {name: str(value) for name, value in each.limits.items()}
        requests = limits | {name: str(value) for name, value in each.requests.items()}
        if not {"cpu", "memory"} <= limits.keys() or requests != limits:
            return "Burstable"
    return "Guaranteed"
