"""How one hub process stands: whether it leads, what it can read, and how its members do."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from isthmus.api.core import Lease
from isthmus.api.isthmus import HEALTHY, SILENT, Member
from isthmus.kit.metrics import GAUGE, Metric, Sample
from isthmus.kit.probes import Readiness
from isthmus.kube.informer import Informer

MEMBERS: Final = Metric("isthmus_members", GAUGE, "Members of the set by the hub's verdict on them.", ("health",))


class Standing:
    """Filled in by the process as it goes; the informers are there while it leads."""

    def __init__(self) -> None:
        self.waiting_for = "the hub's API server"
        self.members: Informer[Member] | None = None
        self.leases: Informer[Lease] | None = None

    def readiness(self) -> Readiness:
        """Ready while another leads; the leader once it has read Members and signs of life."""
        if self.waiting_for:
            return Readiness(ready=False, notes=(f"waiting for {self.waiting_for}",))
        if self.members is None or self.leases is None:
            return Readiness(ready=True, notes=("another process leads",))
        if not (self.members.synced and self.leases.synced):
            return Readiness(ready=False, notes=("leading", "reading Members and signs of life"))
        return Readiness(ready=True, notes=("leading",))

    def samples(self) -> Iterator[Sample]:
        """What there is to count; of members only the leader knows."""
        if self.members is None:
            return
        states = Counter(member.spec.health.state for member in self.members.store.all() if member.spec is not None)
        for state in (HEALTHY, SILENT):
            yield Sample(MEMBERS, states[state], (state,))
