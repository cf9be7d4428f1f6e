from datetime import UTC, datetime

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.podcolumns import COLUMNS

NOW = datetime(2030, 1, 1, tzinfo=UTC)
RUNNING: Manifest = {"running": {"startedAt": "2029-12-31T00:00:00Z"}}


def container(name: str, state: Manifest, *, ready: bool = False, restarts: int = 0, **more: object) -> Manifest:
    return {"name": name, "state": state, "ready": ready, "restartCount": restarts, **more}


def waiting(reason: str) -> Manifest:
    return {"waiting": {"reason": reason}}


def ended(code: int, **more: object) -> Manifest:
    return {"terminated": {"exitCode": code, **more}}


def pod(status: Manifest, **spec: object) -> Manifest:
    return {
        "metadata": {"name": "p", "creationTimestamp": "2029-12-31T23:00:00Z"},
        "spec": {"containers": [{"name": "c"}, {"name": "d"}], **spec},
        "status": status,
    }


def cells(obj: Manifest) -> list[object]:
    return [cell(obj, NOW) for _, cell in COLUMNS[:3]]


INIT = {"initContainers": [{"name": "i"}]}
BOTH = [container("c", RUNNING, ready=True), container("d", RUNNING, ready=True)]


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        pytest.param(pod({"phase": "Pending"}), ["0/2", "Pending", "0"], id="not on a node"),
        pytest.param(
            pod({"phase": "Pending", "containerStatuses": [container("c", waiting("ContainerCreating"))]}),
            ["0/2", "ContainerCreating", "0"],
            id="containers are made",
        ),
        pytest.param(
            pod({"phase": "Pending", "initContainerStatuses": [container("i", waiting("PodInitializing"))]}, **INIT),
            ["0/2", "Init:0/1", "0"],
            id="initialising",
        ),
        pytest.param(
            pod(
                {
                    "phase": "Pending",
                    "initContainerStatuses": [container("i", waiting("CrashLoopBackOff"), restarts=3)],
                },
                **INIT,
            ),
            ["0/2", "Init:CrashLoopBackOff", "3"],
            id="initialising fails",
        ),
        pytest.param(
            pod({"phase": "Pending", "initContainerStatuses": [container("i", ended(3))]}, **INIT),
            ["0/2", "Init:ExitCode:3", "0"],
            id="initialising failed",
        ),
        pytest.param(pod({"phase": "Running", "containerStatuses": BOTH}), ["2/2", "Running", "0"], id="well"),
        pytest.param(
            pod({"phase": "Running", "containerStatuses": [BOTH[0], container("d", ended(0, reason="Completed"))]}),
            ["1/2", "NotReady", "0"],
            id="one is done",
        ),
        pytest.param(
            pod({"phase": "Failed", "containerStatuses": [container("c", ended(0, signal=9))]}),
            ["0/2", "Signal:9", "0"],
            id="killed",
        ),
        pytest.param(
            pod(
                {
                    "phase": "Running",
                    "containerStatuses": [
                        BOTH[0],
                        container("d", RUNNING, restarts=2, lastState=ended(1, finishedAt="2029-12-31T23:55:00Z")),
                    ],
                }
            ),
            ["1/2", "Running", "2 (5m ago)"],
            id="restarted",
        ),
        pytest.param(pod({"phase": "Failed", "reason": "Evicted"}), ["0/2", "Evicted", "0"], id="evicted"),
    ],
)
def test_a_pod_in_one_line(obj: Manifest, told: list[object]) -> None:
    assert cells(obj) == told


def test_a_pod_that_is_being_deleted_says_so() -> None:
    obj = pod({"phase": "Running", "containerStatuses": BOTH})
    obj["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:30Z"
    assert cells(obj)[1] == "Terminating"
