import msgspec

from isthmus.local.rules.proxy import ADMIN, bootstrap, resources
from isthmus.local.rules.routes import Backend, Route

BACKENDS = (Backend("10.1.0.1", 8080), Backend("10.1.0.2", 8080))


def route(protocol: str = "TCP", *, sticky: int = 0, backends: tuple[Backend, ...] = BACKENDS) -> Route:
    return Route("prod/shop", protocol, "10.1.128.7", 80, sticky, backends)


def test_a_listener_does_not_depend_on_backends() -> None:
    assert resources([route(backends=BACKENDS[:1])]).listeners == resources([route()]).listeners


def test_a_route_with_affinity_is_not_envoys() -> None:
    assert resources([route(sticky=10)]) == resources([])


def test_a_cluster_holds_the_backends() -> None:
    (cluster,) = resources([route()]).clusters
    (locality,) = cluster["load_assignment"]["endpoints"]
    found = [each["endpoint"]["address"]["socket_address"] for each in locality["lb_endpoints"]]
    assert [(each["address"], each["port_value"]) for each in found] == [("10.1.0.1", 8080), ("10.1.0.2", 8080)]


def test_udp_has_no_chain_of_stream_filters() -> None:
    (listener,) = resources([route("UDP")]).listeners
    assert listener["address"]["socket_address"]["protocol"] == "UDP"
    assert "filter_chains" not in listener
    assert listener["listener_filters"]


def test_envoy_follows_the_two_files_and_opens_no_port() -> None:
    start = bootstrap(listeners="/x/listeners.json", clusters="/x/clusters.json", node="east-node")
    text = msgspec.json.encode(start)
    assert b"/x/listeners.json" in text
    assert b"/x/clusters.json" in text
    assert start["admin"] == {"address": {"pipe": {"path": ADMIN}}}


def test_a_backend_turns_to_one_of_the_other_family_when_it_is_refused() -> None:
    six = (Backend("fd69:1::1", 8080),)
    both = Route("prod/shop", "TCP", "10.1.128.7", 80, 0, BACKENDS, six)
    (cluster,) = resources([both]).clusters
    for each in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]:
        (other,) = each["endpoint"]["additional_addresses"]
        assert other["address"]["socket_address"]["address"] == "fd69:1::1"
    (datagrams,) = resources([Route("prod/dns", "UDP", "10.1.128.7", 53, 0, BACKENDS, six)]).clusters
    assert "additional_addresses" not in str(datagrams)
