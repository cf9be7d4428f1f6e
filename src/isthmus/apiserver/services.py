"""Addresses of Services: families, ClusterIPs and node ports, given and taken back.

What is taken is never stored: it follows from the Services that exist, so a refused or rehearsed write
leaks nothing.
"""

import ipaddress
import json
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from isthmus.api.scheme import Manifest
from isthmus.apiserver.schema import Cause
from isthmus.apiserver.serviceupdates import EXTERNAL_NAME, NONE, SINGLE, WITH_NODE_PORTS
from isthmus.apiserver.storage import DELETED, Change, Record

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
REQUIRE = "RequireDualStack"
NODE_PORTS = range(30000, 32768)
TOO_MANY_FAMILIES = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"
OTHER_FAMILY = {"IPv4": "IPv6", "IPv6": "IPv4"}


class Refusal(Exception):
    """Why these addresses cannot be."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.cause = Cause(field, "FieldValueInvalid", f"Invalid value: {message}")


class ServiceAddresses:
    """Who has which address and node port."""

    def __init__(self, ranges: Sequence[str]) -> None:
        networks = [ipaddress.ip_network(each) for each in ranges]
        self._networks: dict[str, Network] = {f"IPv{each.version}": each for each in networks}
        self._default = next(iter(self._networks), "IPv4")
        self._taken: dict[str, tuple[str, str]] = {}
        self._ports: dict[tuple[int, str], tuple[str, str]] = {}
        self._next: dict[str, int] = {}
        self._next_port = NODE_PORTS.start

    @property
    def families(self) -> list[str]:
        """The configured families, the default one first."""
        return list(self._networks)

    def first(self) -> list[str]:
        """The first address of each range: those of the API server's own Service."""
        return [str(network[1]) for network in self._networks.values()]

    def seen(self, change: Change) -> None:
        """Keep in step with the Services."""
        for record in (change.before, change.record):
            if record is not None:
                self._release(record)
        if change.type != DELETED:
            self.hold(change.record)

    def hold(self, record: Record) -> None:
        """Count a Service's addresses and ports as taken."""
        spec = record.manifest().get("spec") or {}
        self._taken |= dict.fromkeys(map(_canonical, _addresses(spec)), record.key)
        self._ports |= dict.fromkeys(_node_ports(spec), record.key)

    def _release(self, record: Record) -> None:
        spec = record.manifest().get("spec") or {}
        for address in map(_canonical, _addresses(spec)):
            if self._taken.get(address) == record.key:
                del self._taken[address]
        for held in _node_ports(spec):
            if self._ports.get(held) == record.key:
                del self._ports[held]

    def settle(self, obj: Manifest, old: Manifest | None) -> None:
        """Give a Service, in place, the families, addresses and node ports it lacks. Raises Refusal."""
        spec = obj["spec"]
        key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        before = (old or {}).get("spec") or {}
        if spec.get("type") == EXTERNAL_NAME:
            return
        _align(spec)
        self._settle_families(spec, before)
        if spec.get("clusterIP") == NONE:
            _check_unchanged(spec, before)
            return
        self._settle_addresses(spec, key)
        _check_unchanged(spec, before)
        self._settle_ports(spec, key)

    def _settle_families(self, spec: Manifest, before: Manifest) -> None:
        families = self._sent_families(spec)
        policy: str = spec.get("ipFamilyPolicy") or before.get("ipFamilyPolicy") or ""
        if spec.get("clusterIP") == NONE and not spec.get("selector"):
            # Whose endpoints are somebody else's may have any families, configured or not.
            families = families or [self._default]
            if len(families) < 2 and policy != SINGLE:
                families.append(OTHER_FAMILY[families[0]])
            spec |= {"ipFamilies": families, "ipFamilyPolicy": policy or REQUIRE}
            return
        policy = policy or SINGLE
        if policy == REQUIRE and len(self._networks) < 2:
            raise Refusal("spec.ipFamilyPolicy", f'"{policy}": this cluster is not configured for dual-stack services')
        for index, family in enumerate(families):
            if family not in self._networks:
                raise Refusal(f"spec.ipFamilies[{index}]", f'"{family}": not configured on this cluster')
        families = families or [self._default]
        if policy != SINGLE and len(families) == 1:
            families += [each for each in self._networks if each != families[0]]
        elif policy == SINGLE and len(families) > 1:
            raise Refusal("spec.ipFamilyPolicy", f'"{policy}": {TOO_MANY_FAMILIES}')
        spec |= {"ipFamilies": families, "ipFamilyPolicy": policy}

    def _sent_families(self, spec: Manifest) -> list[str]:
        """The families asked for, by name or by the addresses asked for."""
        given: list[str] = [ip for ip in spec.get("clusterIPs") or [] if ip != NONE]
        families: list[str] = list(spec.get("ipFamilies") or [])
        if spec.get("ipFamilyPolicy") == SINGLE and max(len(given), len(families)) > 1:
            raise Refusal("spec.ipFamilyPolicy", f'"{SINGLE}": {TOO_MANY_FAMILIES}')
        for index, address in enumerate(given):
            family, field = _family(address, index), f"spec.clusterIPs[{index}]"
            if index < len(families) and families[index] != family:
                told = f"expected an {families[index]} value as indicated by `ipFamilies[{index}]`"
                raise Refusal(field, f'"{address}": {told}')
            if index >= len(families):
                if family not in self._networks:
                    raise Refusal(field, f'["{address}"]: {family} is not configured on this cluster')
                families.append(family)
        return families

    def _settle_addresses(self, spec: Manifest, key: tuple[str, str]) -> None:
        addresses: list[str] = list(spec.get("clusterIPs") or [])
        del addresses[len(spec["ipFamilies"]) :]
        for index, family in enumerate(spec["ipFamilies"]):
            if index < len(addresses):
                self._check_free(addresses[index], index, family, key)
            else:
                addresses.append(self._allocated(family))
        spec |= {"clusterIP": addresses[0], "clusterIPs": addresses}

    def _check_free(self, address: str, index: int, family: str, key: tuple[str, str]) -> None:
        parsed, network = ipaddress.ip_address(address), self._networks[family]
        holder = self._taken.get(str(parsed))
        if holder == key:
            return
        field, told = f"spec.clusterIPs[{index}]" if index else "spec.clusterIPs", "failed to allocate IP"
        if parsed not in network:
            raise Refusal(
                field,
                f'["{address}"]: {told} {address}: the provided network does not match the current range',
            )
        if holder is not None:
            raise Refusal(field, f'["{address}"]: {told} {address}: provided IP is already allocated')

    def _allocated(self, family: str) -> str:
        network = self._networks[family]
        # The last address of an IPv4 range is its broadcast address; the first of any its own name.
        usable = network.num_addresses - (2 if network.version == 4 else 1)
        # The low end is left to those who ask for an address by number, as on the real server.
        low = min(max(16, usable // 16), 256) if usable > 16 else 0
        start = self._next.get(family, 0)
        for offset in _around(low, usable, start):
            address = str(network[offset + 1])
            if address not in self._taken:
                self._next[family] = offset + 1 - low
                return address
        raise Refusal("spec.clusterIPs", f"[]: failed to allocate a serviceIP: range is full ({network})")

    def _settle_ports(self, spec: Manifest, key: tuple[str, str]) -> None:
        wants = spec.get("type") in WITH_NODE_PORTS and spec.get("allocateLoadBalancerNodePorts", True)
        chosen: set[tuple[int, str]] = set()
        for index, port in enumerate(spec.get("ports") or ()):
            protocol, number = port.get("protocol", "TCP"), port.get("nodePort", 0)
            if spec.get("type") not in WITH_NODE_PORTS:
                port.pop("nodePort", None)
                continue
            if number and self._ports.get((number, protocol), key) != key:
                raise Refusal(f"spec.ports[{index}].nodePort", f"{number}: provided port is already allocated")
            if number and number not in NODE_PORTS:
                raise Refusal(
                    f"spec.ports[{index}].nodePort",
                    f"{number}: provided port is not in the valid range. The range of valid ports is 30000-32767",
                )
            if not number and wants:
                number = port["nodePort"] = self._free_port(protocol, chosen)
            chosen.add((number, protocol))

    def _free_port(self, protocol: str, chosen: set[tuple[int, str]]) -> int:
        size = len(NODE_PORTS)
        for step in range(size):
            port = NODE_PORTS.start + (self._next_port - NODE_PORTS.start + step) % size
            if (port, protocol) not in self._ports and (port, protocol) not in chosen:
                self._next_port = port + 1
                return port
        raise Refusal("spec.ports", "[]: failed to allocate a nodePort: range is full")


def _around(low: int, usable: int, start: int) -> Iterator[int]:
    """Offsets above `low` first, from `start` on and round; then those below."""
    span = usable - low
    for step in range(span):
        yield low + (start + step) % span
    yield from range(low)


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address))


