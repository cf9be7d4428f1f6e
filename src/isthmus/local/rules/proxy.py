"""Envoy's configuration for a node's routes: one listener and one cluster of backends per route.

Endpoints stand in the cluster (CDS), not in files of their own (EDS): each file costs Envoy an inotify
instance, of which a user has 128 on most machines, and Envoy aborts when they run out. Replacing a cluster
closes no TCP connection: those to backends that stay, and those to backends that went, live on.
UDP has no connections: after a change of a service's backends its next datagram is a new session.

Routes with ClientIP affinity are not Envoy's: it could hash a client's address, but never forget the client.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from isthmus.api.scheme import Manifest
from isthmus.local.rules.routes import Backend, Route

# Abstract: such a name lives in the network namespace, needs no file, and has no path that is too long.
ADMIN = "@isthmus-envoy"
_TYPES = "type.googleapis.com/envoy."
_NO_LIMIT = 4294967295
# A backend that does not answer the handshake is given up for another one, up to this many in all.
_CONNECT_SECONDS = "2s"
_CONNECT_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Resources:
    """What Envoy is told: listeners (LDS) and clusters (CDS)."""

    listeners: tuple[Manifest, ...] = ()
    clusters: tuple[Manifest, ...] = ()


def resources(routes: Iterable[Route]) -> Resources:
    """Listeners and clusters for the routes without affinity, in their order.

    A listener depends on nothing but name, address and port, so that no change of backends touches it.
    """
    known = tuple(route for route in routes if not route.sticky)
    return Resources(tuple(_listener(route) for route in known), tuple(_cluster(route) for route in known))


def bootstrap(*, listeners: str, clusters: str, node: str) -> Manifest:
    """How Envoy starts: it follows these two files. Statistics cost memory per route and nobody reads them."""
    return {
        "node": {"id": node, "cluster": node},
        "admin": {"address": {"pipe": {"path": ADMIN}}},
        "dynamic_resources": {"lds_config": _followed(listeners), "cds_config": _followed(clusters)},
        "stats_config": {"stats_matcher": {"reject_all": True}},
    }


def _followed(path: str) -> Manifest:
    return {"resource_api_version": "V3", "path_config_source": {"path": path}}


def _listener(route: Route) -> Manifest:
    here = _socket(Backend(route.address, route.port), route.protocol)
    head: Manifest = {"@type": f"{_TYPES}config.listener.v3.Listener", "name": route.name, "address": here}
    if route.protocol == "UDP":
        return head | {"listener_filters": [_udp_proxy(route)]}
    return head | {"filter_chains": [{"filters": [_tcp_proxy(route)]}]}


def _tcp_proxy(route: Route) -> Manifest:
    return {
        "name": "tcp",
        "typed_config": {
            "@type": f"{_TYPES}extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "tcp",
            "cluster": route.name,
            # kube-proxy cuts no idle connection either.
            "idle_timeout": "0s",
            "max_connect_attempts": _CONNECT_ATTEMPTS,
        },
    }


def _udp_proxy(route: Route) -> Manifest:
    to_cluster = {"@type": f"{_TYPES}extensions.filters.udp.udp_proxy.v3.Route", "cluster": route.name}
    return {
        "name": "udp",
        "typed_config": {
            "@type": f"{_TYPES}extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
            "stat_prefix": "udp",
            "matcher": {"on_no_match": {"action": {"name": "route", "typed_config": to_cluster}}},
        },
    }


def _cluster(route: Route) -> Manifest:
    endpoints = [{"endpoint": each} for each in _endpoints(route)]
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), _NO_LIMIT)
    return {
        "@type": f"{_TYPES}config.cluster.v3.Cluster",
        "name": route.name,
        "type": "STATIC",
        "connect_timeout": _CONNECT_SECONDS,
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {"cluster_name": route.name, "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": {"thresholds": [limits]},
        # All backends are as good as their slices say; Envoy must not second-guess them.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }


def _endpoints(route: Route) -> list[Manifest]:
    """The backends; over TCP, each with one of the other family to turn to when it refuses.

    A client that prefers IPv6 must reach a program that listens on 0.0.0.0 only. Behind kube-proxy its first
    connection is refused, and it takes the IPv4 address; Envoy has accepted it by then.
    """
    # UDP's endpoints are TCP addresses here as well: Envoy refuses others in clusters, and looks only at the numbers.
    found: list[Manifest] = [{"address": _socket(backend, "TCP")} for backend in route.backends]
    if route.protocol == "TCP" and route.others:
        for place, endpoint in enumerate(found):
            other = route.others[place % len(route.others)]
            endpoint["additional_addresses"] = [{"address": _socket(other, "TCP")}]
    return found


def _socket(at: Backend, protocol: str) -> Manifest:
    return {"socket_address": {"protocol": protocol, "address": at.address, "port_value": at.port}}
