"""What is true by hand: which member exports what, at which addresses, and what is being changed right now."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address

# Addresses of one service come again after so many changes.
ROUND = 250


def address(member: int, service: int, change: int) -> str:
    """The address of one service's backend after so many changes: it tells whose it is."""
    return str(IPv4Address((10 << 24) + ((100 + member) << 16) + ((service % 256) << 8) + 1 + change % ROUND))


@dataclass
class Ledger:
    """`offers`: the addresses of every export, by member and service. What is `open` may or may not be so yet."""

    offers: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    open: set[tuple[str, str]] = field(default_factory=set)

    @contextmanager
    def changing(self, member: str, service: str) -> Iterator[None]:
        """While it lasts, nothing is known of this export."""
        self.open.add((member, service))
        try:
            yield
        finally:
            self.open.discard((member, service))

    def exporters(self, service: str) -> dict[str, frozenset[str]]:
        """Who exports a service, and where it is served there."""
        return {member: at for (member, name), at in self.offers.items() if name == service}

    def is_settled(self, service: str) -> bool:
        """Whether nobody is changing this service."""
        return all(name != service for _, name in self.open)

    @property
    def services(self) -> frozenset[str]:
        """All names that are exported somewhere."""
        return frozenset(name for _, name in self.offers)
