"""Names: what goes out comes back, and what cannot be a name is refused."""

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as some

from isthmus.errors import Invalid
from isthmus.kit.dns.names import from_wire, is_name, parents, to_wire, within

# A busy machine is slow, not wrong.
LABELS = some.lists(some.binary(min_size=1, max_size=63), max_size=5).filter(lambda labels: sum(map(len, labels)) < 240)


@given(LABELS)
def test_any_name_survives_the_way_in_and_out_again(labels: list[bytes]) -> None:
    wire = dns.name.Name((*labels, b"")).to_wire() or b""
    name, end = from_wire(wire, 0)
    assert end == len(wire)
    assert to_wire(name) == wire.lower()


@given(LABELS)
def test_a_dot_in_the_text_always_parts_labels(labels: list[bytes]) -> None:
    name, _ = from_wire(dns.name.Name((*labels, b"")).to_wire() or b"", 0)
    assert len(name.split(".")) == max(1, len(labels))


@pytest.mark.requirement("MCS-100")
def test_names_are_read_without_regard_to_case() -> None:
    assert from_wire(b"\x04ShOp\x05LOCAL\0", 0) == ("shop.local", 12)


@pytest.mark.requirement("MCS-101")
@pytest.mark.parametrize(
    ("name", "want"),
    [
        pytest.param("", True, id="the root"),
        pytest.param("a" * 63 + ".b", True, id="a label of 63"),
        pytest.param("a" * 64 + ".b", False, id="a label of 64"),
        pytest.param(".".join(["a" * 63] * 3 + ["b" * 61]), True, id="253 characters"),
        pytest.param(".".join(["a" * 63] * 3 + ["b" * 62]), False, id="254 characters"),
        pytest.param("a..b", False, id="an empty label"),
        pytest.param("bücher", False, id="letters that DNS does not carry"),
        pytest.param("a\\999", False, id="an escape that is no octet"),
    ],
)
def test_a_name_has_its_limits(name: str, want: bool) -> None:
    assert is_name(name) is want


@pytest.mark.parametrize(
    ("packet", "offset"),
    [
        pytest.param(b"\xc0\x00", 0, id="a pointer to itself"),
        pytest.param(b"\xc0\x02\xc0\x00", 2, id="two pointers at each other"),
        pytest.param(b"\x01a\xc0\x00", 0, id="a label before a pointer to it"),
        pytest.param(b"\x01a\xc0\x05\x00\x00", 0, id="a pointer forward"),
        pytest.param(b"\x05abc", 0, id="a label cut off"),
        pytest.param(b"\x01a", 0, id="no end"),
        pytest.param(b"\xc0", 0, id="half a pointer"),
        pytest.param(b"\x41" + b"a" * 65 + b"\0", 0, id="a length that is none"),
        pytest.param(b"".join(b"\x3f" + b"a" * 63 for _ in range(4)) + b"\0", 0, id="257 octets"),
        pytest.param(b"\0" + b"".join((0xC000 | 2 * n).to_bytes(2) for n in range(300)), 599, id="very many pointers"),
    ],
)
def test_what_is_no_name_is_refused(packet: bytes, offset: int) -> None:
    with pytest.raises(Invalid):
        from_wire(packet, offset)


@given(some.binary(max_size=600), some.integers(0, 600))
def test_no_octets_do_worse_than_be_refused(packet: bytes, offset: int) -> None:
    try:
        name, end = from_wire(packet, offset)
    except Invalid:
        return
    assert is_name(name)
    assert offset < end <= len(packet)


def test_a_name_lies_within_its_parents() -> None:
    name = "shop.prod.svc.local"
    assert parents(name, "local") == ["prod.svc.local", "svc.local", "local"]
    assert parents("local", "local") == []
    assert all(within(name, parent) for parent in parents(name, "local"))
    assert not within("xlocal", "local")
    assert within("anything", "")
