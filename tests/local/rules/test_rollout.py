from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from isthmus.api.apps import (
    Deployment,
    DeploymentSpec,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    RollingUpdate,
    Strategy,
)
from isthmus.api.meta import ObjectMeta
from isthmus.local.rules.rollout import DESIRED_REPLICAS, Bounds, bounds, is_rolled_out, sizes, template_hash

START = datetime(2030, 1, 1, tzinfo=UTC)


def deployment(
    replicas: int | None = 4,
    *,
    surge: int | str | None = None,
    unavailable: int | str | None = None,
    kind: str = "RollingUpdate",
    paused: bool = False,
) -> Deployment:
    rolling = RollingUpdate(max_surge=surge, max_unavailable=unavailable)
    return Deployment(
        metadata=ObjectMeta(name="web"),
        spec=DeploymentSpec(replicas=replicas, strategy=Strategy(type=kind, rolling_update=rolling), paused=paused),
    )


def replica_set(
    name: str, size: int, available: int | None = None, *, age: int = 0, sized_for: int | None = None, going: int = 0
) -> ReplicaSet:
    marks = {} if sized_for is None else {DESIRED_REPLICAS: str(sized_for)}
    there = size if available is None else available
    return ReplicaSet(
        metadata=ObjectMeta(name=name, creation_timestamp=START - timedelta(hours=age), annotations=marks),
        spec=ReplicaSetSpec(replicas=size),
        status=ReplicaSetStatus(replicas=size, available_replicas=there, terminating_replicas=going),
    )


@pytest.mark.parametrize(
    ("wanted", "want"),
    [
        pytest.param(deployment(4), Bounds(1, 1), id="a quarter each"),
        pytest.param(deployment(10), Bounds(3, 2), id="surge is rounded up, unavailable down"),
        pytest.param(deployment(4, surge=2, unavailable=0), Bounds(2, 0), id="numbers"),
        pytest.param(deployment(4, surge="50%", unavailable="0%"), Bounds(2, 0), id="shares"),
        pytest.param(deployment(4, surge=0, unavailable=0), Bounds(0, 1), id="both none would stand still"),
        pytest.param(deployment(1, surge="0%", unavailable="10%"), Bounds(0, 1), id="rounded to none is no better"),
        pytest.param(deployment(2, unavailable=9), Bounds(1, 2), id="not more unavailable than there are"),
        pytest.param(deployment(kind="Recreate"), Bounds(0, 0), id="Recreate has none"),
    ],
)
def test_surge_and_unavailability_have_bounds(wanted: Deployment, want: Bounds) -> None:
    assert bounds(wanted) == want


