from datetime import UTC, datetime

import msgspec
import pytest

from isthmus.api.apps import (
    ControllerRevision,
    Pod,
    PodStatus,
    RollingUpdate,
    StatefulSet,
    StatefulSetSpec,
    StatefulSetStatus,
    Strategy,
    WorkloadCondition,
)
from isthmus.api.meta import ObjectMeta
from isthmus.local.rules.statefulset import (
    REVISION_LABEL,
    new_pod,
    ordinal,
    revision_name,
    stateful_set_status,
    step,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DB = StatefulSet(
    metadata=ObjectMeta(name="db", namespace="prod", uid="s-1", generation=2),
    spec=StatefulSetSpec(replicas=3, service_name="data", template={"metadata": {"labels": {"app": "db"}}, "spec": {}}),
)


def having(**spec: object) -> StatefulSet:
    return msgspec.structs.replace(DB, spec=msgspec.structs.replace(DB.spec, **spec))


PARALLEL = having(pod_management_policy="Parallel")


def pod(number: int, *, ready: bool = True, going: bool = False, old: bool = False, phase: str = "Running") -> Pod:
    revision = "db-old" if old else revision_name(DB)
    return Pod(
        metadata=ObjectMeta(
            name=f"db-{number}", labels={REVISION_LABEL: revision}, deletion_timestamp=NOW if going else None
        ),
        status=PodStatus(
            phase=phase, conditions=(WorkloadCondition(type="Ready", status="True" if ready else "False"),)
        ),
    )


@pytest.mark.parametrize(
    ("wanted", "pods", "create", "delete"),
    [
        pytest.param(DB, [], [0], [], id="the first one first"),
        pytest.param(DB, [pod(0, ready=False)], [], [], id="the next waits until it is ready"),
        pytest.param(DB, [pod(0)], [1], [], id="then the next"),
        pytest.param(DB, [pod(0), pod(2)], [1], [], id="a gap is filled"),
        pytest.param(DB, [pod(0), pod(1), pod(2)], [], [], id="all there"),
        pytest.param(DB, [pod(0), pod(1), pod(2), pod(3), pod(4)], [], [4], id="too many: the last one goes"),
        pytest.param(DB, [pod(0), pod(1), pod(2), pod(3), pod(4, going=True)], [], [], id="one after the other"),
        pytest.param(DB, [pod(0), pod(1, going=True), pod(2)], [], [], id="one that goes is waited for"),
        pytest.param(DB, [pod(0), pod(1, phase="Failed"), pod(2)], [], [1], id="one that failed is made anew"),
        pytest.param(
            DB, [pod(0, old=True), pod(1, old=True), pod(2, old=True)], [], [2], id="an update begins at the end"
        ),
        pytest.param(DB, [pod(0, old=True), pod(1, old=True), pod(2)], [], [1], id="and goes on to the first"),
        pytest.param(
            DB, [pod(0, old=True), pod(1, old=True), pod(2, ready=False)], [], [], id="when the one before is ready"
        ),
        pytest.param(
            DB, [pod(0, old=True, ready=False)], [], [0], id="an old one that is not well does not block its cure"
        ),
        pytest.param(
            having(update_strategy=Strategy(rolling_update=RollingUpdate(partition=2))),
            [pod(0, old=True), pod(1, old=True), pod(2)],
            [],
            [],
            id="below the partition pods stay as they are",
        ),
        pytest.param(
            having(update_strategy=Strategy(type="OnDelete")),
            [pod(0, old=True), pod(1, old=True), pod(2, old=True)],
            [],
            [],
            id="OnDelete updates nothing by itself",
        ),
        pytest.param(PARALLEL, [], [0, 1, 2], [], id="Parallel makes all at once"),
        pytest.param(PARALLEL, [pod(n) for n in range(5)], [], [4, 3], id="Parallel ends all at once"),
        pytest.param(
            PARALLEL, [pod(0, old=True), pod(1, old=True), pod(2, old=True)], [], [2], id="Parallel updates one by one"
        ),
        pytest.param(
            msgspec.structs.replace(DB, metadata=ObjectMeta(name="db", deletion_timestamp=NOW)), [], [], [], id="going"
        ),
    ],
)
def test_pods_are_made_and_deleted_in_order(
    wanted: StatefulSet, pods: list[Pod], create: list[int], delete: list[int]
) -> None:
    found = step(wanted, pods, now=NOW)
    assert list(found.create) == create
    assert [each.metadata.name for each in found.delete] == [f"db-{number}" for number in delete]


@pytest.mark.parametrize(
    ("name", "want"), [("db-0", 0), ("db-12", 12), ("db-x", None), ("other-1", None), ("db", None)]
)
def test_an_ordinal_is_read_from_the_name(name: str, want: int | None) -> None:
    assert ordinal(DB, Pod(metadata=ObjectMeta(name=name))) == want


def test_a_pod_has_a_stable_name_below_its_service() -> None:
    made = new_pod(DB, 2)
    assert made["metadata"]["name"] == "db-2"
    assert made["spec"] == {"hostname": "db-2", "subdomain": "data"}
    assert made["metadata"]["labels"] == {
        "app": "db",
        REVISION_LABEL: revision_name(DB),
        "statefulset.kubernetes.io/pod-name": "db-2",
        "apps.kubernetes.io/pod-index": "2",
    }


def test_below_the_partition_a_pod_is_made_of_the_template_before() -> None:
    before = {"metadata": {"labels": {"app": "db"}}, "spec": {"old": True}, "$patch": "replace"}
    kept = ControllerRevision(metadata=ObjectMeta(name="db-old"), data={"spec": {"template": before}})
    rolling = msgspec.structs.replace(
        having(update_strategy=Strategy(rolling_update=RollingUpdate(partition=2))),
        status=StatefulSetStatus(current_revision="db-old"),
    )
    old, new = new_pod(rolling, 1, [kept]), new_pod(rolling, 2, [kept])
    assert (old["spec"].get("old"), old["metadata"]["labels"][REVISION_LABEL]) == (True, "db-old")
    assert (new["spec"].get("old"), new["metadata"]["labels"][REVISION_LABEL]) == (None, revision_name(rolling))


def test_the_status_counts_pods_and_names_revisions() -> None:
    rolling = msgspec.structs.replace(DB, status=StatefulSetStatus(current_revision="db-old"))
    status = stateful_set_status(rolling, [pod(0, old=True), pod(1, ready=False), pod(2)], now=NOW)
    assert (status.replicas, status.ready_replicas, status.updated_replicas, status.current_replicas) == (3, 2, 2, 1)
    assert (status.current_revision, status.update_revision) == ("db-old", revision_name(DB))
    done = stateful_set_status(rolling, [pod(0), pod(1), pod(2)], now=NOW)
    assert done.current_revision == done.update_revision
    assert done.current_replicas == 3
