"""What exports and imports say of themselves: Valid, Ready and Conflict, in sentences that help.

Catalogue section 3; Kubernetes API conventions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from isthmus.api.mcs import (
    CLUSTER_SET_IP,
    ImportedFrom,
    ServiceExport,
    ServiceImport,
    ServiceImportStatus,
)
from isthmus.api.meta import Condition
from isthmus.mcs.rules.constituent import whole_second
from isthmus.mcs.rules.exporting import Problem
from isthmus.mcs.rules.foreign import few
from isthmus.mcs.rules.importing import FAMILY_NOT_SUPPORTED, Here, Plan
from isthmus.mcs.rules.merge import Merged
from isthmus.mcs.rules.slices import Slices

FAILED = "Failed"
PENDING = "Pending"
MAX_MESSAGE = 4_096  # the schema allows 32768; nobody reads that much


@dataclass(frozen=True)
class ExportState:
    """What an exporter's agent knows of one export.

    `withdrawn`: why it publishes nothing, though it is valid. `echoed`: the hub's store holds our publication.
    `refused`: why it has no effect there. `hub_silence`: since when the hub does not answer, in words. `left_out`:
    what of the Service does not travel. `merged`: the set-wide merge.
    """

    problem: Problem | None = None
    withdrawn: str = ""
    echoed: bool = False
    refused: str = ""
    hub_silence: str = ""
    left_out: tuple[str, ...] = ()
    merged: Merged | None = None


@dataclass(frozen=True)
class _Said:
    """A condition before it is known since when."""

    type: str
    status: str
    reason: str
    message: str


def export_conditions(
    state: ExportState, *, export: ServiceExport, cluster: str, now: datetime
) -> tuple[Condition, ...]:
    """Valid and Ready, and Conflict once the cluster's export takes part in the merge (MCS-14, -16, -20, -51)."""
    said = [_valid(state.problem), _ready(state)]
    if state.problem is None and state.merged and cluster in state.merged.clusters:
        said.append(_conflict(state.merged))
    seen = export.status.conditions if export.status else ()
    return _dated(said, seen, generation=export.metadata.generation, now=now)


def _valid(problem: Problem | None) -> _Said:
    if problem:
        return _Said("Valid", "False", problem.reason, problem.message)
    return _Said("Valid", "True", "Valid", "the Service exists and may be exported")


def _ready(state: ExportState) -> _Said:
    if state.problem:
        return _Said("Ready", "False", PENDING, f"not exported: {state.problem.message}")
    if state.withdrawn:
        return _Said("Ready", "False", PENDING, f"not exported: {state.withdrawn}")
    if state.refused:
        return _Said("Ready", "False", FAILED, state.refused)
    if not state.echoed:
        waiting = f"the hub has not answered since {state.hub_silence}" if state.hub_silence else "on its way"
        return _Said("Ready", "False", PENDING, f"not on the hub yet: {waiting}")
    parts = ["published on the hub", *state.left_out]
    if state.hub_silence:
        parts.append(f"the hub has not answered since {state.hub_silence}: changes wait")
    if state.merged and state.merged.internal_traffic_policy == "Local":
        parts.append(_LOCAL)
    return _Said("Ready", "True", "Exported", "; ".join(parts))


_LOCAL = "internalTrafficPolicy is Local: clients are led only to endpoints on their own node, none in other clusters"


def _advice(refused: str) -> str:
    if "quota" in refused:
        return (
            "raise the namespace's ResourceQuota for services, or delete a Service; it is tried again every 5 seconds"
        )
    return "it is tried again every 5 seconds"


def _conflict(merged: Merged) -> _Said:
    if not merged.conflicts:
        total = len(merged.exporters)
        text = "no other cluster exports it" if total == 1 else f"all {total} exporting clusters agree"
        return _Said("Conflict", "False", "NoConflicts", text)
    reasons = ",".join(conflict.reason for conflict in merged.conflicts)
    texts = [conflict.message for conflict in merged.conflicts]
    return _Said("Conflict", "True", reasons, "; ".join((*texts, "to end this, let all clusters say the same")))


@dataclass(frozen=True)
class Told:
    """What an Event tells: its type, Normal or Warning, its reason and its message."""

    type: str
    reason: str
    message: str


