"""A pod in one line: how many of its containers are ready, and what holds it up."""

from datetime import datetime

from isthmus.api.scheme import Manifest
from isthmus.apiserver.cells import AGE, age_of, field, shown, wide


def _statuses(pod: Manifest, which: str) -> list[Manifest]:
    return (pod.get("status") or {}).get(which) or []


def _state(status: Manifest, which: str) -> Manifest | None:
    state: Manifest | None = (status.get("state") or {}).get(which)
    return state


def _sidecars(pod: Manifest) -> set[str]:
    """Init containers that run on beside the others."""
    init = (pod.get("spec") or {}).get("initContainers") or ()
    return {each["name"] for each in init if each.get("restartPolicy") == "Always"}


def _condition(pod: Manifest, kind: str) -> Manifest:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})


def _ready(pod: Manifest, _: datetime) -> object:
    sidecars = _sidecars(pod)
    running = [each for each in _statuses(pod, "containerStatuses") if _state(each, "running") is not None]
    started = [each for each in _statuses(pod, "initContainerStatuses") if each["name"] in sidecars]
    ready = sum(bool(each.get("ready")) for each in [*running, *started])
    return f"{ready}/{len((pod.get('spec') or {}).get('containers') or ()) + len(sidecars)}"


def _ended(terminated: Manifest) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _initialising(pod: Manifest) -> str:
    """What the init containers are at; empty once they are done."""
    statuses, sidecars = _statuses(pod, "initContainerStatuses"), _sidecars(pod)
    for index, status in enumerate(statuses):
        terminated, waiting = _state(status, "terminated"), _state(status, "waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if status["name"] in sidecars and status.get("started"):
            continue
        if terminated is not None:
            return f"Init:{_ended(terminated)}"
        if waiting and waiting.get("reason") not in {None, "", "PodInitializing"}:
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{len((pod.get('spec') or {}).get('initContainers') or ())}"
    return ""


def _running(pod: Manifest, phase: str) -> str:
    """What the containers are at; the first that has something to say wins."""
    told, has_running = phase, False
    for status in reversed(_statuses(pod, "containerStatuses")):
        waiting, terminated = _state(status, "waiting"), _state(status, "terminated")
        if waiting and waiting.get("reason"):
            told = str(waiting["reason"])
        elif terminated is not None:
            told = _ended(terminated)
        elif status.get("ready") and _state(status, "running") is not None:
            has_running = True
    if told == "Completed" and has_running:
        return "Running" if _condition(pod, "Ready").get("status") == "True" else "NotReady"
    return told


def _status(pod: Manifest, _: datetime) -> object:
    status = pod.get("status") or {}
    phase = str(status.get("reason") or status.get("phase") or "")
    if _condition(pod, "PodScheduled").get("reason") == "SchedulingGated":
        phase = "SchedulingGated"
    initialised = _condition(pod, "Initialized").get("status") == "True"
    told = (not initialised and _initialising(pod)) or _running(pod, phase)
    if not pod["metadata"].get("deletionTimestamp"):
        return told
    if status.get("reason") == "NodeLost":
        return "Unknown"
    return told if status.get("phase") in {"Succeeded", "Failed"} else "Terminating"


def _restarts(pod: Manifest, now: datetime) -> object:
    which = "initContainerStatuses" if _initialising(pod) else "containerStatuses"
    statuses = _statuses(pod, which)
    count = sum(each.get("restartCount", 0) for each in statuses)
    ends = [((each.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for each in statuses]
    last = max(filter(None, ends), default=None)
    return f"{count} ({age_of(last, now)} ago)" if count and last else str(count)


def _gates(pod: Manifest, _: datetime) -> object:
    gates = [each["conditionType"] for each in (pod.get("spec") or {}).get("readinessGates") or ()]
    met = sum(_condition(pod, each).get("status") == "True" for each in gates)
    return f"{met}/{len(gates)}" if gates else "<none>"


COLUMNS = (
    shown("Ready", _ready),
    shown("Status", _status),
    shown("Restarts", _restarts),
    AGE,
    wide("IP", field("status.podIP")),
    wide("Node", field("spec.nodeName")),
    wide("Nominated Node", field("status.nominatedNodeName")),
    wide("Readiness Gates", _gates),
)
