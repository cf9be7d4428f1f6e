"""Which pod has which address: an index into the cluster's pod ranges."""

from isthmus.errors import Invalid
from isthmus.local.addresses import ClusterAddresses

# 0 is the network, 1 the gateway, the last of a /17 the broadcast address.
FIRST, LAST = 2, 0x7FFE


class Indexes:
    """The indexes in use; each new one is the next after the last, so that none comes back soon."""

    def __init__(self, addresses: ClusterAddresses) -> None:
        self._addresses = addresses
        self._taken: dict[int, str] = {}
        self._last = FIRST - 1

    def take(self, owner: str, recorded: str = "") -> int:
        """An index for `owner`: that of its recorded IPv4 address where it is free; raises Invalid if none is left."""
        index = self._index(recorded)
        if index is None or self._taken.get(index, owner) != owner:
            index = self._next()
        self._taken[index] = owner
        self._last = max(self._last, index) if recorded else index
        return index

    def free(self, owner: str) -> None:
        """Give back what `owner` has."""
        self._taken = {index: other for index, other in self._taken.items() if other != owner}

    def _next(self) -> int:
        count = LAST - FIRST + 1
        for step in range(1, count + 1):
            index = FIRST + (self._last - FIRST + step) % count
            if index not in self._taken:
                return index
        raise Invalid("all addresses of this node are taken; delete some pods")

    def _index(self, address: str) -> int | None:
        first, _, rest = address.partition(".")
        parts = rest.split(".")
        if first != "10" or len(parts) != 3 or not all(part.isdigit() for part in parts):
            return None
        index = int(parts[1]) << 8 | int(parts[2])
        return index if int(parts[0]) == self._addresses.number and FIRST <= index <= LAST else None
