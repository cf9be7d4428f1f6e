"""What exports and imports say of themselves, and since when."""

import re
from dataclasses import replace

import msgspec
import pytest

from isthmus.api.mcs import ServiceExportStatus, ServiceImportStatus
from isthmus.api.meta import CONDITION_REASON, Condition
from isthmus.mcs.rules.conditions import (
    MAX_MESSAGE,
    ExportState,
    Told,
    events,
    export_conditions,
    import_status,
)
from isthmus.mcs.rules.exporting import Problem
from isthmus.mcs.rules.importing import Here, imported
from isthmus.mcs.rules.merge import Merged
from isthmus.mcs.rules.slices import Slices
from tests.mcs.rules.examples import constituent, day, merged_of, port, service_export, stored
from tests.mcs.rules.test_importing import settled

AGREED = merged_of(constituent("east"), constituent("west", on=2))
DISPUTED = merged_of(constituent("east"), constituent("west", port("http", 81), on=2, session_affinity="ClientIP"))


def said(state: ExportState, *seen: Condition, on: float = 5) -> dict[str, Condition]:
    export = msgspec.structs.replace(service_export(), status=ServiceExportStatus(conditions=seen))
    conditions = export_conditions(state, export=export, cluster="east", now=day(on))
    return {condition.type: condition for condition in conditions}


@pytest.mark.requirement("MCS-14", "MCS-16")
def test_an_export_without_service_is_not_valid_and_conflicts_with_nobody() -> None:
    conditions = said(ExportState(problem=Problem("NoService", "there is none"), merged=DISPUTED))
    assert (conditions["Valid"].status, conditions["Valid"].reason) == ("False", "NoService")
    assert (conditions["Ready"].status, conditions["Ready"].reason) == ("False", "Pending")
    assert "Conflict" not in conditions


READY = [
    pytest.param(ExportState(), "False", "Pending", "on its way", id="not written yet"),
    pytest.param(
        ExportState(hub_silence="12:00"), "False", "Pending", "the hub has not answered since 12:00", id="no hub"
    ),
    pytest.param(ExportState(refused="no grant"), "False", "Failed", "no grant", id="refused"),
    pytest.param(ExportState(echoed=True, merged=AGREED), "True", "Exported", "published", id="published"),
    pytest.param(
        ExportState(echoed=True, merged=AGREED, left_out=("ports: p",)), "True", "Exported", "ports: p", id="most"
    ),
    pytest.param(
        ExportState(echoed=True, merged=AGREED, hub_silence="12:00"), "True", "Exported", "changes wait", id="cut off"
    ),
]


@pytest.mark.requirement("MCS-20")
@pytest.mark.parametrize(("state", "status", "reason", "text"), READY)
def test_ready_says_how_far_the_export_came(state: ExportState, status: str, reason: str, text: str) -> None:
    ready = said(state)["Ready"]
    assert (ready.status, ready.reason) == (status, reason)
    assert text in ready.message


@pytest.mark.requirement("MCS-51")
@pytest.mark.parametrize("cluster", ["east", "west"])
def test_every_exporter_says_the_same_of_a_conflict(cluster: str) -> None:
    state = ExportState(echoed=True, merged=DISPUTED)
    conditions = export_conditions(state, export=service_export(), cluster=cluster, now=day(5))
    conflict = conditions[-1]
    assert (conflict.type, conflict.status) == ("Conflict", "True")
    assert conflict.reason == "PortConflict,SessionAffinityConflict,SessionAffinityConfigConflict"
    assert re.fullmatch(CONDITION_REASON, conflict.reason)
    assert "ports: 1 of 2 clusters differs" in conflict.message


def test_agreement_is_said_too() -> None:
    conflict = said(ExportState(echoed=True, merged=AGREED))["Conflict"]
    assert (conflict.status, conflict.reason) == ("False", "NoConflicts")


def test_no_conflict_is_said_before_the_own_export_takes_part() -> None:
    assert "Conflict" not in said(ExportState(merged=merged_of(constituent("west"))))


@pytest.mark.requirement("MCS-22")
def test_a_condition_is_as_old_as_its_status() -> None:
    pending = said(ExportState(), on=5)
    ready = said(ExportState(echoed=True, merged=AGREED), *pending.values(), on=6)
    assert ready["Valid"].last_transition_time == day(5)
    assert ready["Ready"].last_transition_time == day(6)
    other = said(ExportState(echoed=True, merged=AGREED, left_out=("x",)), *ready.values(), on=7)
    assert other["Ready"].message != ready["Ready"].message
    assert other["Ready"].last_transition_time == day(6)


@pytest.mark.requirement("MCS-22")
def test_every_condition_says_which_generation_it_saw() -> None:
    assert {each.observed_generation for each in said(ExportState(echoed=True, merged=AGREED)).values()} == {3}


def test_unchanged_facts_give_unchanged_conditions() -> None:
    state = ExportState(echoed=True, merged=DISPUTED)
    first = said(state, on=5)
    assert said(state, *first.values(), on=9) == first


