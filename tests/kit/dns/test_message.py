"""Packets, judged by dnspython: what we write it reads, what it writes we read, and nothing it refuses harms."""

from ipaddress import ip_address

import dns.edns
import dns.flags
import dns.message
import dns.rdataclass
import pytest
from hypothesis import given
from hypothesis import strategies as some

from isthmus.errors import Invalid
from isthmus.kit.dns.message import (
    MOST,
    PAYLOAD,
    Answer,
    Question,
    Rcode,
    read_query,
    read_reply,
    write_answer,
    write_query,
)
from isthmus.kit.dns.records import Address, Authority, Data, Empty, Pointer, Record, Service, Text, Type

# A busy machine is slow, not wrong.
NAME = "shop.prod.svc.clusterset.local"


def asked(name: str = NAME, kind: str = "A", **options: int) -> bytes:
    return wire_of(dns.message.make_query(name, kind, id=4711), **options)


def wire_of(message: dns.message.Message, *, cls: int = 1, edns: int = -1, payload: int = 1232) -> bytes:
    message.question[0].rdclass = dns.rdataclass.RdataClass(cls)
    if edns >= 0:
        message.use_edns(edns, payload=payload)
    return message.to_wire()


def answered(packet: bytes, answer: Answer, limit: int = MOST) -> dns.message.Message:
    query = read_query(packet)
    assert query is not None
    written = write_answer(query, answer, limit)
    assert len(written) <= limit
    return dns.message.from_wire(written)


@pytest.mark.parametrize(
    ("data", "want"),
    [
        pytest.param(Address(ip_address("10.1.128.7")), "A 10.1.128.7", id="A"),
        pytest.param(Address(ip_address("fd69:1::7")), "AAAA fd69:1::7", id="AAAA"),
        pytest.param(Service(80, NAME, 1, 2), f"SRV 1 2 80 {NAME}.", id="SRV"),
        pytest.param(Text("1.0.0"), 'TXT "1.0.0"', id="TXT"),
        pytest.param(Text("x" * 300), f'TXT "{"x" * 255}" "{"x" * 45}"', id="a long TXT"),
        pytest.param(Pointer(Type.NS, "ns.dns.local"), "NS ns.dns.local.", id="NS"),
        pytest.param(Pointer(Type.CNAME, NAME), f"CNAME {NAME}.", id="CNAME"),
        pytest.param(Pointer(Type.PTR, NAME), f"PTR {NAME}.", id="PTR"),
        pytest.param(
            Authority("ns.local", "root.local", 7, 5), "SOA ns.local. root.local. 7 7200 1800 86400 5", id="SOA"
        ),
    ],
)
@pytest.mark.requirement("MCS-92")
def test_a_record_reads_the_same_to_others_and_to_us(data: Data, want: str) -> None:
    record = Record(NAME, data, 30)
    packet = write_query(7, Question(NAME, data.type))
    query = read_query(packet)
    assert query is not None
    written = write_answer(query, Answer(answers=(record,)), MOST)
    assert dns.message.from_wire(written).answer[0].to_text() == f"{NAME}. 30 IN {want}"
    assert read_reply(written).answers == (record,)


def test_a_question_reads_the_same_to_others() -> None:
    message = dns.message.from_wire(write_query(77, Question(NAME, Type.SRV)))
    assert message.id == 77
    assert message.question[0].to_text() == f"{NAME}. IN SRV"
    assert (message.edns, message.payload) == (0, PAYLOAD)
    assert message.flags == dns.flags.RD


def test_an_answer_echoes_what_identifies_the_question() -> None:
    message = answered(asked(), Answer())
    assert message.id == 4711
    assert dns.flags.to_text(message.flags) == "QR AA RD"
    assert message.question[0].to_text() == f"{NAME}. IN A"


@pytest.mark.requirement("MCS-100")
def test_the_answer_keeps_the_case_of_the_question() -> None:
    odd = "ShOp.pRoD.sVc.ClusterSet.LOCAL"
    message = answered(asked(odd), Answer(answers=(Record(NAME, Address(ip_address("10.0.0.1")), 5),)))
    assert message.question[0].to_text() == f"{odd}. IN A"
    assert message.answer[0].to_text() == f"{odd}. 5 IN A 10.0.0.1"


def addresses(count: int) -> tuple[Record, ...]:
    return tuple(Record(NAME, Address(ip_address(0x0A000000 + n)), 5) for n in range(count))


@pytest.mark.requirement("MCS-106")
@pytest.mark.parametrize("limit", [512, 513, 600, 1232, 65535])
def test_what_does_not_fit_is_cut_after_a_whole_record_and_says_so(limit: int) -> None:
    message = answered(asked(edns=0), Answer(answers=addresses(5000)), limit)
    assert message.flags & dns.flags.TC
    assert message.edns == 0
    # Each record takes 16 octets, the header, question and OPT 59.
    assert len(message.answer[0]) == (limit - 59) // 16


def test_what_fits_is_whole_and_says_so() -> None:
    message = answered(asked(), Answer(answers=addresses(28)), 512)
    assert not message.flags & dns.flags.TC
    assert len(message.answer[0]) == 28


def test_additional_records_that_do_not_fit_are_left_out_in_silence() -> None:
    service = Record(NAME, Service(80, "a.local"), 5)
    message = answered(asked(kind="SRV"), Answer(answers=(service,), additional=addresses(50)), 512)
    assert not message.flags & dns.flags.TC
    assert 0 < len(message.additional[0]) < 50


