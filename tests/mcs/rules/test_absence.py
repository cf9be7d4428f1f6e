"""What is not there is gone only when somebody who knows says so."""

import pytest

from isthmus.api.isthmus import Exports, Member
from isthmus.mcs.rules.absence import (
    ONE_RESTORE,
    Facts,
    Memory,
    Roster,
    Verdict,
    doubt,
    exports_of,
    judge,
    next_exports,
)
from isthmus.mcs.rules.names import ExportKey, ImportKey
from tests.mcs.rules.examples import member

SHOP = ExportKey("east", "prod", "shop")
CART = ExportKey("east", "prod", "cart")
EVERYBODY = ("east", "north")


def east(*keys: ExportKey, epoch: int = 1, object_uid: str = "") -> Member:
    """The member east, whose agent says that it exports these."""
    said = exports_of({key: f"uid-{key.name}" for key in keys})
    return member("east", exports=Exports(epoch=epoch, namespaces=said), object_uid=object_uid)


def roster(*members: Member, now: float = 0) -> Roster:
    return Roster().listed([*members, member("north")], now)


def facts(*seen: ExportKey, known: Roster, deleted: tuple[ExportKey, ...] = ()) -> Facts:
    """One import of the shop, made from east; what the hub shows."""
    return Facts(
        imports={SHOP.service: frozenset({"east"})},
        exports={key: f"uid-{key.name}" for key in seen},
        deleted=frozenset(deleted),
        roster=known,
    )


NOTHING_YET = Memory()


def verdict(of: Facts, memory: Memory = NOTHING_YET, *, now: float = 0, listed_at: float = 0) -> Verdict:
    return judge(of, memory, now=now, listed_at=listed_at)[0]


def test_an_export_that_is_there_is_neither_gone_nor_held() -> None:
    assert verdict(facts(SHOP, known=roster(east(SHOP)))) == Verdict(frozenset(), {})


@pytest.mark.requirement("MCS-25", "MCS-69")
def test_a_deletion_that_was_seen_is_proof_once_the_exporter_says_so_too() -> None:
    emptied = roster(east(SHOP))
    assert verdict(facts(known=emptied, deleted=(SHOP,))).held
    assert "exports more in prod" in doubt(SHOP, {}, emptied, NOTHING_YET)
    assert verdict(facts(known=roster(east()), deleted=(SHOP,))).gone == {SHOP}
    assert doubt(SHOP, {}, roster(east()), NOTHING_YET) == ""
    assert doubt(SHOP, {CART: "uid-cart"}, roster(east(CART)), NOTHING_YET) == ""


def test_a_deletion_is_proof_where_the_exporter_never_spoke() -> None:
    mute = roster(Member(metadata=member("east").metadata))
    assert verdict(facts(known=mute, deleted=(SHOP,))).gone == {SHOP}
    assert doubt(SHOP, {}, mute, NOTHING_YET) == ""


@pytest.mark.requirement("MCS-25")
def test_an_absence_that_the_exporter_confirms_is_proof() -> None:
    assert verdict(facts(known=roster(east()))).gone == {SHOP}
    assert verdict(facts(CART, known=roster(east(CART)))).gone == {SHOP}


DOUBTS = [
    pytest.param(roster(east(SHOP)), (), "exports more in prod", id="it says that it still exports it"),
    pytest.param(roster(east(SHOP, CART)), (CART,), "exports more in prod", id="one of two is missing"),
    pytest.param(roster(east()), (CART,), "exports more in prod", id="it shows what it does not say"),
    pytest.param(roster(Member(metadata=member("east").metadata)), (), "has not said", id="its agent never reported"),
    pytest.param(Roster(), (), "waiting for a second list", id="no list of members yet"),
    pytest.param(roster(), (), "waiting for a second list", id="one list without it"),
]


@pytest.mark.parametrize(("known", "seen", "why"), DOUBTS)
def test_an_absence_alone_is_no_proof(known: Roster, seen: tuple[ExportKey, ...], why: str) -> None:
    got = verdict(facts(*seen, known=known))
    assert not got.gone
    assert why in got.held[SHOP]


