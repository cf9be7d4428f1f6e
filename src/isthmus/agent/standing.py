"""How one agent process stands: whether it leads, hears its hub, and what its cluster shares and gets."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from isthmus.agent.agent import Agent
from isthmus.agent.renewal import life_left
from isthmus.api.core import MANAGED_BY_LABEL
from isthmus.api.isthmus import MANAGED_BY
from isthmus.api.mcs import SERVICE_NAME_LABEL, ServiceExport, ServiceImport
from isthmus.kit.clock import Clock
from isthmus.kit.metrics import GAUGE, Metric, Sample
from isthmus.kit.probes import Readiness
from isthmus.kube.tls import Material
from isthmus.mcs.rules.conditions import FAILED, PENDING

HUB_REACHABLE: Final = Metric("isthmus_hub_reachable", GAUGE, "1 while the hub answers this agent, else 0.")
HUB_AGE: Final = Metric(
    "isthmus_hub_last_heard_seconds", GAUGE, "Seconds since the hub last said anything; a minute is usual."
)
CREDENTIAL: Final = Metric(
    "isthmus_hub_credential_left_ratio", GAUGE, "Which share of its token's life at the hub is left; 0 at its end."
)
EXPORTS: Final = Metric("isthmus_exports", GAUGE, "ServiceExports in this cluster.")
CONFLICTS: Final = Metric("isthmus_export_conflicts", GAUGE, "ServiceExports whose condition Conflict is True.")
IMPORTS: Final = Metric("isthmus_imports", GAUGE, "ServiceImports in this cluster.")
EXPORTS_NOT_READY: Final = Metric(
    "isthmus_exports_not_ready", GAUGE, "ServiceExports that are not in the set, by the reason they say.", ("reason",)
)
IMPORTS_NOT_READY: Final = Metric(
    "isthmus_imports_not_ready", GAUGE, "ServiceImports that are not usable here, by the reason they say.", ("reason",)
)
ENDPOINTS: Final = Metric("isthmus_imported_endpoints", GAUGE, "Endpoints in imported EndpointSlices.")


# Seconds that a standby which takes over has for reading before it counts as not ready.
TAKEOVER: Final = 30.0


class Standing:
    """Filled in by the process as it goes; `waiting_for` is what it cannot begin without, `token` how it is known."""

    def __init__(self, clock: Clock) -> None:
        self.waiting_for = "the cluster"
        self.agent: Agent | None = None
        self.token: Material | None = None
        self._stood_by = -math.inf
        self._clock = clock

    def readiness(self) -> Readiness:
        """Ready while another leads, and while the hub is away: what is imported goes on serving.

        Who stood by when last asked is ready while it takes over, for TAKEOVER seconds.
        """
        if self.waiting_for:
            return Readiness(ready=False, notes=(f"waiting for {self.waiting_for}",))
        now = self._clock.monotonic()
        if self.agent is None:
            self._stood_by = now
            return Readiness(ready=True, notes=("another agent leads",))
        is_taking_over = now - self._stood_by < TAKEOVER
        views = self.agent.views
        if not all(informer.synced for informer in views.member.as_cluster().informers):
            return Readiness(ready=is_taking_over, notes=("leading", "reading the cluster"))
        since = views.hub.exports.failing_since
        if since is not None:
            age = now - since
            return Readiness(
                ready=True, notes=("leading", f"HubUnreachable for {age:.0f} s: {views.hub.exports.problem}")
            )
        if not views.hub.synced:
            return Readiness(ready=is_taking_over, notes=("leading", "reading the hub"))
        return Readiness(ready=True, notes=("leading",))

    def samples(self) -> Iterator[Sample]:
        """What there is to count; of the hub and of services only the leader knows."""
        if self.token is not None and (left := life_left(self.token, self._clock.now())) is not None:
            yield Sample(CREDENTIAL, left)
        if self.agent is None:
            return
        hub, member = self.agent.views.hub, self.agent.views.member
        yield Sample(HUB_REACHABLE, int(hub.synced and hub.exports.failing_since is None))
        yield Sample(HUB_AGE, self._clock.monotonic() - max(hub.exports.last_heard, hub.members.last_heard))
        exports = member.exports.store.all()
        yield Sample(EXPORTS, len(exports))
        yield Sample(CONFLICTS, sum(map(_conflicts, exports)))
        yield from _not_ready(EXPORTS_NOT_READY, exports)
        yield Sample(IMPORTS, len(member.imports.store))
        yield from _not_ready(IMPORTS_NOT_READY, member.imports.store.all())
        slices = (
            piece
            for piece in member.slices.store.all()
            if piece.metadata.labels.get(MANAGED_BY_LABEL) == MANAGED_BY and SERVICE_NAME_LABEL in piece.metadata.labels
        )
        yield Sample(ENDPOINTS, sum(len(piece.endpoints) for piece in slices))


def _conflicts(export: ServiceExport) -> bool:
    conditions = export.status.conditions if export.status is not None else ()
    return any(condition.type == "Conflict" and condition.status == "True" for condition in conditions)


def _not_ready(metric: Metric, objects: Iterable[ServiceExport | ServiceImport]) -> Iterator[Sample]:
    """Counts by reason; the usual reasons are there with none, so that a first one is seen as a rise."""
    counts = Counter(filter(None, map(_trouble, objects)))
    for reason in {PENDING, FAILED, *counts}:
        yield Sample(metric, counts[reason], (reason,))


def _trouble(item: ServiceExport | ServiceImport) -> str:
    """Why it is not valid, or else not ready; empty where it is both, Pending where it says nothing yet."""
    conditions = item.status.conditions if item.status is not None else ()
    said = {condition.type: condition for condition in conditions}
    if (valid := said.get("Valid")) is not None and valid.status == "False":
        return valid.reason
    ready = said.get("Ready")
    if ready is None:
        return PENDING
    return "" if ready.status == "True" else ready.reason