@pytest.mark.parametrize(
    ("wanted", "current", "old", "want"),
    [
        pytest.param(
            deployment(4), replica_set("new", 0), [replica_set("old", 4)], {"new": 1, "old": 4}, id="first the surge"
        ),
        pytest.param(
            deployment(4),
            replica_set("new", 1, 0),
            [replica_set("old", 4)],
            {"new": 1, "old": 3},
            id="then an old one, as far as enough are available",
        ),
        pytest.param(
            deployment(4),
            replica_set("new", 2, 0),
            [replica_set("old", 3)],
            {"new": 2, "old": 3},
            id="none more while the new ones are not available",
        ),
        pytest.param(
            deployment(4),
            replica_set("new", 1, 0),
            [replica_set("sick", 4, 1)],
            {"new": 1, "sick": 3},
            id="old ones that are not available go first",
        ),
        pytest.param(
            deployment(4),
            replica_set("new", 4),
            [replica_set("old", 1), replica_set("older", 1, age=5)],
            {"new": 4, "old": 0, "older": 0},
            id="all old ones when all new ones are available",
        ),
        pytest.param(
            deployment(4, unavailable=0),
            replica_set("new", 3),
            [replica_set("old", 1), replica_set("older", 1, age=5)],
            {"new": 3, "old": 1, "older": 0},
            id="the oldest set shrinks first",
        ),
        pytest.param(
            deployment(2), replica_set("new", 5, sized_for=5), [], {"new": 2}, id="scaled down"
        ),
        pytest.param(deployment(7), replica_set("new", 5, sized_for=5), [], {"new": 7}, id="scaled up"),
        pytest.param(deployment(0), replica_set("new", 5, sized_for=5), [], {"new": 0}, id="scaled to nothing"),
        pytest.param(
            deployment(20, surge=0, unavailable=5),
            replica_set("new", 4, 0, sized_for=10),
            [replica_set("old", 6, sized_for=10)],
            {"new": 8, "old": 12},
            id="scaled in the middle of a rollout: in proportion",
        ),
        pytest.param(
            deployment(4, paused=True), replica_set("new", 1, sized_for=4), [replica_set("old", 3, sized_for=4)],
            {"new": 1, "old": 3}, id="paused"
        ),
        pytest.param(
            deployment(8, surge=0, unavailable=2, paused=True),
            None,
            [replica_set("old", 4, sized_for=4)],
            {"old": 8},
            id="paused, but scaled",
        ),
        pytest.param(
            deployment(3, kind="Recreate"), replica_set("new", 0), [replica_set("old", 3)], {"new": 0, "old": 0},
            id="Recreate ends all old ones first",
        ),
        pytest.param(
            deployment(3, kind="Recreate"),
            replica_set("new", 0),
            [replica_set("old", 0, going=1)],
            {"new": 0, "old": 0},
            id="Recreate waits for the last of them",
        ),
        pytest.param(
            deployment(3, kind="Recreate"), replica_set("new", 0), [replica_set("old", 0)], {"new": 3, "old": 0},
            id="Recreate then makes the new ones",
        ),
    ],
)  # fmt: skip
def test_the_next_step(
    wanted: Deployment, current: ReplicaSet | None, old: list[ReplicaSet], want: dict[str, int]
) -> None:
    assert sizes(wanted, current, old) == want


@pytest.mark.parametrize("replicas", [1, 2, 5, 10])
@pytest.mark.parametrize(
    ("surge", "unavailable"), [(None, None), (0, 1), (1, 0), ("100%", "100%"), ("0%", "0%"), (3, 2), ("30%", 0)]
)
@pytest.mark.parametrize("patience", [1, 3])
def test_a_rolling_update_ends_and_never_leaves_its_bounds(
    replicas: int, surge: int | str | None, unavailable: int | str | None, patience: int
) -> None:
    wanted = deployment(replicas, surge=surge, unavailable=unavailable)
    allowed = bounds(wanted)
    current, old = replica_set("new", 0, sized_for=replicas), replica_set("old", replicas, sized_for=replicas)
    for turn in range(500):
        if is_rolled_out(wanted, current, [old]) and current.status.available_replicas == replicas:
            return
        size = sizes(wanted, current, [old])
        assert sum(size.values()) <= replicas + allowed.surge
        # One new pod becomes available in every `patience` turns; old ones are, until they go.
        new_available = min(size["new"], current.status.available_replicas + (turn % patience == 0))
        assert new_available + size["old"] >= replicas - allowed.unavailable
        current = resized(current, size["new"], new_available)
        old = resized(old, size["old"], size["old"])
    pytest.fail("it did not end")


def resized(each: ReplicaSet, size: int, available: int) -> ReplicaSet:
    return msgspec.structs.replace(
        each,
        spec=ReplicaSetSpec(replicas=size),
        status=ReplicaSetStatus(replicas=size, available_replicas=available),
    )


def test_a_template_has_one_name() -> None:
    template = {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "c"}]}}
    turned = {"spec": {"containers": [{"name": "c"}]}, "metadata": {"labels": {"a": "1"}}}
    assert template_hash(template, None) == template_hash(turned, 0)
    assert template_hash(template, None) != template_hash(template, 1)
    assert template_hash(template, None) != template_hash({**template, "spec": {}}, None)
    assert len(template_hash(template, None)) == 10
