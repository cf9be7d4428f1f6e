from datetime import UTC, datetime, timedelta

import msgspec

from isthmus.api.apps import (
    Deployment,
    DeploymentSpec,
    LabelSelector,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    Strategy,
)
from isthmus.api.meta import ObjectMeta
from isthmus.local.rules.revisions import History, annotations, history, new_replica_set, next_revision, too_old
from isthmus.local.rules.rollout import HASH_LABEL, REVISION, template_hash

START = datetime(2030, 1, 1, tzinfo=UTC)
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
WEB = Deployment(
    metadata=ObjectMeta(
        name="web",
        namespace="prod",
        uid="d-1",
        annotations={
            "kubernetes.io/change-cause": "why not",
            REVISION: "7",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
    ),
    spec=DeploymentSpec(replicas=3, selector=LabelSelector(match_labels={"app": "web"}), template=TEMPLATE),
)


def replica_set(number: int, *, mark: str = "other", size: int = 0) -> ReplicaSet:
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"web-{number}",
            labels={HASH_LABEL: mark},
            annotations={REVISION: str(number)},
            creation_timestamp=START + timedelta(hours=number),
        ),
        spec=ReplicaSetSpec(replicas=size),
        status=ReplicaSetStatus(replicas=size, available_replicas=size),
    )


def test_the_current_one_carries_the_hash_of_the_template() -> None:
    current = replica_set(1, mark=template_hash(TEMPLATE, None))
    known = history(WEB, [replica_set(2), current, replica_set(3)])
    assert known.current is current
    assert [each.metadata.name for each in known.old] == ["web-2", "web-3"]


def test_revisions_grow() -> None:
    assert next_revision(History(None, ())) == 1
    assert next_revision(History(None, (replica_set(1), replica_set(4)))) == 5
    assert next_revision(History(replica_set(5), (replica_set(4),))) == 5


def test_an_old_template_that_comes_back_is_the_newest_revision() -> None:
    assert next_revision(History(replica_set(2), (replica_set(5),))) == 6


def test_a_new_replica_set_differs_from_the_template_in_one_label() -> None:
    made = new_replica_set(WEB, History(None, (replica_set(4),)))
    mark = template_hash(TEMPLATE, None)
    assert made["metadata"]["name"] == f"web-{mark}"
    assert made["spec"]["selector"] == {"matchLabels": {"app": "web", HASH_LABEL: mark}}
    assert made["spec"]["template"] == {
        "metadata": {"labels": {"app": "web", HASH_LABEL: mark}},
        "spec": TEMPLATE["spec"],
    }
    assert TEMPLATE["metadata"] == {"labels": {"app": "web"}}
    assert made["metadata"]["annotations"][REVISION] == "5"


def test_it_begins_with_as_many_pods_as_the_bounds_allow() -> None:
    def first(old: int, kind: str = "RollingUpdate") -> object:
        spec = msgspec.structs.replace(WEB.spec, strategy=Strategy(type=kind))
        each = msgspec.structs.replace(WEB, spec=spec)
        return new_replica_set(each, History(None, (replica_set(1, size=old),)))["spec"]["replicas"]

    assert [first(0), first(3), first(4)] == [3, 1, 0]
    assert [first(0, "Recreate"), first(3, "Recreate")] == [3, 0]


def test_annotations_are_handed_on_except_those_that_are_the_deployments_own() -> None:
    found = annotations(WEB, 8)
    assert found["kubernetes.io/change-cause"] == "why not"
    assert found[REVISION] == "8"
    assert found["deployment.kubernetes.io/desired-replicas"] == "3"
    assert found["deployment.kubernetes.io/max-replicas"] == "4"
    assert "kubectl.kubernetes.io/last-applied-configuration" not in found


def test_history_is_kept_up_to_its_limit_and_only_pruned_when_the_rollout_is_over() -> None:
    limited = msgspec.structs.replace(WEB, spec=msgspec.structs.replace(WEB.spec, revision_history_limit=2))
    old = tuple(replica_set(number) for number in (3, 1, 2, 4))
    done = History(replica_set(5, size=3), old)
    assert [each.metadata.name for each in too_old(limited, done)] == ["web-1", "web-2"]
    assert too_old(limited, History(replica_set(5, size=2), old)) == ()
    assert too_old(WEB, done) == ()
