"""Server-side apply: who owns a field keeps it, shares it, fights for it or lets it go (KEP-555)."""

from datetime import UTC, datetime, timedelta

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.builtin import builtin_schema
from isthmus.apiserver.managedfields import Writer, apply, track
from isthmus.errors import Conflict, Refused

DEPLOYMENT = builtin_schema("apps", "v1", "Deployment")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def deployment(**spec: object) -> Manifest:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": spec}


def applied(
    live: Manifest | None, obj: Manifest, manager: str, *, force: bool = False, now: datetime = NOW
) -> Manifest:
    return apply(live, obj, DEPLOYMENT, Writer(manager, now, force=force))


def updated(live: Manifest | None, obj: Manifest, manager: str, now: datetime = NOW) -> Manifest:
    return track(live, obj, DEPLOYMENT, Writer(manager, now))


def owners(obj: Manifest) -> dict[str, Manifest]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ())}


def test_an_apply_on_nothing_makes_the_object() -> None:
    made = applied(None, deployment(replicas=1), "a")
    assert made["spec"]["replicas"] == 1
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "a",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": "2030-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
    ]


def test_nobody_owns_identity_or_what_the_server_writes() -> None:
    named = {**deployment(replicas=1), "metadata": {"name": "x", "namespace": "n", "uid": "u", "generation": 1}}
    assert owners(updated(None, named, "a")) == {"a": {"f:spec": {"f:replicas": {}}}}
    assert owners(applied(None, named, "a")) == {"a": {"f:spec": {"f:replicas": {}}}}


def test_a_field_goes_when_its_only_applier_leaves_it_out() -> None:
    live = applied(None, deployment(replicas=1, minReadySeconds=5), "a")
    live = applied(live, deployment(minReadySeconds=5), "a")
    assert live["spec"].get("replicas") is None
    assert owners(live) == {"a": {"f:spec": {"f:minReadySeconds": {}}}}


def test_a_shared_field_stays_until_the_last_owner_leaves_it_out() -> None:
    live = applied(None, deployment(replicas=1), "a")
    live = applied(live, deployment(replicas=1), "b")
    live = applied(live, deployment(), "a")
    assert live["spec"]["replicas"] == 1
    live = applied(live, deployment(), "b")
    assert live["spec"].get("replicas") is None


def test_a_conflict_names_manager_and_field_and_changes_nothing() -> None:
    live = updated(None, deployment(replicas=1), "kubectl")
    with pytest.raises(Conflict) as conflict:
        applied(live, deployment(replicas=2), "b")
    assert conflict.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas'
    )
    assert conflict.value.details["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl" using apps/v1',
            "field": ".spec.replicas",
        }
    ]


def test_several_conflicts_are_listed_by_manager() -> None:
    live = applied(None, deployment(replicas=1, paused=True), "a")
    live = applied(live, deployment(minReadySeconds=1), "b")
    with pytest.raises(Conflict) as conflict:
        applied(live, deployment(replicas=2, paused=False, minReadySeconds=2), "c")
    assert conflict.value.message == (
        'Apply failed with 3 conflicts: conflicts with "a":\n- .spec.paused\n- .spec.replicas\n'
        'conflicts with "b":\n- .spec.minReadySeconds'
    )


def test_force_takes_the_field() -> None:
    live = applied(None, deployment(replicas=1, paused=True), "a")
    live = applied(live, deployment(replicas=2), "b", force=True)
    assert live["spec"]["replicas"] == 2
    assert owners(live) == {"a": {"f:spec": {"f:paused": {}}}, "b": {"f:spec": {"f:replicas": {}}}}


def test_who_loses_every_field_is_no_longer_listed() -> None:
    live = applied(None, deployment(replicas=1), "a")
    live = applied(live, deployment(replicas=2), "b", force=True)
    assert owners(live).keys() == {"b"}


def test_an_apply_that_changes_nothing_keeps_its_time() -> None:
    live = applied(None, deployment(replicas=1), "a")
    assert applied(live, deployment(replicas=1), "a", now=LATER) == live


def test_an_update_owns_what_it_changed_and_only_that() -> None:
    live = applied(None, deployment(replicas=1, paused=True), "a")
    live = updated(live, {**live, "spec": {**live["spec"], "replicas": 3}}, "scaler", LATER)
    assert owners(live) == {"a": {"f:spec": {"f:paused": {}}}, "scaler": {"f:spec": {"f:replicas": {}}}}
    assert [entry["time"] for entry in live["metadata"]["managedFields"]] == [
        "2030-01-01T00:00:00Z",
        "2030-01-01T01:00:00Z",
    ]


