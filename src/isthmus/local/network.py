"""The network of a set: one bridge, and on it a network namespace for each cluster's node.

Nodes have routes to each other's pods and to nobody's service addresses. All of it lives in the network
namespace of whoever calls `SetNetwork.create`, and goes with the last process in it.
"""

import os
import socket
from pathlib import Path

from isthmus.errors import Invalid
from isthmus.local.addresses import HUB, NODE_PREFIXES, SET_GATEWAY, ClusterAddresses
from isthmus.local.namespaces import inside, new_network
from isthmus.local.netlink import Netlink, Peer

BRIDGE = "set0"
_LOOPBACK = 1
_BACKLOG = 512
# What neighbours remember of a node stays true when it is made again (pods have the cluster's number in the middle).
_MAC_PREFIX = b"\x02\x69\x00\x00"
_NODE_SETTINGS = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    # IPv6 has no AnyIP for bind(2) without it.
    "ipv6/ip_nonlocal_bind": "1",
}


class NodeNetwork:
    """One cluster's node: a network namespace on the set's bridge."""

    def __init__(self, number: int) -> None:
        self.addresses = ClusterAddresses(number)
        self.number = number
        # A descriptor, for `setns`.
        self.namespace = new_network()
        self._netlink: Netlink | None = None

    def listen(self, host: str, port: int) -> socket.socket:
        """A listening TCP socket inside, for a process inside or outside to serve. Raises Invalid if taken."""
        with inside(self.namespace):
            try:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                return socket.create_server((host, port), family=family, backlog=_BACKLOG)
            except OSError as error:
                raise Invalid(f"node {self.number} cannot listen on {host} port {port}: {error}") from error

    def attach(self, bridge: Netlink, index: int) -> None:
        """Join the bridge, take the node's addresses, and make the service range local."""
        bridge.add_veth(_port(self.number), index, Peer("eth0", self.namespace, _mac(self.number)))
        with inside(self.namespace):
            _configure(_NODE_SETTINGS)
            self._netlink = netlink = Netlink()
            outward = socket.if_nametoindex("eth0")
        netlink.set_up(_LOOPBACK)
        netlink.set_up(outward)
        for address, prefix in zip(self.addresses.node, NODE_PREFIXES, strict=True):
            netlink.add_address(outward, f"{address}/{prefix}")
        for services in self.addresses.service_ranges:
            netlink.add_local_route(services, _LOOPBACK)

    def reach(self, other: "NodeNetwork") -> None:
        """Route to the pods of another node."""
        add_routes(self._door, other.addresses)

    def forget(self, other: "NodeNetwork") -> None:
        """Drop the routes to another node's pods."""
        remove_routes(self._door, other.addresses)

    def close(self) -> None:
        """Let the namespace go, once the processes in it have ended."""
        if self._netlink:
            self._netlink.close()
        os.close(self.namespace)

    @property
    def _door(self) -> Netlink:
        if self._netlink is None:
            raise RuntimeError(f"node {self.number} is not attached")
        return self._netlink


class SetNetwork:
    """The bridge of a set in the current network namespace, and the nodes on it."""

    def __init__(self, netlink: Netlink, index: int) -> None:
        self._netlink = netlink
        self._index = index
        self._nodes: dict[int, NodeNetwork] = {}

    @classmethod
    def create(cls) -> "SetNetwork":
        """Bring up loopback and the bridge, with the addresses of set and hub.

        Raises Invalid if the kernel does not let this process do so.
        """
        if not Path("/proc/sys/net/ipv6").exists():
            raise Invalid("this kernel runs without IPv6; boot it without `ipv6.disable=1`")
        netlink = Netlink()
        try:
            netlink.set_up(_LOOPBACK)
            netlink.add_bridge(BRIDGE, mac=_mac(0))
            index = socket.if_nametoindex(BRIDGE)
            for pair in (SET_GATEWAY, HUB):
                for address, prefix in zip(pair, NODE_PREFIXES, strict=True):
                    netlink.add_address(index, f"{address}/{prefix}")
        except OSError as error:
            netlink.close()
            raise Invalid(f"the set's network cannot be made: {error}; see `isthmus doctor`") from error
        return cls(netlink, index)

    async def add_node(self, number: int) -> NodeNetwork:
        """Make the node of cluster `number`, reachable from all others; raises Invalid if it cannot be made."""
        if number in self._nodes:
            raise Invalid(f"there is a node {number} already")
        node = NodeNetwork(number)
        try:
            node.attach(self._netlink, self._index)
        except OSError as error:
            node.close()
            self._netlink.remove_link(_port(number))
            raise Invalid(f"the network of node {number} cannot be made: {error}") from error
        add_routes(self._netlink, node.addresses)
        for other in self._nodes.values():
            other.reach(node)
            node.reach(other)
        self._nodes[number] = node
        return node

    async def remove_node(self, number: int) -> None:
        """Cut a node off and let it go; one that is not there is no error."""
        node = self._nodes.pop(number, None)
        if node is None:
            return
        for other in self._nodes.values():
            other.forget(node)
        remove_routes(self._netlink, node.addresses)
        self._netlink.remove_link(_port(number))
        node.close()

    def close(self) -> None:
        """Let all nodes and the bridge go."""
        for number, node in self._nodes.items():
            self._netlink.remove_link(_port(number))
            node.close()
        self._nodes.clear()
        self._netlink.remove_link(BRIDGE)
        self._netlink.close()


def add_routes(netlink: Netlink, to: ClusterAddresses) -> None:
    """Reach a cluster's pods by way of its node."""
    for pods, node in zip(to.pod_ranges, to.node, strict=True):
        netlink.add_route(pods, node)


def remove_routes(netlink: Netlink, to: ClusterAddresses) -> None:
    """Undo `add_routes`."""
    for pods, node in zip(to.pod_ranges, to.node, strict=True):
        netlink.remove_route(pods, node)


def _configure(settings: dict[str, str]) -> None:
    for name, value in settings.items():
        Path("/proc/sys/net", name).write_text(value)


def _mac(number: int) -> bytes:
    return _MAC_PREFIX + number.to_bytes(2)


def _port(number: int) -> str:
    return f"node{number}"