def _family(address: str, index: int) -> str:
    try:
        return f"IPv{ipaddress.ip_address(address).version}"
    except ValueError as error:
        told = f'"{address}": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'
        raise Refusal(f"spec.clusterIPs[{index}]", told) from error


def _addresses(spec: Manifest) -> list[str]:
    return [ip for ip in spec.get("clusterIPs") or [] if ip and ip != NONE]


def _node_ports(spec: Manifest) -> list[tuple[int, str]]:
    ports = spec.get("ports") or ()
    return [(port["nodePort"], port.get("protocol", "TCP")) for port in ports if port.get("nodePort")]


def _align(spec: Manifest) -> None:
    """`clusterIP` is the first of `clusterIPs`, whichever of the two was sent."""
    first, several = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    if first and not several:
        spec["clusterIPs"] = [first]
    elif several and not first:
        raise Refusal("spec.clusterIPs", f"{json.dumps(several)}: must be empty when `clusterIP` is not specified")
    elif several and several[0] != first:
        raise Refusal("spec.clusterIPs", f"{json.dumps(several)}: first value must match `clusterIP`")
    if not first:
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)


def _check_unchanged(spec: Manifest, before: Manifest) -> None:
    held, wanted = before.get("clusterIPs") or [], spec.get("clusterIPs") or []
    if not held or before.get("type") == EXTERNAL_NAME:
        return
    if held[0] != wanted[0]:
        raise Refusal("spec.clusterIPs[0]", f"{json.dumps(wanted)}: may not change once set")
    if len(held) > 1 and len(wanted) > 1 and held[1] != wanted[1]:
        raise Refusal("spec.clusterIPs[1]", f"{json.dumps(wanted)}: may not change once set")
    families, now = before.get("ipFamilies") or [], spec.get("ipFamilies") or []
    if families and now and families[0] != now[0]:
        raise Refusal("spec.ipFamilies[0]", f'"{now[0]}": may not change once set')
