"""Who a cluster is: which ids and sets are possible, who may join, what a member mirrors."""

import msgspec
import pytest

from isthmus.about.rules.identity import (
    MAX_VALUE,
    Mirror,
    id_problem,
    join_problem,
    mirror,
    properties,
    registered_id_problem,
    set_problem,
    value_problem,
)
from isthmus.api.about import CLUSTER_ID, CLUSTER_SET, ClusterProperty
from isthmus.api.isthmus import Member, MemberSpec
from isthmus.api.meta import ObjectMeta

UID = "0e0f-kube-system"


def member(id_: str = "east", *, set_: str = "demo", uid: str = UID, name: str = "") -> Member:
    return Member(metadata=ObjectMeta(name=name or id_), spec=MemberSpec(id=id_, set=set_, uid=uid))


def values(wanted: tuple[ClusterProperty, ...]) -> list[tuple[str, str]]:
    return [(each.metadata.name, each.spec.value if each.spec else "") for each in wanted]


@pytest.mark.requirement("ABOUT-12", "ABOUT-13", "ABOUT-16", "MCS-3", "MCS-4")
@pytest.mark.parametrize(
    ("id_", "fine"),
    [
        ("east", True),
        ("e", True),
        ("0e0fd6a2-53a6-4c2c-9a4a-2c3c1c6a5b1e", True),
        ("east.aws", True),
        ("x" * 63, True),
        ("x" * 64, False),
        ("x" * 40 + "." + "y" * 40, False),
        ("a.b.c", False),
        ("East", False),
        ("-east", False),
        ("east-", False),
        ("ea_st", False),
        ("east.", False),
        (".", False),
        ("", False),
        ("east\n", False),
    ],
)
def test_which_ids_can_take_part(id_: str, fine: bool) -> None:
    assert (id_problem(id_) == "") == fine


@pytest.mark.parametrize(
    ("id_", "fine"),
    [
        ("east", True),
        ("x" * 50, True),
        ("x" * 51, False),
        ("east.aws", False),
        ("system", False),
        ("members", False),
        ("hub", False),
        pytest.param("join-0123456789", False, id="what accounts of join tokens are called"),
        pytest.param("east-works", False, id="what accounts for Works are called"),
        pytest.param("joiner-workshop", True, id="what only sounds like it"),
    ],
)
def test_which_ids_the_registry_gives(id_: str, fine: bool) -> None:
    assert (registered_id_problem(id_) == "") == fine


@pytest.mark.requirement("ABOUT-28")
@pytest.mark.parametrize(
    ("name", "fine"), [("demo", True), ("x" * 63, True), ("x" * 64, False), ("a.b", False), ("", False)]
)
def test_which_names_a_set_may_have(name: str, fine: bool) -> None:
    assert (set_problem(name) == "") == fine


@pytest.mark.requirement("ABOUT-11", "ABOUT-15", "ABOUT-21", "ABOUT-26", "MCS-6")
def test_a_member_mirrors_its_record_the_id_first() -> None:
    want = [(CLUSTER_ID, "east"), (CLUSTER_SET, "demo")]
    assert values(properties(member())) == want
    assert values(mirror(member(), {}, uid=UID).wanted) == want
    assert values(mirror(member(), dict(want), uid=UID).wanted) == want
    assert values(mirror(member(), dict(want[1:]), uid=UID).wanted) == want
    assert properties(Member(metadata=ObjectMeta(name="east"))) == ()


@pytest.mark.requirement("ABOUT-6")
def test_all_that_a_property_says_is_in_its_spec() -> None:
    assert [each.status for each in properties(member())] == [None, None]


@pytest.mark.requirement("ABOUT-20", "ABOUT-22")
def test_leaving_takes_the_membership_and_spares_the_id() -> None:
    seen = {CLUSTER_ID: "east", CLUSTER_SET: "demo", "other.example.com": "1"}
    assert mirror(None, seen, uid=UID) == Mirror(unwanted=(CLUSTER_SET,))
    assert mirror(None, {CLUSTER_ID: "east"}, uid=UID) == Mirror()