def events(before: Iterable[Condition], conditions: Iterable[Condition]) -> tuple[Told, ...]:
    """What to tell beside the conditions: each trouble once, when it comes or changes its reason, and when it ends.

    One Warning per change of the Conflict's reason (MCS-21). That all is well is told only after it was not: a
    thousand exports that succeed are no news.
    """
    seen = {each.type: each for each in before}
    return tuple(told for now in conditions if (told := _told(seen.get(now.type), now)) is not None)


def _told(before: Condition | None, now: Condition) -> Told | None:
    was, is_now = _is_trouble(before), _is_trouble(now)
    if is_now and not (was and before and before.reason == now.reason):
        return Told("Warning", now.type if now.type == "Conflict" else now.reason, now.message)
    if was and now.reason in _WELL:
        return Told("Normal", now.reason, now.message)
    return None


def _is_trouble(condition: Condition | None) -> bool:
    """A person has to do something about it; what is only on its way is no trouble."""
    if condition is None or condition.reason == PENDING:
        return False
    return condition.status == ("True" if condition.type == "Conflict" else "False")


_WELL = frozenset({"Valid", "Exported", "NoConflicts", "Ready"})


def import_status(
    plan: Plan, merged: Merged, slices: Slices, *, here: Here, seen: ServiceImport, now: datetime
) -> ServiceImportStatus:
    """Which clusters the import comes from, whether it is usable here, whether it has slices (MCS-27 to MCS-29)."""
    said = _import_ready(plan, merged, slices, here)
    before = seen.status.conditions if seen.status else ()
    newer: dict[str, object] = {
        "conditions": _dated([said], before, generation=seen.metadata.generation, now=now),
        "endpoint_slice_objects": "Present" if slices.wanted or slices.arriving else "Absent",
    }
    status = ServiceImportStatus(clusters=tuple(ImportedFrom(cluster=cluster) for cluster in merged.clusters))
    return msgspec.structs.replace(status, **{key: value for key, value in newer.items() if key not in here.unknown})


def _import_ready(plan: Plan, merged: Merged, slices: Slices, here: Here) -> _Said:
    notes = [*plan.notes]
    for exporter in merged.exporters:
        notes += [f"{exporter.cluster}: {note}" for note in exporter.notes]
    notes += slices.notes
    if slices.silent:
        clusters = few(sorted(slices.silent))
        notes.append(f"no heartbeat from {clusters}: endpoints there are left out until it is heard again")
    if merged.internal_traffic_policy == "Local":
        notes.append(_LOCAL if here.cluster in merged.clusters else f"{_LOCAL}: so nobody is reached from here")
    spec = plan.service_import.spec
    if plan.problem == FAMILY_NOT_SUPPORTED:
        families = " and ".join(merged.ip_families)
        text = f"the service has {families} only, which this cluster does not give to Services"
        return _Said("Ready", "False", FAMILY_NOT_SUPPORTED, "; ".join((text, *notes)))
    if plan.refused:
        text = f"the API server refuses Service {plan.derived_name}, which gives the address: {plan.refused}"
        return _Said("Ready", "False", FAILED, "; ".join((f"{text}; {_advice(plan.refused)}", *notes)))
    if spec and spec.type == CLUSTER_SET_IP and not spec.ips:
        text = f"Service {plan.derived_name} has no address yet"
        return _Said("Ready", "False", PENDING, "; ".join((text, *notes)))
    total = len(merged.exporters)
    text = f"usable; exported by {total} cluster{'s' if total > 1 else ''}"
    return _Said("Ready", "True", "Ready", "; ".join((text, *notes)))


def _dated(
    said: Iterable[_Said], seen: Sequence[Condition], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Conditions with their times: a condition is as old as its status, not as its message (MCS-22)."""
    before = {condition.type: condition for condition in seen}
    return tuple(
        Condition(
            type=each.type,
            status=each.status,
            reason=each.reason,
            message=each.message if len(each.message) <= MAX_MESSAGE else each.message[: MAX_MESSAGE - 4] + " ...",
            last_transition_time=before[each.type].last_transition_time
            if each.type in before and before[each.type].status == each.status
            else whole_second(now),
            observed_generation=generation,
        )
        for each in said
    )
