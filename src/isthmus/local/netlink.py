"""Links, addresses and routes of a network namespace, changed by netlink messages (rtnetlink(7)).

Written by hand, with the standard library only: it runs in the small process that starts pods, where a
library for all of netlink would cost more time and memory than everything else there.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

_ERROR = 2
_NEWLINK, _DELLINK, _NEWADDR, _NEWROUTE, _DELROUTE = 16, 17, 20, 24, 25
_REQUEST, _ACK, _REPLACE, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_NESTED = 0x8000

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 10, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 1, 4, 5, 15

_IFF_UP = 1
_NO_DUPLICATE_CHECK = 0x02
_TABLE_MAIN, _TABLE_LOCAL = 254, 255
_PROTO_STATIC = 4
_SCOPE_GLOBAL, _SCOPE_LINK, _SCOPE_HOST = 0, 253, 254
_UNICAST, _LOCAL = 1, 2
_LARGEST_ANSWER = 64 * 1024


@dataclass(frozen=True)
class Peer:
    """The far end of a veth pair: its name and MAC address, and the namespace it appears in."""

    name: str
    namespace: int
    mac: bytes = b""


class Netlink:
    """A socket that changes the network namespace in which it was made, wherever its owner goes later."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def add_bridge(self, name: str, *, mac: bytes = b"") -> None:
        """Make a bridge that is up; one that exists already is kept. Without a `mac` it takes one of its ports'."""
        body = _link(up=True) + _text(_IFLA_IFNAME, name)
        if mac:
            body += _attribute(_IFLA_ADDRESS, mac)
        body += _nest(_IFLA_LINKINFO, _text(_INFO_KIND, "bridge"))
        try:
            self._ask(_NEWLINK, _CREATE | _EXCLUSIVE, body)
        except FileExistsError:
            return

    def add_veth(self, name: str, master: int, peer: Peer) -> None:
        """Make a pair of which one end, called `name`, is a port of the bridge `master` and up; the peer is down.

        A `%d` in `name` becomes the first free number.
        """
        far = _link() + _text(_IFLA_IFNAME, peer.name) + _number(_IFLA_NET_NS_FD, peer.namespace)
        if peer.mac:
            far += _attribute(_IFLA_ADDRESS, peer.mac)
        info = _text(_INFO_KIND, "veth") + _nest(_INFO_DATA, _nest(_VETH_PEER, far))
        body = _link(up=True) + _text(_IFLA_IFNAME, name) + _number(_IFLA_MASTER, master)
        self._ask(_NEWLINK, _CREATE | _EXCLUSIVE, body + _nest(_IFLA_LINKINFO, info))

    def remove_link(self, name: str) -> None:
        """Remove a link, and its peer with it; one that is not there is no error."""
        try:
            self._ask(_DELLINK, 0, _link() + _text(_IFLA_IFNAME, name))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def set_up(self, index: int) -> None:
        """Bring a link up."""
        self._ask(_NEWLINK, 0, _link(index=index, up=True))

    def add_address(self, index: int, address: str) -> None:
        """Give a link an address with its prefix, usable at once."""
        interface = ip_interface(address)
        packed = interface.ip.packed
        # Nobody else is on these links, and a duplicate check would hold back IPv6 for a second.
        head = struct.pack("=BBBBI", _family(interface), interface.network.prefixlen, _NO_DUPLICATE_CHECK, 0, index)
        attributes = _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
        self._ask(_NEWADDR, _CREATE | _REPLACE, head + attributes)

    def add_route(self, destination: str, gateway: str) -> None:
        """Reach a network by way of a neighbour."""
        self._ask(_NEWROUTE, _CREATE | _REPLACE, _route(destination, _by(gateway)))

    def remove_route(self, destination: str, gateway: str) -> None:
        """Undo `add_route`; a route that is not there is no error."""
        try:
            self._ask(_DELROUTE, 0, _route(destination, _by(gateway)))
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise

    def add_local_route(self, destination: str, index: int) -> None:
        """Make every address of a network this namespace's own ("AnyIP")."""
        out = _number(_RTA_OIF, index)
        self._ask(_NEWROUTE, _CREATE | _REPLACE, _route(destination, out, local=True))

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        size = 16 + len(body)
        header = struct.pack("=IHHII", size, kind, flags | _REQUEST | _ACK, self._sequence, 0)
        self._socket.send(header + body)
        while True:
            answer = self._socket.recv(_LARGEST_ANSWER)
            kind, _flags, sequence = struct.unpack_from("=HHI", answer, 4)
            if kind == _ERROR and sequence == self._sequence:
                break
        (code,) = struct.unpack_from("=i", answer, 16)
        if code:
            raise OSError(-code, os.strerror(-code))


def indexes(prefix: str = "") -> Iterable[tuple[int, str]]:
    """The links of the current network namespace whose names start with `prefix`: (index, name)."""
    return [(index, name) for index, name in socket.if_nameindex() if name.startswith(prefix)]


def _by(gateway: str) -> bytes:
    return _attribute(_RTA_GATEWAY, ip_address(gateway).packed)


def _route(destination: str, by: bytes, *, local: bool = False) -> bytes:
    network = ip_network(destination)
    family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
    table = _TABLE_LOCAL if local else _TABLE_MAIN
    scope = _SCOPE_HOST if local else _SCOPE_GLOBAL
    kind = _LOCAL if local else _UNICAST
    head = struct.pack("=BBBBBBBBI", family, network.prefixlen, 0, 0, table, _PROTO_STATIC, scope, kind, 0)
    target = _attribute(_RTA_DST, network.network_address.packed) if network.prefixlen else b""
    return head + target + _number(_RTA_TABLE, table) + by


def _family(interface: IPv4Interface | IPv6Interface) -> int:
    return socket.AF_INET6 if interface.version == 6 else socket.AF_INET


def _link(*, index: int = 0, up: bool = False) -> bytes:
    flags = _IFF_UP if up else 0
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def _attribute(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return struct.pack("=HH", size, kind) + value + bytes(-size % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _nest(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NESTED, value)
