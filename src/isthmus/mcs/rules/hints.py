"""Whose clients an endpoint is for: the EndpointSlice hints that give `trafficDistribution` its effect.

KEP-3015 and KEP-4444; design, part 3, rule 8. kube-proxy ignores the policy itself, and heeds the hints.
"""

from collections.abc import Callable
from typing import TypeAlias

from isthmus.api.core import Endpoint, EndpointHints, ForNode, ForZone
from isthmus.api.isthmus import Member
from isthmus.api.mcs import CLUSTER_SET_IP
from isthmus.mcs.rules.foreign import PREFER_SAME_NODE
from isthmus.mcs.rules.importing import Here
from isthmus.mcs.rules.merge import Merged

# The hint of an endpoint that is in none of this cluster's zones, or on none of its nodes. kube-proxy heeds hints
# only if every endpoint has one, so these need a name too: one that nothing has.
ELSEWHERE = "elsewhere.isthmus.dev"

Near: TypeAlias = Callable[[Endpoint], EndpointHints]


def nearness(merged: Merged, here: Here, cluster: str, member: Member | None) -> Near | None:
    """Gives an endpoint's hints: whose clients it is for. No hints unless the policy asks for closeness.

    A zone's name says nothing outside its region: another cluster's counts only if both regions are known and equal.
    A node's name says nothing outside its cluster: `PreferSameNode` falls back on the zone, as in Kubernetes.
    """
    by_node = merged.traffic_distribution == PREFER_SAME_NODE and PREFER_SAME_NODE in here.distributions
    if not merged.traffic_distribution or not (here.zones or by_node) or merged.type != CLUSTER_SET_IP:
        return None
    region = member.status.region if member and member.status else ""
    is_own = cluster == here.cluster
    same_region = is_own or bool(region and region == here.region)

    def hints(endpoint: Endpoint) -> EndpointHints:
        zone = endpoint.zone if same_region and endpoint.zone and endpoint.zone in here.zones else ELSEWHERE
        node = endpoint.node_name if is_own and endpoint.node_name else ELSEWHERE
        return EndpointHints(
            for_zones=(ForZone(name=zone),) if here.zones else (),
            for_nodes=(ForNode(name=node),) if by_node else (),
        )

    return hints


def hinted(seen: Endpoint, near: Near | None) -> Endpoint:
    """The endpoint with its hints, if it is to have some."""
    if near is None:
        return seen
    return Endpoint(
        addresses=seen.addresses,
        conditions=seen.conditions,
        hostname=seen.hostname,
        node_name=seen.node_name,
        zone=seen.zone,
        hints=near(seen),
        target_ref=seen.target_ref,
    )
