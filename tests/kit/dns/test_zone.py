"""Zones: what exists, what does not, and whose records are whose."""

from ipaddress import ip_address

import pytest

from isthmus.kit.dns.message import Answer, Question, Rcode
from isthmus.kit.dns.records import Address, Data, Empty, Pointer, Record, Service, Type
from isthmus.kit.dns.zone import Zone

Z = "cluster.local"
WEB = f"web.prod.svc.{Z}"
HTTP = f"_http._tcp.{WEB}"
TEN, ELEVEN, SIX = (Address(ip_address(text)) for text in ("10.0.0.10", "10.0.0.11", "fd00::6"))


def zone_with(*records: tuple[str, Data]) -> Zone:
    zone = Zone(Z, ttl=5, serial=1)
    zone.replace("test", [Record(name, data, 30) for name, data in records])
    return zone


def told(zone: Zone, name: str, kind: int) -> Answer:
    answer = zone.answer(Question(name, kind))
    assert answer is not None
    return answer


def data_of(zone: Zone, name: str, kind: int) -> list[Data]:
    return [record.data for record in told(zone, name, kind).answers]


def test_a_name_answers_with_the_records_of_the_type() -> None:
    zone = zone_with((WEB, TEN), (WEB, ELEVEN), (WEB, SIX))
    assert data_of(zone, WEB, Type.A) == [TEN, ELEVEN]
    assert data_of(zone, WEB, Type.AAAA) == [SIX]


@pytest.mark.requirement("MCS-96", "MCS-97", "MCS-99")
@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        pytest.param(WEB, Type.AAAA, Rcode.NOERROR, id="another type"),
        pytest.param(WEB, 65280, Rcode.NOERROR, id="a type unheard of"),
        pytest.param(f"_tcp.{WEB}", Type.SRV, Rcode.NOERROR, id="between a name and the zone"),
        pytest.param(f"svc.{Z}", Type.A, Rcode.NOERROR, id="far between"),
        pytest.param(Z, Type.A, Rcode.NOERROR, id="the zone itself"),
        pytest.param(f"db.prod.svc.{Z}", Type.A, Rcode.NXDOMAIN, id="beside"),
        pytest.param(f"deeper.{WEB}", Type.A, Rcode.NXDOMAIN, id="below"),
        pytest.param(f"empty.{Z}", Type.A, Rcode.NOERROR, id="a name with nothing at it"),
    ],
)
def test_what_is_not_there_is_denied_for_as_long_as_the_zone_says(name: str, kind: int, rcode: Rcode) -> None:
    answer = told(zone_with((WEB, TEN), (HTTP, Service(80, WEB)), (f"empty.{Z}", Empty())), name, kind)
    assert (answer.rcode, answer.answers) == (rcode, ())
    (authority,) = answer.authority
    assert authority.data.type == Type.SOA
    assert authority.ttl == getattr(authority.data, "minimum") == 5  # noqa: B009  the type is known from the line above


def test_names_outside_are_not_this_zones() -> None:
    zone = zone_with((WEB, TEN))
    assert zone.answer(Question("example.com", Type.A)) is None
    assert zone.answer(Question(f"x{Z}", Type.A)) is None


def test_the_zone_names_its_server() -> None:
    zone = Zone(Z, ttl=5, serial=1)
    assert data_of(zone, Z, Type.NS) == [Pointer(Type.NS, f"ns.dns.{Z}")]
    assert [data.type for data in data_of(zone, Z, Type.SOA)] == [Type.SOA]


@pytest.mark.requirement("MCS-93")
def test_a_service_brings_the_addresses_of_its_target() -> None:
    zone = zone_with((HTTP, Service(80, WEB)), (HTTP, Service(81, WEB)), (WEB, TEN), (WEB, SIX))
    answer = told(zone, HTTP, Type.SRV)
    assert [record.data for record in answer.additional] == [TEN, SIX]


def test_an_alias_is_followed_inside_the_zone() -> None:
    alias, outside = f"alias.{Z}", f"outside.{Z}"
    to_web, away = Pointer(Type.CNAME, WEB), Pointer(Type.CNAME, "example.com")
    zone = zone_with((WEB, TEN), (alias, to_web), (outside, away))
    assert data_of(zone, alias, Type.A) == [to_web, TEN]
    assert data_of(zone, alias, Type.CNAME) == [to_web]
    assert told(zone, alias, Type.SRV).rcode == Rcode.NOERROR
    assert told(zone, alias, Type.SRV).authority
    assert data_of(zone, outside, Type.A) == [away]
    assert not told(zone, outside, Type.A).authority


def test_aliases_that_chase_each_other_come_to_an_end() -> None:
    one, other = f"one.{Z}", f"other.{Z}"
    zone = zone_with((one, Pointer(Type.CNAME, other)), (other, Pointer(Type.CNAME, one)))
    assert 0 < len(told(zone, one, Type.A).answers) < 20


def test_any_is_answered_with_one_kind_of_record() -> None:
    assert data_of(zone_with((WEB, TEN), (WEB, SIX)), WEB, Type.ANY) == [TEN]


def test_records_go_with_their_owner_and_no_other() -> None:
    zone = Zone(Z, ttl=5, serial=1)
    zone.replace("a", [Record(WEB, TEN, 5)])
    zone.replace("b", [Record(WEB, ELEVEN, 5)])
    zone.replace("a", [])
    assert data_of(zone, WEB, Type.A) == [ELEVEN]
    zone.replace("b", [])
    assert told(zone, WEB, Type.A).rcode == Rcode.NXDOMAIN
    assert told(zone, f"prod.svc.{Z}", Type.A).rcode == Rcode.NXDOMAIN


def test_a_replacement_tells_which_names_answer_differently() -> None:
    zone = Zone(Z, ttl=5, serial=1)
    above = {f"prod.svc.{Z}", f"svc.{Z}", Z}
    assert zone.replace("a", [Record(WEB, TEN, 5)]) == {WEB, *above}
    assert zone.replace("a", [Record(WEB, TEN, 5)]) == set()
    assert zone.replace("b", [Record(f"db.prod.svc.{Z}", TEN, 5)]) == {f"db.prod.svc.{Z}", *above}
    assert zone.replace("a", []) == {WEB, *above}
    assert zone.replace("never", []) == set()


@pytest.mark.requirement("MCS-101")
@pytest.mark.parametrize(
    "record",
    [
        pytest.param(Record(f"{'x' * 64}.{Z}", TEN, 5), id="a label too long"),
        pytest.param(Record(f"{'x.' * 125}{Z}", TEN, 5), id="a name too long"),
        pytest.param(Record(HTTP, Service(80, f"{'x' * 64}.{Z}"), 5), id="a target too long"),
        pytest.param(Record(HTTP, Service(65536, WEB), 5), id="a port that is none"),
        pytest.param(Record("example.com", TEN, 5), id="a name outside"),
    ],
)
def test_what_no_packet_can_carry_is_left_out(record: Record) -> None:
    zone = zone_with((WEB, TEN))
    assert zone.replace("bad", [record]) == set()
    assert data_of(zone, WEB, Type.A) == [TEN]