def test_a_name_is_written_once() -> None:
    hosts = [f"pod-{n}.east.{NAME}" for n in range(10)]
    services = tuple(Record(NAME, Service(80, host), 5) for host in hosts)
    extra = tuple(Record(host, Address(ip_address("10.0.0.1")), 5) for host in hosts)
    message = answered(asked(kind="SRV"), Answer(answers=services, additional=extra))
    assert [str(rrset.name) for rrset in message.additional] == [f"{host}." for host in hosts]
    query = read_query(asked(kind="SRV"))
    assert query is not None
    with_extra = write_answer(query, Answer(answers=services, additional=extra), MOST)
    assert len(with_extra) - len(write_answer(query, Answer(answers=services), MOST)) == 16 * len(hosts)


def test_nothing_at_a_name_is_not_a_record() -> None:
    assert not answered(asked(), Answer(answers=(Record(NAME, Empty(), 5),))).answer


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        pytest.param(asked(edns=0), Rcode.NOERROR, id="a question"),
        pytest.param(asked(edns=1), Rcode.BADVERS, id="an EDNS version to come"),
        pytest.param(asked(kind="AXFR"), Rcode.REFUSED, id="a transfer"),
        pytest.param(asked(cls=3), Rcode.REFUSED, id="another class"),
        pytest.param(asked()[:4] + b"\0\0" + asked()[6:], Rcode.FORMERR, id="no question"),
        pytest.param(asked()[:4] + b"\0\2" + asked()[6:], Rcode.FORMERR, id="two questions"),
        pytest.param(asked()[:-1], Rcode.FORMERR, id="a question cut off"),
        pytest.param(asked() + b"\0", Rcode.FORMERR, id="an octet too many"),
        pytest.param(asked()[:10] + b"\0\1" + asked()[12:], Rcode.FORMERR, id="a record announced, none there"),
        pytest.param(asked()[:2] + b"\x28\0" + asked()[4:], Rcode.NOTIMP, id="a dynamic update"),
        pytest.param(asked()[:12] + b"\xc0\x0c\0\1\0\1", Rcode.FORMERR, id="a name that points at itself"),
    ],
)
def test_a_fault_is_said(packet: bytes, rcode: Rcode) -> None:
    query = read_query(packet)
    assert query is not None
    assert query.fault == rcode
    message = dns.message.from_wire(write_answer(query, Answer(query.fault), 512), one_rr_per_rrset=True)
    assert int(message.rcode()) == rcode
    assert message.id == int.from_bytes(packet[:2])
    assert len(message.to_wire()) <= max(len(packet), 64)


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(asked()[:11], id="half a header"),
        pytest.param(asked()[:2] + b"\x80\0" + asked()[4:], id="an answer"),
    ],
)
def test_what_could_make_two_servers_talk_for_ever_is_not_answered(packet: bytes) -> None:
    assert read_query(packet) is None


@pytest.mark.parametrize(
    ("options", "payload"),
    [
        pytest.param({}, 512, id="without EDNS"),
        pytest.param({"edns": 0, "payload": 4096}, 4096, id="as it says"),
        pytest.param({"edns": 0, "payload": 100}, 512, id="never less than RFC 1035 demands"),
    ],
)
def test_a_query_says_how_much_its_sender_takes(options: dict[str, int], payload: int) -> None:
    query = read_query(wire_of(dns.message.make_query(NAME, "A"), **options))
    assert query is not None
    assert query.payload == payload


def test_two_opt_records_are_a_fault() -> None:
    packet = asked(edns=0)
    doubled = read_query(packet[:11] + b"\2" + packet[12:] + packet[-11:])
    assert doubled is not None
    assert doubled.fault == Rcode.FORMERR


def test_options_in_the_query_do_no_harm() -> None:
    cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
    query = read_query(dns.message.make_query(NAME, "A", use_edns=0, options=[cookie]).to_wire())
    assert query is not None
    assert not query.fault
    assert query.question == Question(NAME, Type.A)


@given(some.binary(max_size=300))
def test_no_packet_does_worse_than_be_refused(noise: bytes) -> None:
    judge(noise)


@given(some.binary(max_size=100), some.integers(0, 60), some.integers(0, 20))
def test_no_damage_to_a_good_packet_does_worse_than_be_refused(noise: bytes, at: int, cut: int) -> None:
    good = asked(edns=0)
    judge(good[:at] + noise + good[at + cut :])


def judge(packet: bytes) -> None:
    query = read_query(packet)
    if query is None:
        return
    written = write_answer(query, Answer(query.fault or Rcode.NXDOMAIN), 512)
    assert len(written) <= 512
    assert written[:2] == packet[:2]
    assert written[2] & 0x80
    dns.message.from_wire(written)


@given(some.binary(max_size=300))
def test_no_reply_does_worse_than_be_refused(noise: bytes) -> None:
    header = b"\0\1\x84\0\0\0\0\1\0\0\0\0"
    for packet in (noise, header + noise):
        try:
            reply = read_reply(packet)
        except Invalid:
            continue
        assert len(reply.answers) <= len(packet)


@pytest.mark.parametrize("kind", [Type.A, Type.AAAA, Type.SRV, Type.NS, Type.TXT, Type.SOA, 4242])
@given(data=some.binary(max_size=60))
def test_no_record_data_does_worse_than_be_refused(kind: int, data: bytes) -> None:
    record = b"\0" + kind.to_bytes(2) + b"\0\1\0\0\0\5" + len(data).to_bytes(2) + data
    packet = b"\0\1\x84\0\0\0\0\1\0\0\0\0" + record
    try:
        reply = read_reply(packet)
    except Invalid:
        return
    assert reply.answers[0].data.type == kind
