"""Which addresses an embedded cluster has: everything follows from its number in the set.

All ranges are disjoint, so that pods of one cluster reach those of another.
"""

from dataclasses import dataclass

SET_GATEWAY = ("10.0.0.254", "fd69::254")
HUB = ("10.0.0.253", "fd69::253")
NODE_PREFIXES = (24, 64)
POD_PREFIXES = (17, 64)


@dataclass(frozen=True, slots=True)
class ClusterAddresses:
    """The addresses and ranges of cluster `number` (1 to 200); pairs are (IPv4, IPv6)."""

    number: int

    @property
    def pod_ranges(self) -> tuple[str, str]:
        """Where the addresses of pods come from."""
        return f"10.{self.number}.0.0/{POD_PREFIXES[0]}", f"fd69:{self.number}::/{POD_PREFIXES[1]}"

    @property
    def service_ranges(self) -> tuple[str, str]:
        """Where the addresses of Services come from."""
        return f"10.{self.number}.128.0/17", f"fd69:{self.number}:1::/112"

    @property
    def node(self) -> tuple[str, str]:
        """The node's addresses on the set's bridge."""
        return f"10.0.0.{self.number}", f"fd69::{self.number}"

    @property
    def pod_gateway(self) -> tuple[str, str]:
        """The node's addresses on the bridge of its pods."""
        return f"10.{self.number}.0.1", f"fd69:{self.number}::1"

    @property
    def kubernetes(self) -> tuple[str, str]:
        """The Service `default/kubernetes`: the API server."""
        return self._service(1)

    @property
    def cluster_dns(self) -> tuple[str, str]:
        """The cluster's own name server."""
        return self._service(10)

    @property
    def isthmus_dns(self) -> tuple[str, str]:
        """The name server of `clusterset.local`."""
        return self._service(11)

    def pod(self, index: int) -> tuple[str, str]:
        """The addresses of the pod with that index (2 to 32766) in the pod ranges."""
        return f"10.{self.number}.{index >> 8}.{index & 255}", f"fd69:{self.number}::{index:x}"

    def _service(self, index: int) -> tuple[str, str]:
        return f"10.{self.number}.128.{index}", f"fd69:{self.number}:1::{index:x}"
