"""A pod's status, from what its containers do."""

from datetime import UTC, datetime, timedelta

import pytest

from isthmus.api.scheme import Manifest
from isthmus.local.node.states import (
    INITIALIZING,
    ContainerState,
    Ended,
    PodState,
    Running,
    State,
    Waiting,
    phase,
    qos_class,
    status,
)
from tests.local.node.pods import pod

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
POD = pod()
MAIN = POD.spec.containers[0]
UP = Running(NOW)
GOOD, BAD = Ended(0, NOW, NOW), Ended(1, NOW, NOW)
BACKING_OFF = Waiting("CrashLoopBackOff")


def state(*states: State, **more: object) -> PodState:
    containers = [ContainerState(MAIN, each, last=BAD if each is BACKING_OFF else None) for each in states]
    return PodState(containers=containers, **({"initialized": True} | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("of", "policy", "want"),
    [
        pytest.param(state(Waiting("ContainerCreating")), "Always", "Pending", id="nothing runs yet"),
        pytest.param(state(UP, Waiting("ContainerCreating")), "Always", "Running", id="one runs"),
        pytest.param(state(BACKING_OFF), "Always", "Running", id="one ran and will run again"),
        pytest.param(state(GOOD), "Always", "Running", id="ended, but always started again"),
        pytest.param(state(GOOD, GOOD), "OnFailure", "Succeeded", id="all ended well"),
        pytest.param(state(GOOD, BAD), "Never", "Failed", id="one failed, for good"),
        pytest.param(state(GOOD, BAD), "OnFailure", "Running", id="one failed, and is started again"),
        pytest.param(state(GOOD, UP), "Never", "Running", id="one ended, one runs"),
        pytest.param(state(GOOD, init=[ContainerState(MAIN, UP)]), "Never", "Running", id="its sidecar still runs"),
        pytest.param(state(UP, phase="Failed"), "Always", "Running", id="its deadline is over, but it still runs"),
        pytest.param(state(BAD, phase="Failed"), "Always", "Failed", id="its deadline is over"),
        pytest.param(state(INITIALIZING, initialized=False), "Always", "Pending", id="init containers run"),
        pytest.param(
            state(INITIALIZING, initialized=False, init=[ContainerState(MAIN, BAD)]),
            "Never",
            "Failed",
            id="an init container failed",
        ),
        pytest.param(
            state(INITIALIZING, initialized=False, init=[ContainerState(MAIN, BAD)]),
            "Always",
            "Pending",
            id="and is tried again",
        ),
    ],
)
def test_the_phase_follows_the_containers(of: PodState, policy: str, want: str) -> None:
    assert phase(of, policy) == want


def conditions(of: PodState, seen: Manifest | None = None, now: datetime = NOW) -> dict[str, Manifest]:
    found = status(POD, of, seen or {}, ("10.0.0.1", "fd69::1"), now)
    return {each["type"]: each for each in found["conditions"]}


def test_conditions_keep_their_time_while_they_stay_and_others_keep_theirs() -> None:
    before = status(POD, state(UP), {}, ("10.0.0.1",), NOW)
    before["conditions"].append({"type": "example.com/mine", "status": "True"})
    of = state(UP)
    of.containers[0].ready = True
    after = conditions(of, before, LATER)
    assert after["PodScheduled"]["lastTransitionTime"] == "2030-01-01T00:00:00Z"
    assert after["Ready"] == {
        "type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": "2030-01-01T01:00:00Z"
    }  # fmt: skip
    assert after["example.com/mine"]["status"] == "True"


def test_why_a_pod_is_not_ready() -> None:
    assert conditions(state(UP))["Ready"]["reason"] == "ContainersNotReady"
    assert conditions(state(UP))["ContainersReady"]["message"] == "containers with unready status: [main]"
    assert conditions(state(GOOD, phase="Succeeded"))["Ready"]["reason"] == "PodCompleted"
    assert conditions(state(INITIALIZING, initialized=False))["Initialized"]["reason"] == "ContainersNotInitialized"


def test_why_a_pod_failed_is_told_once_it_has() -> None:
    late = {"phase": "Failed", "reason": "DeadlineExceeded", "message": "too late"}
    runs = status(POD, state(UP, **late), {}, ("10.0.0.1",), NOW)
    over = status(POD, state(BAD, **late), {}, ("10.0.0.1",), NOW)
    assert (runs["phase"], runs["reason"], runs["message"]) == ("Running", None, None)
    assert (over["phase"], over["reason"], over["message"]) == ("Failed", "DeadlineExceeded", "too late")


def test_a_container_tells_what_it_is_and_what_it_was() -> None:
    now = ContainerState(
        MAIN, UP, last=Ended(137, NOW, LATER, "oops"), restarts=2, ready=True, started=True, identity="x"
    )
    (told,) = status(POD, PodState(containers=[now]), {}, ("10.0.0.1",), NOW)["containerStatuses"]
    assert told["state"] == {"running": {"startedAt": "2030-01-01T00:00:00Z"}}
    assert told["lastState"]["terminated"]["exitCode"] == 137
    assert told["lastState"]["terminated"]["reason"] == "Error"
    assert told["lastState"]["terminated"]["message"] == "oops"
    assert (told["restartCount"], told["ready"], told["started"]) == (2, True, True)


@pytest.mark.parametrize(
    ("resources", "want"),
    [
        pytest.param({}, "BestEffort", id="nothing asked"),
        pytest.param({"requests": {"cpu": "1"}}, "Burstable", id="something asked"),
        pytest.param({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed", id="limits are requests"),
        pytest.param(
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
            "Burstable",
            id="less than the limit",
        ),
    ],
)
def test_quality_of_service(resources: Manifest, want: str) -> None:
    assert qos_class(pod({"containers": [{"name": "main", "resources": resources}]}).spec) == want