@pytest.mark.requirement("ABOUT-23", "ABOUT-27")
def test_a_move_is_leave_then_join() -> None:
    seen = {CLUSTER_ID: "east", CLUSTER_SET: "demo"}
    moved = mirror(member(set_="other"), seen, uid=UID)
    assert (moved.wanted, moved.unwanted) == ((), ())
    assert "once it has left that" in moved.problem
    assert mirror(None, seen, uid=UID).unwanted == (CLUSTER_SET,)
    joined = mirror(member(set_="other"), {CLUSTER_ID: "east"}, uid=UID)
    assert values(joined.wanted) == [(CLUSTER_ID, "east"), (CLUSTER_SET, "other")]


@pytest.mark.requirement("ABOUT-11", "ABOUT-21")
@pytest.mark.parametrize(
    ("seen", "was_member"),
    [
        pytest.param({CLUSTER_ID: "edited", CLUSTER_SET: "demo"}, False, id="an id, of a cluster known by its UID"),
        pytest.param({CLUSTER_ID: "edited"}, True, id="an id, of a cluster that was here all the time"),
        pytest.param({CLUSTER_ID: "east", CLUSTER_SET: "edited"}, True, id="a set"),
    ],
)
def test_what_others_change_during_a_membership_is_put_back(seen: dict[str, str], was_member: bool) -> None:
    got = mirror(member(), seen, uid=UID, was_member=was_member)
    assert values(got.wanted) == [(CLUSTER_ID, "east"), (CLUSTER_SET, "demo")]
    assert got.problem == ""


@pytest.mark.requirement("ABOUT-4", "ABOUT-5")
def test_no_value_of_ours_is_empty_or_longer_than_allowed() -> None:
    assert value_problem("size.example.com", "") != ""
    assert value_problem("size.example.com", "\N{GRINNING FACE}" * MAX_VALUE) == ""
    assert "128000" in value_problem("size.example.com", "x" * (MAX_VALUE + 1))


@pytest.mark.requirement("ABOUT-10", "ABOUT-15")
def test_an_id_may_be_as_unique_as_the_uid_of_the_cluster() -> None:
    uid = "7b1f0c1e-8a53-4d0e-9c57-3f1d2a6b4c5d"
    assert registered_id_problem(uid) == id_problem(uid) == ""


REFUSED = [
    pytest.param(member(uid="another"), {}, "belongs to another cluster", id="the id is another's"),
    pytest.param(member(), {CLUSTER_ID: "west"}, "is never rewritten", id="it has another id"),
    pytest.param(member("Bad", name="Bad"), {}, "not made of DNS labels", id="a bad id"),
    pytest.param(
        member(set_="Bad"), {}, "cluster set 'Bad'", marks=pytest.mark.requirement("ABOUT-28"), id="a bad set"
    ),
    pytest.param(member("east", name="west"), {}, "spec.id must be its name", id="a record of two minds"),
    pytest.param(Member(metadata=ObjectMeta(name="east")), {}, "does not say who it is", id="an empty record"),
    pytest.param(
        msgspec.structs.replace(member(), metadata=ObjectMeta(name="east", namespace="other")),
        {},
        "stands in the namespace of another",
        id="a record among another set's",
    ),
]


@pytest.mark.requirement("ABOUT-9", "ABOUT-11", "ABOUT-29", "ABOUT-30", "ABOUT-32")
@pytest.mark.parametrize(("record", "seen", "why"), REFUSED)
def test_a_refused_cluster_gets_nothing_and_loses_nothing(record: Member, seen: dict[str, str], why: str) -> None:
    got = mirror(record, seen, uid=UID)
    assert (got.wanted, got.unwanted) == ((), ())
    assert why in got.problem


@pytest.mark.requirement("ABOUT-9", "ABOUT-30")
def test_a_join_under_anothers_id_is_refused() -> None:
    assert "belongs to another cluster" in join_problem(member(uid="1"), (), uid="2", properties={})


def test_one_cluster_is_one_member() -> None:
    others = (member("east"), member("west", uid="2"))
    assert "member east already" in join_problem(member("north", uid=""), others, uid=UID, properties={})
    assert join_problem(member("east"), others, uid=UID, properties={}) == ""


@pytest.mark.requirement("ABOUT-19")
def test_a_cluster_may_leave_and_join_again_under_its_id() -> None:
    assert mirror(member(), {CLUSTER_ID: "east"}, uid=UID).problem == ""


@pytest.mark.requirement("ABOUT-23")
def test_a_cluster_of_another_set_is_told_to_leave_it() -> None:
    seen = {CLUSTER_ID: "east", CLUSTER_SET: "other"}
    assert "it can be in demo once it has left that" in join_problem(member(), (), uid=UID, properties=seen)
