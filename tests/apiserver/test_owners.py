"""managedFields on the wire: entries in order, read back as they were, and never too many."""

import pytest

from isthmus.api.scheme import Manifest
from isthmus.apiserver.owners import Entry, Key, capped, conflict, owners_of, unmanaged, with_owners
from isthmus.errors import Invalid

FIELDS = frozenset({("f:spec", "f:a")})


def key(manager: str, operation: str = "Update", subresource: str = "") -> Key:
    return Key(operation, manager, "" if operation == "Apply" else "v1", subresource)


def entry(time: str = "2030-01-01T00:00:00Z") -> Entry:
    return Entry(FIELDS, "v1", time)


def test_appliers_come_first_then_the_oldest() -> None:
    late, early = "2030-01-02T00:00:00Z", "2030-01-01T00:00:00Z"
    owners = {key("b"): entry(late), key("c"): entry(early), key("a"): entry(late), key("z", "Apply"): entry(late)}
    listed = with_owners({"metadata": {"name": "x"}}, owners)["metadata"]["managedFields"]
    assert [each["manager"] for each in listed] == ["z", "c", "a", "b"]


def test_owners_survive_the_wire() -> None:
    owners = {key("a", "Apply", "status"): entry(), key("b"): entry(), key("b", subresource="status"): entry()}
    assert owners_of(with_owners({}, owners)) == owners


def test_without_owners_there_is_no_list() -> None:
    assert with_owners({"metadata": {"name": "x", "managedFields": []}}, {}) == {"metadata": {"name": "x"}}
    assert unmanaged({"metadata": {"managedFields": [{}]}}) == {"metadata": {}}
    assert owners_of(None) == {}
    assert owners_of({"metadata": {"managedFields": None}}) == {}


GOOD = {"manager": "a", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}


@pytest.mark.parametrize(
    "listed",
    [
        "x",
        ["x"],
        [{}],
        [{**GOOD, "operation": "Foo"}],
        [{**GOOD, "apiVersion": ""}],
        [{**GOOD, "fieldsType": "FieldsV2"}],
        [{**GOOD, "fieldsV1": {"nonsense": {}}}],
        [{**GOOD, "fieldsV1": "x"}],
    ],
)
def test_entries_that_make_no_sense_are_refused(listed: object) -> None:
    obj: Manifest = {"metadata": {"managedFields": listed}}
    with pytest.raises(Invalid):
        owners_of(obj)


def test_the_oldest_updates_are_folded_into_one_entry() -> None:
    owners = {key(f"m{n:02}"): entry(f"2030-01-01T00:00:{n:02}Z") for n in range(12)}
    owners[key("applier", "Apply")] = entry("2029-01-01T00:00:00Z")
    kept = capped(owners)
    assert len(kept) == 11
    assert key("applier", "Apply") in kept
    assert key("ancient-changes") in kept
    assert key("m11") in kept
    assert key("m01") not in kept


def test_conflicts_are_told_by_manager() -> None:
    told = conflict({key("b"): FIELDS, key("a", "Apply", "status"): FIELDS})
    assert told.message == (
        'Apply failed with 2 conflicts: conflicts with "a" with subresource "status":\n- .spec.a\n'
        'conflicts with "b" using v1:\n- .spec.a'
    )