def test_an_update_that_changes_nothing_leaves_no_trace() -> None:
    live = updated(None, deployment(replicas=1), "a")
    assert updated(live, live, "b", LATER) == live


def test_an_update_without_managed_fields_keeps_those_of_the_live_object() -> None:
    live = updated(None, deployment(replicas=1), "a")
    sent = {**live, "metadata": {"name": "x"}}
    assert owners(updated(live, sent, "a")) == owners(live)


@pytest.mark.parametrize("reset", [[], [{}]])
def test_an_empty_list_forgets_all_owners_until_the_next_apply(reset: list[Manifest]) -> None:
    live = updated(None, deployment(replicas=1), "a")
    live = updated(live, {**live, "metadata": {"name": "x", "managedFields": reset}}, "b")
    assert owners(live) == {}
    live = updated(live, {**live, "spec": {"replicas": 2}}, "b")
    assert owners(live) == {}
    with pytest.raises(Conflict) as conflict:
        applied(live, deployment(replicas=3), "c")
    assert 'conflict with "before-first-apply" using apps/v1' in conflict.value.message


def test_a_status_is_booked_under_its_subresource() -> None:
    live = updated(None, {**deployment(replicas=1), "status": {}}, "a")
    changed = {**live, "status": {"replicas": 1}, "spec": {"replicas": 9}}
    live = track(live, changed, DEPLOYMENT, Writer("controller", NOW, subresource="status"))
    entry = live["metadata"]["managedFields"][1]
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {"f:replicas": {}}})


def test_a_status_sent_to_the_object_itself_is_owned_by_nobody() -> None:
    made = applied(None, {**deployment(replicas=1), "status": {"replicas": 4}}, "a")
    assert owners(made) == {"a": {"f:spec": {"f:replicas": {}}}}


def test_containers_are_shared_by_name() -> None:
    def with_containers(*containers: Manifest) -> Manifest:
        return deployment(template={"spec": {"containers": list(containers)}})

    live = applied(None, with_containers({"name": "main", "image": "m:1"}), "a")
    live = applied(live, with_containers({"name": "side", "image": "s:1"}), "injector")
    live = applied(live, with_containers({"name": "main", "image": "m:2"}), "a")
    containers = live["spec"]["template"]["spec"]["containers"]
    assert [(each["name"], each["image"]) for each in containers] == [("main", "m:2"), ("side", "s:1")]
    live = applied(live, deployment(), "injector")
    assert [each["name"] for each in live["spec"]["template"]["spec"]["containers"]] == ["main"]


def test_at_most_ten_updaters_are_listed() -> None:
    live = updated(None, deployment(replicas=0), "m00")
    for number in range(1, 16):
        changed = {**live, "metadata": {**live["metadata"], "annotations": {f"k{number}": "v"}}}
        changed["metadata"]["annotations"] |= live["metadata"].get("annotations", {})
        live = updated(live, changed, f"m{number:02}", NOW + timedelta(minutes=number))
    assert len(owners(live)) == 10
    assert "f:k1" in owners(live)["ancient-changes"]["f:metadata"]["f:annotations"]


def test_an_unknown_schema_is_deduced() -> None:
    obj: Manifest = {"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "x"}, "a": {"b": [1], "c": {}}}
    made = apply(None, obj, None, Writer("a", NOW))
    assert owners(made) == {"a": {"f:a": {".": {}, "f:b": {}, "f:c": {}}}}


def test_an_apply_may_not_bring_managed_fields() -> None:
    with pytest.raises(Refused) as refusal:
        applied(None, {**deployment(), "metadata": {"name": "x", "managedFields": []}}, "a")
    assert (refusal.value.code, refusal.value.message) == (400, "metadata.managedFields must be nil")


def test_what_cannot_be_typed_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        applied(None, deployment(foo=1), "a")
    assert refusal.value.message == (
        "failed to create typed patch object (/x; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema"
    )


def test_managed_fields_that_make_no_sense_count_as_none() -> None:
    live = updated(None, deployment(replicas=1), "a")
    broken = {**live, "metadata": {"name": "x", "managedFields": [{"operation": "Foo", "fieldsV1": {"bad": 1}}]}}
    assert owners(updated(live, broken, "b")) == owners(live)
