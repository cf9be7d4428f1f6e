"""Foreign values: what is kept of them, and that something is said of the rest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.api.core import ClientIPConfig, SessionAffinityConfig
from isthmus.api.isthmus import MAX_KEYS, MAX_PORTS
from isthmus.api.mcs import ImportedPort
from isthmus.api.names import is_dns_label, is_label_value, is_qualified_name
from isthmus.mcs.rules import foreign
from tests.mcs.rules.examples import HTTP, port

BAD_PORTS = [
    pytest.param(port("http", 0), "0 is no port number", id="zero"),
    pytest.param(port("http", 65536), "65536 is no port number", id="too high"),
    pytest.param(port("http", -1), "-1 is no port number", id="negative"),
    pytest.param(port("http", 80, "ICMP"), "'ICMP' is no protocol of a Service", id="unknown protocol"),
    pytest.param(port("Http", 80), "'Http' is no DNS label", id="upper case"),
    pytest.param(port("a.b", 80), "'a.b' is no DNS label", id="a dot"),
    pytest.param(port("x" * 64, 80), "is no DNS label", id="too long"),
    pytest.param(port("web", 443), "443/TCP 'web' is there twice", id="a number twice"),
    pytest.param(port("https", 444), "444/TCP 'https' is there twice", id="a name twice"),
]


@pytest.mark.parametrize(("bad", "why"), BAD_PORTS)
def test_a_port_that_no_service_may_have_is_left_out(bad: ImportedPort, why: str) -> None:
    kept, notes = foreign.ports([port("https", 443), bad])
    assert kept == (port("https", 443),)
    assert why in notes[0]


def test_an_absent_protocol_is_tcp_and_a_bad_app_protocol_goes_alone() -> None:
    kept, notes = foreign.ports([ImportedPort(port=80, name="http", app_protocol="not a name")])
    assert kept == (HTTP,)
    assert "appProtocol 'not a name' is no qualified name" in notes[0]


@pytest.mark.requirement("MCS-17")
def test_sctp_is_a_port_like_others() -> None:
    assert foreign.ports([port("s", 1, "SCTP")]) == ((port("s", 1, "SCTP"),), ())


def test_there_is_an_end_of_ports() -> None:
    kept, notes = foreign.ports(port(f"p{i}", i) for i in range(1, MAX_PORTS + 10))
    assert len(kept) == MAX_PORTS
    assert "and 6 more" in notes[0]


@pytest.mark.parametrize(
    ("seen", "want"),
    [
        (["IPv6", "IPv4"], ("IPv6", "IPv4")),
        (["IPv4", "IPv4"], ("IPv4",)),
        (["IPv5", "IPv4"], ("IPv4",)),
        ([], ()),
    ],
)
def test_only_families_that_exist_are_kept_in_order(seen: list[str], want: tuple[str, ...]) -> None:
    kept, notes = foreign.families(seen)
    assert kept == want
    assert bool(notes) == ("IPv5" in seen)


def seconds(number: int | None) -> SessionAffinityConfig:
    return SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=number))


@pytest.mark.requirement("MCS-39")
@pytest.mark.parametrize(
    ("kind", "config", "want", "noted"),
    [
        pytest.param("ClientIP", seconds(10), ("ClientIP", seconds(10)), False, id="as it is"),
        pytest.param("ClientIP", None, ("ClientIP", seconds(10800)), False, id="Kubernetes' default"),
        pytest.param("ClientIP", seconds(10**9), ("ClientIP", seconds(10800)), True, id="an absurd time"),
        pytest.param("ClientIP", seconds(0), ("ClientIP", seconds(10800)), True, id="no time"),
        pytest.param("", None, ("None", None), False, id="absent is None"),
        pytest.param("None", seconds(10), ("None", None), False, id="a time without affinity"),
        pytest.param("Sticky", None, ("None", None), True, id="unknown"),
    ],
)
def test_an_affinity_is_kept_where_a_service_may_have_it(
    kind: str, config: SessionAffinityConfig | None, want: tuple[str, SessionAffinityConfig | None], noted: bool
) -> None:
    kept, notes = foreign.affinity(kind, config)
    assert kept == want
    assert bool(notes) == noted


@pytest.mark.requirement("MCS-44")
@pytest.mark.parametrize(
    ("key", "reserved"),
    [
        ("kubernetes.io/x", True),
        ("app.kubernetes.io/name", True),
        ("k8s.io/x", True),
        ("multicluster.kubernetes.io/service-name", True),
        ("multicluster.x-k8s.io/x", True),
        ("sub.multicluster.x-k8s.io/x", True),
        ("isthmus.dev/reserved-ips", True),
        ("notkubernetes.io/x", False),
        ("example.com/kubernetes.io", False),
        ("kubernetes.io", False),
        ("team", False),
    ],
)
def test_reserved_prefixes_are_left_out_and_said(key: str, reserved: bool) -> None:
    for carry in (foreign.labels, foreign.annotations):
        kept, notes = carry({key: "1", "ok": "1"})
        assert (key in kept) != reserved
        assert "ok" in kept
        assert any("the prefix is reserved" in note for note in notes) == reserved


def test_labels_that_no_object_may_carry_are_left_out() -> None:
    kept, notes = foreign.labels({"ok": "1", "bad key": "1", "long": "x" * 64, "sp": "a b"})
    assert kept == {"ok": "1"}
    assert len(notes) == 2


def test_annotations_together_have_a_limit() -> None:
    kept, notes = foreign.annotations({"a": "x" * 60_000, "b": "y" * 60_000, "c": "z"})
    assert sorted(kept) == ["a", "c"]
    assert "'b'" in notes[0]


def test_there_is_an_end_of_labels() -> None:
    kept, notes = foreign.labels({f"k{i:03}": "1" for i in range(MAX_KEYS + 5)})
    assert len(kept) == MAX_KEYS
    assert notes


def test_foreign_text_is_harmless_in_a_message() -> None:
    assert foreign.shown("\x1b[31m\n" + "x" * 1000) == "'\\x1b[31m\\n" + "x" * 54 + "...'"


@settings(max_examples=100)
@given(
    st.lists(
        st.builds(
            ImportedPort,
            port=st.integers(-5, 70000) | st.integers(1, 5),
            name=st.sampled_from(["", "a", "b"]) | st.text(max_size=5),
            protocol=st.sampled_from(["", "TCP", "UDP", "SCTP", "tcp"]),
            app_protocol=st.none() | st.text(max_size=5),
        ),
        max_size=8,
    ),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5),
)
def test_whatever_comes_in_what_goes_out_is_acceptable(ports: list[ImportedPort], keys: dict[str, str]) -> None:
    kept, _ = foreign.ports(ports)
    assert all(1 <= each.port <= 65535 and each.protocol in foreign.PROTOCOLS for each in kept)
    assert all(not each.name or is_dns_label(each.name) for each in kept)
    assert len({each.name for each in kept}) == len({(each.protocol, each.port) for each in kept}) == len(kept)
    assert foreign.ports(kept) == (kept, ())
    labels, _ = foreign.labels(keys)
    assert all(is_qualified_name(key) and is_label_value(value) for key, value in labels.items())
    assert foreign.labels(labels) == (labels, ())
    annotations, _ = foreign.annotations(keys)
    assert foreign.annotations(annotations) == (annotations, ())
