import msgspec

from isthmus.api.apps import ControllerRevision, LabelSelector, StatefulSet, StatefulSetSpec
from isthmus.api.meta import ObjectMeta
from isthmus.local.rules.statefulset import revision_name
from isthmus.local.rules.statefulset_history import outdated_revisions, wanted_revision

DB = StatefulSet(
    metadata=ObjectMeta(name="db", namespace="prod", uid="s-1"),
    spec=StatefulSetSpec(
        selector=LabelSelector(match_labels={"app": "db"}), template={"spec": {"a": 1}}, revision_history_limit=1
    ),
)


def kept(name: str, number: int) -> ControllerRevision:
    return ControllerRevision(metadata=ObjectMeta(name=name), revision=number)


def test_a_revision_is_a_patch_that_brings_its_template_back() -> None:
    made = wanted_revision(DB, [])
    assert made["data"] == {"spec": {"template": {"spec": {"a": 1}, "$patch": "replace"}}}
    assert (made["metadata"]["name"], made["revision"]) == (revision_name(DB), 1)


def test_revisions_grow_and_one_that_comes_back_is_the_newest() -> None:
    assert wanted_revision(DB, [kept("db-x", 4)])["revision"] == 5
    own = revision_name(DB)
    assert wanted_revision(DB, [kept("db-x", 4), kept(own, 5)])["revision"] == 5
    assert wanted_revision(DB, [kept("db-x", 4), kept(own, 2)])["revision"] == 5


def test_old_ones_go_except_those_in_use() -> None:
    seen = [kept("db-c", 3), kept("db-a", 1), kept("db-b", 2), kept(revision_name(DB), 4)]
    assert [each.metadata.name for each in outdated_revisions(DB, seen)] == ["db-a", "db-b"]
    status = msgspec.structs.replace(DB.status, current_revision="db-a")
    rolling = msgspec.structs.replace(DB, status=status)
    assert [each.metadata.name for each in outdated_revisions(rolling, seen)] == ["db-b"]
