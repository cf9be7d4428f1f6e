"""The catalogue's worked port examples: what is exposed, whether it is a conflict, where each port leads."""

from dataclasses import dataclass

import pytest

from isthmus.api.core import EndpointPort
from isthmus.api.isthmus import MAX_PORTS
from isthmus.api.mcs import ImportedPort
from isthmus.mcs.rules.ports import fitted, merge_ports, named
from tests.mcs.rules.examples import HTTP, constituent, merged_of, port


@dataclass(frozen=True)
class Example:
    """Exporters' ports, oldest first; what comes of them; `slices`: of each exporter, Service port -> result name."""

    exports: tuple[tuple[ImportedPort, ...], ...]
    want: tuple[ImportedPort, ...]
    conflict: bool
    slices: tuple[dict[int, str], ...]


HTTPS = port("https", 443)
TCP_42 = port("tcp", 42)
EXAMPLES = {
    "P-1 the same": Example(((HTTP,), (HTTP,)), (HTTP,), False, ({80: "http"}, {80: "http"})),
    "P-2 one name, two numbers": Example(((HTTP,), (port("http", 8080),)), (HTTP,), True, ({80: "http"}, {})),
    "P-3 one number, two names": Example(((HTTP,), (port("web", 80),)), (HTTP,), True, ({80: "http"}, {80: "http"})),
    "P-4 one port more": Example(
        ((HTTP,), (HTTP, port("metrics", 9090))),
        (HTTP, port("metrics", 9090)),
        True,
        ({80: "http"}, {80: "http", 9090: "metrics"}),
    ),
    "P-5 unnamed and named": Example(((port("", 80),), (HTTP,)), (port("", 80),), True, ({80: ""}, {80: ""})),
    "P-6 two protocols": Example(
        ((port("dns", 53, "UDP"),), (port("dns", 53, "TCP"),)),
        (port("dns", 53, "UDP"),),
        True,
        ({53: "dns"}, {}),
    ),
    "P-7 appProtocol": Example(
        ((port("http", 80, app="http"),), (port("http", 80, app="kubernetes.io/h2c"),)),
        (port("http", 80, app="http"),),
        True,
        ({80: "http"}, {80: "http"}),
    ),
    "P-8 three exporters": Example(
        ((port("a", 1),), (port("b", 2), port("a", 3)), (port("c", 2),)),
        (port("a", 1), port("b", 2)),
        True,
        ({1: "a"}, {2: "b"}, {2: "b"}),
    ),
    "P-9 order only": Example(
        ((HTTP, HTTPS), (HTTPS, HTTP)),
        (HTTP, HTTPS),
        False,
        ({80: "http", 443: "https"}, {443: "https", 80: "http"}),
    ),
    "C-10 the suite's union": Example(
        ((TCP_42, port("udp", 42, "UDP")), (TCP_42, port("stcp", 142, "SCTP"))),
        (TCP_42, port("udp", 42, "UDP"), port("stcp", 142, "SCTP")),
        True,
        # Both of the first cluster's ports are number 42.
        ({42: "udp"}, {42: "tcp", 142: "stcp"}),
    ),
    "C-11 the suite's conflict": Example(
        ((port("udp", 41, "UDP"), TCP_42), (port("tcp", 43),)),
        (port("udp", 41, "UDP"), TCP_42),
        True,
        ({41: "udp", 42: "tcp"}, {}),
    ),
    "P-10 swapped names": Example(
        ((port("a", 1), port("b", 2)), (port("a", 2), port("b", 1))),
        (port("a", 1), port("b", 2)),
        True,
        ({1: "a", 2: "b"}, {2: "b", 1: "a"}),
    ),
}


def backend(each: ImportedPort) -> EndpointPort:
    """The slice's port behind a Service port: its number tells which one it was."""
    return EndpointPort(name=each.name, protocol=each.protocol, port=10_000 + each.port)


@pytest.mark.requirement("MCS-56", "MCS-57", "MCS-58", "MCS-59", "MCS-60", "MCS-72")
@pytest.mark.parametrize("kind", ["ClusterSetIP", "Headless"])
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_worked_examples(example: Example, kind: str) -> None:
    merged = merged_of(*(constituent(f"c{i}", *ports, on=i, type=kind) for i, ports in enumerate(example.exports)))
    assert merged.ports == example.want
    assert [each.reason for each in merged.conflicts] == (["PortConflict"] if example.conflict else [])
    for ports, want in zip(example.exports, example.slices, strict=True):
        kept = fitted([backend(each) for each in ports], ports, merged.ports)
        assert {(each.port or 0) - 10_000: each.name for each in kept} == want


@pytest.mark.requirement("MCS-61")
def test_an_unnamed_port_among_named_ones_gets_a_name_in_the_derived_service() -> None:
    merged = merge_ports([[port("", 80)], [port("dns", 53, "UDP")]])
    assert [each.name for each in merged] == ["", "dns"]
    assert [each.name for each in named(merged)] == ["tcp-80", "dns"]


@pytest.mark.requirement("MCS-61")
def test_a_generated_name_is_never_one_that_is_taken() -> None:
    assert [each.name for each in named([port("", 80), port("tcp-80", 81)])] == ["tcp-80-1", "tcp-80"]


@pytest.mark.requirement("MCS-61")
def test_a_single_port_needs_no_name() -> None:
    assert named([port("", 80)]) == (port("", 80),)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(EndpointPort(name="http", protocol="UDP", port=8080), id="another protocol"),
        pytest.param(EndpointPort(name="http", protocol="TCP", port=0), id="no number"),
        pytest.param(EndpointPort(name="http", protocol="TCP", port=70_000), id="a number out of range"),
        pytest.param(EndpointPort(name="http", protocol="TCP"), id="all ports"),
        pytest.param(EndpointPort(name="other", protocol="TCP", port=8080), id="of no Service port"),
    ],
)
def test_slice_ports_that_fit_no_service_port_are_dropped(seen: EndpointPort) -> None:
    assert fitted([seen], [HTTP], [HTTP]) == ()


def test_a_slice_port_of_another_protocol_does_not_slip_into_another_clusters_port() -> None:
    both = [HTTP, port("u", 80, "UDP")]
    assert fitted([EndpointPort(name="http", protocol="UDP", port=8080)], [HTTP], both) == ()


def test_a_slice_port_without_name_and_protocol_is_the_unnamed_tcp_port() -> None:
    kept = fitted([EndpointPort(port=8080)], [port("", 80)], [port("", 80)])
    assert kept == (EndpointPort(name="", protocol="TCP", port=8080),)


def test_the_union_over_many_clusters_has_an_end() -> None:
    exports = [[port(f"p{i}", i)] for i in range(1, MAX_PORTS + 50)]
    assert len(merge_ports(exports)) == MAX_PORTS