@pytest.mark.requirement("MCS-21")
def test_an_event_tells_of_a_conflict_once_per_reason() -> None:
    disputed = said(ExportState(echoed=True, merged=DISPUTED)).values()
    (told,) = events((), disputed)
    assert (told.type, told.reason) == ("Warning", "Conflict")
    assert told.message.startswith("ports: 1 of 2")
    assert events(disputed, disputed) == ()
    agreed = said(ExportState(echoed=True, merged=AGREED)).values()
    assert events(disputed, agreed) == (Told("Normal", "NoConflicts", "all 2 exporting clusters agree"),)
    assert events(agreed, agreed) == events((), agreed) == ()


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        pytest.param(ExportState(problem=Problem("NoService", "there is none")), "NoService", id="no Service"),
        pytest.param(ExportState(refused="no grant"), "Failed", id="no grant"),
    ],
)
def test_trouble_is_told_when_it_comes_and_when_it_ends(trouble: ExportState, reason: str) -> None:
    bad, good = said(trouble).values(), said(ExportState(echoed=True, merged=AGREED)).values()
    assert [(each.type, each.reason) for each in events(good, bad)] == [("Warning", reason)]
    assert [each.type for each in events(bad, good)] == ["Normal"]
    assert events((), said(ExportState()).values()) == ()


def test_a_message_has_an_end() -> None:
    state = ExportState(echoed=True, left_out=("x" * 10_000,))
    assert len(said(state)["Ready"].message) == MAX_MESSAGE


def status_of(merged: Merged, here: Here, slices: Slices, *ips: str, refused: str = "") -> ServiceImportStatus:
    if ips:
        plan, seen, _ = settled(merged, here, *ips)
    else:
        plan = imported(merged, here, seen=None, services={})
        seen = stored(plan.service_import)
    return import_status(replace(plan, refused=refused), merged, slices, here=here, seen=seen, now=day(5))


@pytest.mark.requirement("MCS-27", "MCS-28", "MCS-29", "MCS-79")
def test_an_import_names_its_exporters_and_whether_it_is_usable() -> None:
    status = status_of(AGREED, Here("north"), Slices(arriving=frozenset({"east"})), "10.3.128.9")
    assert [each.cluster for each in status.clusters] == ["east", "west"]
    assert [(each.type, each.status, each.reason) for each in status.conditions] == [("Ready", "True", "Ready")]
    assert status.endpoint_slice_objects == "Present"
    assert status_of(AGREED, Here("north"), Slices(), "10.3.128.9").endpoint_slice_objects == "Absent"


@pytest.mark.requirement("MCS-28", "MCS-38")
@pytest.mark.parametrize(
    ("families", "kind", "status", "reason"),
    [
        (("IPv4",), "ClusterSetIP", "False", "Pending"),
        (("IPv6",), "ClusterSetIP", "False", "IPFamilyNotSupported"),
        (("IPv6",), "Headless", "False", "IPFamilyNotSupported"),
        (("IPv4",), "Headless", "True", "Ready"),
    ],
)
def test_an_import_that_is_not_usable_says_why(families: tuple[str, ...], kind: str, status: str, reason: str) -> None:
    merged = merged_of(constituent("east", ip_families=families, type=kind))
    (ready,) = status_of(merged, Here("north"), Slices()).conditions
    assert (ready.status, ready.reason) == (status, reason)


@pytest.mark.requirement("MCS-38", "MCS-78")
def test_ready_says_all_that_degraded() -> None:
    merged = merged_of(
        constituent("east", port("http", 80), port("BAD", 1)),
        constituent("west", on=2, internal_traffic_policy="Local"),
    )
    slices = Slices(silent=frozenset({"west"}), notes=("1 endpoint addresses of east dropped",))
    (ready,) = status_of(merged, Here("north"), slices, "10.3.128.9").conditions
    for text in ("east: ports: 'BAD'", "no heartbeat from west", "1 endpoint addresses of east dropped"):
        assert text in ready.message


def test_a_quota_that_leaves_no_service_is_told_with_what_to_do() -> None:
    said = "exceeded quota: none, requested: services=1, used: services=0, limited: services=0"
    (ready,) = status_of(AGREED, Here("north"), Slices(), refused=said).conditions
    assert (ready.status, ready.reason) == ("False", "Failed")
    assert said in ready.message
    assert "raise the namespace's ResourceQuota" in ready.message


@pytest.mark.requirement("MCS-47")
def test_a_definition_that_is_too_old_is_sent_only_what_it_knows() -> None:
    old = Here("north", unknown=frozenset({"conditions", "endpoint_slice_objects"}))
    status = status_of(AGREED, old, Slices(), "10.3.128.9")
    assert [each.cluster for each in status.clusters] == ["east", "west"]
    assert (status.conditions, status.endpoint_slice_objects) == ((), "")


def test_local_traffic_policy_is_explained_on_both_sides() -> None:
    merged = merged_of(constituent("east", internal_traffic_policy="Local"))
    (ready,) = status_of(merged, Here("north"), Slices(), "10.3.128.9").conditions
    assert "internalTrafficPolicy is Local" in ready.message
    assert "nobody is reached from here" in ready.message
    (exporter,) = status_of(merged, Here("east"), Slices(), "10.3.128.9").conditions
    assert "nobody is reached from here" not in exporter.message
    assert "internalTrafficPolicy is Local" in said(ExportState(echoed=True, merged=merged))["Ready"].message
