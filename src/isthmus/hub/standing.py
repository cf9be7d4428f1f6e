"""How one hub process stands: whether it leads, what it can read, and how its members do."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from isthmus.api.core import Lease
from isthmus.api.isthmus import Member
from isthmus.hub.verdicts import Verdicts
from isthmus.inventory.rules.standing import STATES, standing
from isthmus.kit.metrics import GAUGE, Metric, Sample
from isthmus.kit.probes import Readiness
from isthmus.kube.informer import Informer

MEMBERS: Final = Metric("isthmus_members", GAUGE, "Members of the set by how they do.", ("health",))
MEMBER: Final = Metric("isthmus_member_health", GAUGE, "Always 1; a member and how it does.", ("member", "health"))
HELD: Final = Metric(
    "isthmus_verdicts_held",
    GAUGE,
    "1 while too many fell silent at once to be believed, and none is judged, else 0.",
)


class Standing:
    """Filled in by the process as it goes; the informers are there while it leads."""

    def __init__(self) -> None:
        self.waiting_for = "the hub's API server"
        self.members: Informer[Member] | None = None
        self.leases: Informer[Lease] | None = None
        self.verdicts: Verdicts | None = None

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
        if self.members is None or self.verdicts is None:
            return
        states = {member.metadata.name: standing(member).state for member in self.members.store.all()}
        counts = Counter(states.values())
        for state in STATES:
            yield Sample(MEMBERS, counts[state], (state,))
        for name, state in states.items():
            yield Sample(MEMBER, 1, (name, state))
        yield Sample(HELD, int(bool(self.verdicts.held)))
