"""How one DNS process stands: whether it knows all names yet."""

from isthmus.kit.probes import Readiness


class Standing:
    """`complete` is set once everything was read: before, it answers SERVFAIL."""

    def __init__(self) -> None:
        self.complete = False

    def readiness(self) -> Readiness:
        """Ready once it answers."""
        return Readiness(self.complete, () if self.complete else ("reading the cluster",))
