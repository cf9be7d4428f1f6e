"""Our zone among kube-dns' stub domains: the rest of the text stays as it was written, and comes back so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import Invalid
from isthmus.install.stubdomains import Mark, Stubs, with_domain, without_domain

ZONE = "clusterset.local"
OURS = ["10.96.0.5"]
TWO = '{\n  "acme.local": ["1.2.3.4"],\n  "b.example" : [ "10.0.0.1:5353", "10.0.0.2" ]\n}\n'
RIVAL = '{"acme.local":["1.2.3.4"], "ClusterSet.local" : ["10.0.0.9",\n "10.0.0.8"], "z.example":[]}'

spaces = st.text(" \t\n\r", max_size=3)
domains = st.text('abc.é\\"', min_size=1, max_size=8)
values = st.lists(st.sampled_from(["1.2.3.4", "fd00::1", "10.0.0.2:5353"]), max_size=3)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Stub domains as people write them, with or without an entry of somebody else's for the zone."""
    names = draw(st.lists(domains, max_size=4, unique_by=lambda name: name.lower().rstrip(".")))
    if draw(st.booleans()):
        names.insert(draw(st.integers(0, len(names))), ZONE)
    entries = (
        f"{draw(spaces)}{json.dumps(name, ensure_ascii=draw(st.booleans()))}{draw(spaces)}:"
        f"{draw(spaces)}{json.dumps(draw(values), indent=draw(st.sampled_from([None, 2])))}{draw(spaces)}"
        for name in names
    )
    return f"{draw(spaces)}{{{','.join(entries) or draw(spaces)}}}{draw(spaces)}"


@given(st.one_of(st.none(), spaces, texts()))
def test_whatever_is_there_stays_in_order_and_comes_back_byte_for_byte(text: str | None) -> None:
    done = with_domain(Stubs(text), ZONE, OURS, replace_others=True)
    before = json.loads(text) if text and text.strip() else {}
    found = json.loads(done.text or "")
    assert found[ZONE] == OURS
    assert [name for name in found if name != ZONE] == [name for name in before if name != ZONE]
    assert {**found, ZONE: 0} == {**before, ZONE: 0}
    assert with_domain(done, ZONE, OURS) == done
    moved = with_domain(done, ZONE, ["10.96.0.6"])
    assert json.loads(moved.text or "")[ZONE] == ["10.96.0.6"]
    assert without_domain(moved, ZONE) == Stubs(text)
    if before.get(ZONE) != OURS:
        assert without_domain(done, ZONE) == Stubs(text)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (None, '{"clusterset.local":["10.96.0.5"]}'),
        ("", '{"clusterset.local":["10.96.0.5"]}'),
        ("{ }\n", '{"clusterset.local":["10.96.0.5"] }\n'),
        (TWO, TWO.replace(" ]\n}", ' ],"clusterset.local":["10.96.0.5"]\n}')),
    ],
)
def test_the_zone_comes_last(text: str | None, want: str) -> None:
    assert with_domain(Stubs(text), ZONE, OURS).text == want


def test_an_entry_of_somebody_else_is_refused_unless_it_is_to_be_replaced() -> None:
    with pytest.raises(Invalid, match=r"answered by 10\.0\.0\.9, 10\.0\.0\.8 already.*--replace"):
        with_domain(Stubs(RIVAL), ZONE, OURS)
    done = with_domain(Stubs(RIVAL), ZONE, OURS, replace_others=True)
    assert done.text == '{"acme.local":["1.2.3.4"], "ClusterSet.local" : ["10.96.0.5"], "z.example":[]}'
    assert without_domain(done, ZONE).text == RIVAL
    # Its owner wrote his value again: he was set aside once, and is so again.
    assert with_domain(Stubs(RIVAL, done.mark), ZONE, OURS) == done


@pytest.mark.parametrize(
    ("now", "then"),
    [
        pytest.param(
            '{"clusterset.local":["10.96.0.5"],"new.example":["9.9.9.9"]}', '{"new.example":["9.9.9.9"]}', id="first"
        ),
        pytest.param('{\n "clusterset.local": [\n "10.96.0.5"\n ]\n}', None, id="made by us, written anew by others"),
        pytest.param(
            '{"a.example":[],"clusterset.local":["10.96.0.5"],"b.example":[]}',
            '{"a.example":[],"b.example":[]}',
            id="amid",
        ),
        pytest.param('{"a.example":[]}', '{"a.example":[]}', id="taken out by others"),
        pytest.param('{"clusterset.local":["9.9.9.9"]}', '{"clusterset.local":["9.9.9.9"]}', id="taken by others"),
        pytest.param("", "", id="emptied"),
        pytest.param(None, None, id="deleted"),
    ],
)
def test_what_others_wrote_meanwhile_stays(now: str | None, then: str | None) -> None:
    mark = Mark(tuple(OURS), made=True, absent=True)
    assert without_domain(Stubs(now, mark), ZONE) == Stubs(then)


def test_an_entry_that_asks_us_is_ours_though_its_mark_was_lost() -> None:
    done = with_domain(Stubs(TWO), ZONE, OURS)
    assert with_domain(Stubs(done.text), ZONE, OURS).text == done.text
    assert without_domain(Stubs(done.text), ZONE, OURS) == Stubs(TWO)
    assert without_domain(Stubs(done.text), ZONE) == Stubs(done.text)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"a.example": "1.2.3.4"}',
        '{"a.example": [1]}',
        '{"a.example": null}',
        pytest.param("[" * 100_000, id="deep"),
        pytest.param('{"clusterset.local":[],"clusterset.local":[]}', id="twice"),
    ],
)
def test_what_kube_dns_cannot_read_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="stubDomains: "):
        with_domain(Stubs(text), ZONE, OURS, replace_others=True)
    if ZONE not in text:
        # Nothing of ours is in there, so there is nothing to take out.
        assert without_domain(Stubs(text), ZONE) == Stubs(text)
