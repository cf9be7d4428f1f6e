"""KEP-4322: who is in the set, how a cluster gets into it, and how it does.

For programs that use an inventory: `read_providers`, `is_ready` and `client_for` (see docs/inventory.md), and
`Inventory`, which feeds a fleet of `isthmus.runtime` with its clusters.
"""

from isthmus.inventory.access import Providers, client_for, config_for, is_ready, read_providers
from isthmus.inventory.following import Inventory

__all__ = ["Inventory", "Providers", "client_for", "config_for", "is_ready", "read_providers"]