def test_an_older_record_than_was_seen_is_a_restored_hub() -> None:
    before = facts(SHOP, known=roster(east(SHOP, epoch=7)))
    _, memory = judge(before, Memory(), now=0, listed_at=0)
    restored = facts(known=roster(east(epoch=5)))
    assert "older record of east" in verdict(restored, memory).held[SHOP]
    published_anew = facts(known=roster(east(epoch=8)))
    assert verdict(published_anew, memory).gone == {SHOP}


def test_a_member_that_joined_again_starts_anew() -> None:
    _, memory = judge(facts(known=roster(east(SHOP, epoch=7))), Memory(), now=0, listed_at=0)
    again = facts(known=roster(east(epoch=1, object_uid="another")))
    assert verdict(again, memory).gone == {SHOP}


def test_a_member_has_left_when_two_lists_ten_seconds_apart_lack_it() -> None:
    both = roster(east(SHOP), now=0)
    once = both.listed([member("north")], now=20)
    assert set(once.known) == {"east", "north"}
    assert once.list_at == 30
    early = once.listed([member("north")], now=29)
    assert not early.has_left("east")
    twice = early.listed([member("north")], now=30)
    assert twice.has_left("east")
    assert set(twice.known) == {"north"}
    assert verdict(facts(known=twice)).gone == {SHOP}


def test_a_member_that_comes_back_in_between_has_not_left() -> None:
    once = roster(east(), now=0).listed([member("north")], now=20)
    for back in (once.changed(east(), now=22), once.listed([east(), member("north")], now=22)):
        again = back.listed([member("north")], now=31)
        assert not again.has_left("east")
        assert "east" in again.known


def test_a_list_without_anybody_says_nothing() -> None:
    empty = roster(east(SHOP), now=0).listed([], now=20).listed([], now=40)
    assert set(empty.known) == {"east", "north"}
    assert not empty.has_left("east")


def test_a_deleted_member_needs_one_list_more() -> None:
    gone = roster(east(), now=0).listed([east(), member("north")], now=12).deleted("east", now=50)
    assert "east" in gone.known
    assert gone.list_at == 60
    assert gone.listed([member("north")], now=60).has_left("east")


def test_a_member_that_left_before_this_agent_began_is_found_out_too() -> None:
    first = roster(now=100)
    assert first.list_at == 110
    second = first.listed([member("north")], now=110)
    assert second.has_left("east")
    assert second.list_at is None
    assert verdict(facts(known=second)).gone == {SHOP}


def crowd(total: int, gone: int) -> Facts:
    """So many imports from east, of which the last are neither on the hub nor claimed by east."""
    keys = [ExportKey("east", "prod", f"s{i:03}") for i in range(total)]
    kept = keys[: total - gone]
    said = exports_of(dict.fromkeys(kept, "uid"))
    known = roster(member("east", exports=Exports(epoch=1, namespaces=said)))
    return Facts(
        imports={key.service: frozenset({"east"}) for key in keys},
        exports=dict.fromkeys(kept, "uid"),
        roster=known,
    )


@pytest.mark.parametrize(
    ("total", "gone", "braked"),
    [
        pytest.param(12, 10, False, id="ten may go"),
        pytest.param(12, 11, True, id="eleven of twelve wait"),
        pytest.param(33, 11, False, id="a third may go"),
        pytest.param(32, 11, True, id="more than a third waits"),
    ],
)
def test_many_absences_at_once_wait_for_a_fresh_list(total: int, gone: int, braked: bool) -> None:
    seen, memory = judge(crowd(total, gone), Memory(), now=100, listed_at=99)
    assert len(seen.held) == (gone if braked else 0)
    assert seen.list_at == (105 if braked else None)
    if braked:
        assert "waiting for a fresh list" in next(iter(seen.held.values()))
        early, memory = judge(crowd(total, gone), memory, now=104, listed_at=104)
        assert early.held
        late, _ = judge(crowd(total, gone), memory, now=106, listed_at=105.5)
        assert len(late.gone) == gone


