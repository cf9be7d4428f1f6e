import pytest

from isthmus.api.core import (
    HEADLESS_LABEL,
    ClientIPConfig,
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForZone,
    Service,
    ServicePort,
    ServiceSpec,
    SessionAffinityConfig,
)
from isthmus.api.meta import ObjectMeta
from isthmus.local.rules.routes import PROXY_NAME_LABEL, Backend, Place, routes

HERE = Place("east-node", "east-1")
HTTP = ServicePort(name="http", port=80)
ADDRESS, ADDRESS6 = "10.1.128.7", "fd69:1:1::7"


def service(*ports: ServicePort, labels: dict[str, str] | None = None, **spec: object) -> Service:
    wanted = {"cluster_ip": ADDRESS, "cluster_ips": (ADDRESS,), "ports": ports or (HTTP,)} | spec
    return Service(
        metadata=ObjectMeta(name="shop", namespace="prod", labels=labels or {}),
        spec=ServiceSpec(**wanted),  # type: ignore[arg-type]  # a table of fields
    )


def piece(
    *endpoints: Endpoint,
    ports: tuple[EndpointPort, ...] = (EndpointPort(name="http", protocol="TCP", port=8080),),
    family: str = "IPv4",
    labels: dict[str, str] | None = None,
) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(labels=labels or {}), address_type=family, endpoints=endpoints, ports=ports
    )


def at(
    address: str,
    *,
    node: str = "east-node",
    zones: tuple[str, ...] = (),
    ready: bool | None = True,
    serving: bool | None = None,
    terminating: bool | None = None,
) -> Endpoint:
    return Endpoint(
        addresses=(address,),
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        node_name=node,
        hints=EndpointHints(for_zones=tuple(ForZone(name=zone) for zone in zones)) if zones else None,
    )


A, B, C = "10.1.0.1", "10.1.0.2", "10.2.0.3"


def chosen(wanted: Service, *slices: EndpointSlice, place: Place = HERE) -> list[str]:
    """The addresses behind the Service's only route; none where it has no route."""
    found = routes(wanted, slices, place)
    assert len(found) <= 1
    return [backend.address for route in found for backend in route.backends]


@pytest.mark.parametrize(
    ("endpoints", "want"),
    [
        pytest.param([], [], id="nobody there, no route: refused"),
        pytest.param([at(B), at(A)], [A, B], id="all ready ones"),
        pytest.param([at(A, ready=None), at(B, ready=False)], [A], id="not said is ready"),
        pytest.param([at(A, ready=False), at(B, ready=False)], [], id="nobody ready"),
        pytest.param([at(A), at(A)], [A], id="an address counts once"),
        pytest.param(
            [at(A), at(B, ready=False, serving=True, terminating=True)],
            [A],
            id="who goes is left alone while others are ready",
        ),
        pytest.param(
            [at(A, ready=False, serving=True, terminating=True), at(B, ready=False)],
            [A],
            id="who goes but serves is better than nobody",
        ),
        pytest.param(
            [at(A, ready=False, serving=False, terminating=True)], [], id="who goes and does not serve is not"
        ),
        pytest.param([at(A, ready=False, terminating=True)], [A], id="who goes serves unless said otherwise"),
        pytest.param([at("fd69::1")], [], id="an address of the other family is no endpoint of this slice"),
        pytest.param([at("nonsense")], [], id="what is no address is left out"),
        pytest.param([Endpoint(addresses=())], [], id="an endpoint without address is left out"),
    ],
)
def test_endpoints_are_chosen(endpoints: list[Endpoint], want: list[str]) -> None:
    assert chosen(service(), piece(*endpoints)) == want


@pytest.mark.parametrize(
    ("endpoints", "want"),
    [
        pytest.param([at(A), at(B, node="other")], [A], id="only those of this node"),
        pytest.param([at(B, node="other")], [], id="nobody here means nobody"),
        pytest.param(
            [at(A, ready=False, serving=True, terminating=True), at(B, node="other")],
            [A],
            id="one that goes here beats one elsewhere",
        ),
        pytest.param([at(A, zones=("west-1",)), at(B, zones=("east-1",))], [A, B], id="hints do not count"),
    ],
)
def test_internal_traffic_policy_local(endpoints: list[Endpoint], want: list[str]) -> None:
    assert chosen(service(internal_traffic_policy="Local"), piece(*endpoints)) == want


