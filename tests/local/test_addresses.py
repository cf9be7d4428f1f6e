"""Addresses of clusters: disjoint, and where everybody expects them."""

from ipaddress import ip_address, ip_network
from itertools import combinations

from isthmus.local.addresses import HUB, SET_GATEWAY, ClusterAddresses


def test_no_two_ranges_of_a_set_overlap() -> None:
    clusters = [ClusterAddresses(number) for number in range(1, 201)]
    for family in (0, 1):
        nodes = "10.0.0.0/24" if family == 0 else "fd69::/64"
        ranges = [ip_network(nodes)]
        for cluster in clusters:
            ranges += [ip_network(cluster.pod_ranges[family]), ip_network(cluster.service_ranges[family])]
        assert not [pair for pair in combinations(ranges, 2) if pair[0].overlaps(pair[1])]
        own = [cluster.node[family] for cluster in clusters] + [SET_GATEWAY[family], HUB[family]]
        assert len({ip_address(address) for address in own}) == len(clusters) + 2
        assert all(ip_address(address) in ip_network(nodes) for address in own)


def test_every_address_lies_in_its_range() -> None:
    cluster = ClusterAddresses(200)
    for family in (0, 1):
        pods, services = ip_network(cluster.pod_ranges[family]), ip_network(cluster.service_ranges[family])
        assert {ip_address(cluster.pod(index)[family]) in pods for index in (2, 255, 256, 32766)} == {True}
        assert ip_address(cluster.pod_gateway[family]) in pods
        for address in (cluster.kubernetes, cluster.cluster_dns, cluster.isthmus_dns):
            assert ip_address(address[family]) in services
    assert ClusterAddresses(1).cluster_dns[0] == "10.1.128.10"
    assert ClusterAddresses(1).kubernetes[0] == "10.1.128.1"