def test_the_brake_lets_all_go_once_the_fresh_list_agrees() -> None:
    _, memory = judge(crowd(30, 20), Memory(), now=0, listed_at=0)
    for left in range(20, 0, -1):
        seen, memory = judge(crowd(10 + left, left), memory, now=7, listed_at=6)
        assert len(seen.gone) == left


def test_a_new_wave_is_braked_anew() -> None:
    _, memory = judge(crowd(40, 20), Memory(), now=0, listed_at=0)
    seen, _ = judge(crowd(40, 30), memory, now=7, listed_at=6)
    assert len(seen.held) == 30
    assert seen.list_at == 12


def test_the_brake_does_not_act_on_deletions_that_were_seen() -> None:
    many = crowd(12, 12)
    deleted = frozenset(ExportKey("east", *service) for service in many.imports)
    seen = verdict(Facts(many.imports, many.exports, deleted, many.roster))
    assert len(seen.gone) == 12


def test_an_import_with_another_exporter_does_not_count_for_the_brake() -> None:
    many = crowd(12, 12)
    imports = {service: clusters | {"north"} for service, clusters in many.imports.items()}
    exports = {ExportKey("north", *service): "uid" for service in imports}
    seen = verdict(Facts(imports, exports, frozenset(), many.roster))
    assert len(seen.gone) == 12
    assert not seen.held


def test_the_digest_is_over_names_and_uids_per_namespace() -> None:
    first = exports_of({SHOP: "1", CART: "2", ExportKey("east", "dev", "shop"): "3"})
    assert {namespace: each.count for namespace, each in first.items()} == {"prod": 2, "dev": 1}
    assert exports_of({CART: "2", SHOP: "1"})["prod"] == first["prod"]
    assert exports_of({CART: "2", SHOP: "other"})["prod"] != first["prod"]
    assert exports_of({}) == {}


def test_a_hub_that_went_back_is_not_believed_until_the_exporter_has_spoken_again() -> None:
    memory = Memory().heard(roster(east(SHOP, epoch=7)))
    assert verdict(facts(known=roster(east(epoch=5))), memory).held, "seen by a look, not only by a judgement"
    restored = facts(known=roster(east(epoch=7)))
    doubting = Memory().heard(restored.roster).doubting(restored.roster, now=0.0)
    assert verdict(restored, doubting).held, "old exports and an old Member agree with each other"
    assert verdict(facts(known=roster(east(epoch=8))), doubting).gone == {SHOP}


def test_who_notices_late_that_the_hub_went_back_believes_what_the_exporter_has_said_since() -> None:
    said = facts(known=roster(east(epoch=8)))
    before = Memory().heard(roster(east(epoch=7)))
    known = before.reconnected(100.0).heard(said.roster).reconnected(101.0)
    assert verdict(said, known.doubting(said.roster, now=102.0)).gone == {SHOP}
    assert verdict(facts(known=roster(east(epoch=7))), known.doubting(said.roster, now=102.0)).held
    assert verdict(said, known.doubting(said.roster, now=100.0 + ONE_RESTORE)).held, "that was of another time"
    assert verdict(said, before.heard(said.roster).reconnected(100.0).doubting(said.roster, now=100.0)).held


def test_the_epoch_rises_with_every_change_and_when_all_is_published_anew() -> None:
    one = exports_of({SHOP: "1"})
    start = next_exports(Exports(), one, anew=True)
    assert start.epoch == 1
    assert next_exports(start, one, anew=False) == start
    assert next_exports(start, one, anew=True).epoch == 2
    assert next_exports(start, {}, anew=False).epoch == 2
    assert next_exports(start, one, anew=True, floor=1_000).epoch == 1_000
    assert next_exports(start, one, anew=False, floor=7).epoch == 7


def test_keys_tell_services_apart() -> None:
    assert SHOP.service == ImportKey("prod", "shop")