@pytest.mark.parametrize(
    ("endpoints", "zone", "want"),
    [
        pytest.param(
            [at(A, zones=("east-1",)), at(C, zones=("west-1",))], "east-1", [A], id="only those for this zone"
        ),
        pytest.param(
            [at(A, zones=("east-1",)), at(C)], "east-1", [A, C], id="one ready endpoint without hint: no hint counts"
        ),
        pytest.param(
            [at(A, zones=("north-1",)), at(C, zones=("west-1",))], "east-1", [A, C], id="nobody for this zone: all"
        ),
        pytest.param(
            [at(A, zones=("east-1",)), at(C, zones=("west-1",))], "", [A, C], id="a node without zone takes all"
        ),
        pytest.param([at(A, zones=("east-1", "west-1"))], "west-1", [A], id="one for several zones"),
        pytest.param(
            [at(A, zones=("east-1",)), at(C, ready=False)],
            "east-1",
            [A],
            id="endpoints that are not ready need no hint",
        ),
    ],
)
def test_hints_choose_endpoints_by_zone(endpoints: list[Endpoint], zone: str, want: list[str]) -> None:
    assert chosen(service(), piece(*endpoints), place=Place("east-node", zone)) == want


def test_ports_are_matched_by_name_and_protocol() -> None:
    dns = (ServicePort(name="dns", port=53, protocol="UDP"), ServicePort(name="dns-tcp", port=53))
    behind = piece(
        at(A),
        ports=(
            EndpointPort(name="dns", protocol="UDP", port=5353),
            EndpointPort(name="dns-tcp", protocol="TCP", port=5354),
            EndpointPort(name="metrics", protocol="TCP", port=9153),
        ),
    )
    found = {(route.protocol, route.port): route.backends for route in routes(service(*dns), [behind], HERE)}
    assert found == {("UDP", 53): (Backend(A, 5353),), ("TCP", 53): (Backend(A, 5354),)}


def test_slices_with_other_numbers_for_one_name_are_one_route() -> None:
    other = piece(at(B), ports=(EndpointPort(name="http", protocol="TCP", port=9090),))
    (route,) = routes(service(), [piece(at(A)), other], HERE)
    assert route.backends == (Backend(A, 8080), Backend(B, 9090))


def test_each_family_has_the_endpoints_of_its_own_slices() -> None:
    both = service(cluster_ips=(ADDRESS, ADDRESS6))
    found = routes(both, [piece(at(A)), piece(at("fd69:1::1"), family="IPv6")], HERE)
    assert {route.address: route.backends[0].address for route in found} == {ADDRESS: A, ADDRESS6: "fd69:1::1"}
    assert {route.address: route.others[0].address for route in found} == {ADDRESS: "fd69:1::1", ADDRESS6: A}


@pytest.mark.parametrize(
    "unserved",
    [
        pytest.param(service(cluster_ip="None", cluster_ips=("None",)), id="headless"),
        pytest.param(service(cluster_ip="", cluster_ips=()), id="no address yet"),
        pytest.param(service(type="ExternalName"), id="an alias"),
        pytest.param(service(ServicePort(name="http", port=80, protocol="SCTP")), id="SCTP"),
        pytest.param(service(labels={PROXY_NAME_LABEL: "other"}), id="another proxy's"),
    ],
)
def test_what_has_no_route(unserved: Service) -> None:
    assert routes(unserved, [piece(at(A))], HERE) == ()


@pytest.mark.parametrize("label", [HEADLESS_LABEL, PROXY_NAME_LABEL])
def test_slices_meant_for_others_are_not_read(label: str) -> None:
    assert chosen(service(), piece(at(A), labels={label: ""})) == []


def test_a_route_is_named_after_all_that_its_listener_depends_on() -> None:
    (route,) = routes(service(session_affinity="ClientIP"), [piece(at(A))], HERE)
    assert route.name == f"prod/shop:80/TCP/{ADDRESS}"
    assert route.sticky == 10_800
    timed = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=10))
    wanted = service(session_affinity="ClientIP", session_affinity_config=timed)
    assert [each.sticky for each in routes(wanted, [piece(at(A))], HERE)] == [10]
