"""Many exports, one import: tables of the catalogue's merge rules, and what holds for any exports."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.api.core import ClientIPConfig, SessionAffinityConfig
from isthmus.mcs.rules.constituent import Constituent
from isthmus.mcs.rules.merge import merge
from isthmus.mcs.rules.ports import merge_ports
from tests.mcs.rules.examples import HTTP, constituent, merged_of, port

TEN_SECONDS = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=10))


def reasons(*exporters: Constituent) -> str:
    return ",".join(conflict.reason for conflict in merged_of(*exporters).conflicts)


@pytest.mark.requirement("MCS-25")
def test_nothing_exported_nothing_imported() -> None:
    assert merge([]) is None


@pytest.mark.requirement("MCS-10", "MCS-23")
def test_one_exporter_alone_agrees_with_itself() -> None:
    merged = merged_of(constituent("east", HTTP, session_affinity="ClientIP"))
    assert (merged.namespace, merged.name, merged.type) == ("prod", "shop", "ClusterSetIP")
    assert merged.ports == (HTTP,)
    assert merged.session_affinity == "ClientIP"
    assert not merged.conflicts


@pytest.mark.requirement("MCS-27", "MCS-48", "MCS-49", "MCS-50")
def test_the_oldest_export_wins_wherever_it_is_and_ties_go_to_the_id() -> None:
    merged = merged_of(constituent("west", on=2), constituent("north", on=1), constituent("east", on=2))
    assert merged.clusters == ("north", "east", "west")
    assert merged.winner.cluster == "north"


DISAGREEMENTS = [
    pytest.param({"type": "Headless"}, "TypeConflict", id="headless against not"),
    pytest.param(
        {"session_affinity": "ClientIP"},
        "SessionAffinityConflict,SessionAffinityConfigConflict",
        id="affinity, and so its time",
    ),
    pytest.param({"exported_labels": {"a": "1"}}, "LabelsConflict", id="labels"),
    pytest.param({"exported_annotations": {"a": "1"}}, "AnnotationsConflict", id="annotations"),
    pytest.param({"internal_traffic_policy": "Local"}, "InternalTrafficPolicyConflict", id="traffic policy"),
    pytest.param({"traffic_distribution": "PreferClose"}, "TrafficDistributionConflict", id="distribution"),
    pytest.param({"ip_families": ("IPv6",)}, "IPFamilyConflict", id="no family in common"),
    pytest.param({"ports": (HTTP, port("admin", 81))}, "PortConflict", id="one port more"),
]


@pytest.mark.requirement("MCS-42", "MCS-43", "MCS-51", "MCS-52")
@pytest.mark.parametrize(("differing", "want"), DISAGREEMENTS)
def test_the_winners_value_is_used_and_the_conflict_named(differing: dict[str, object], want: str) -> None:
    alone, both = merged_of(constituent("east")), merged_of(constituent("east"), constituent("west", on=2, **differing))
    assert reasons(constituent("east"), constituent("west", on=2, **differing)) == want
    for field in ("type", "session_affinity", "labels", "annotations", "internal_traffic_policy"):
        assert getattr(both, field) == getattr(alone, field)
    assert both.traffic_distribution == alone.traffic_distribution
    assert both.ip_families == alone.ip_families


@pytest.mark.requirement("MCS-39")
def test_affinity_settings_are_compared_and_taken_whole() -> None:
    east = constituent("east", session_affinity="ClientIP", session_affinity_config=TEN_SECONDS)
    west = constituent("west", on=2, session_affinity="ClientIP")
    assert reasons(east, west) == "SessionAffinityConfigConflict"
    assert merged_of(east, west).session_affinity_config == TEN_SECONDS


@pytest.mark.requirement("MCS-40")
def test_an_absent_traffic_policy_is_cluster() -> None:
    assert reasons(constituent("east"), constituent("west", on=2, internal_traffic_policy="Cluster")) == ""
    assert merged_of(constituent("east")).internal_traffic_policy == "Cluster"


@pytest.mark.requirement("MCS-41")
def test_two_names_of_one_distribution_conflict_only_by_the_first_rules() -> None:
    exporters = (
        constituent("east", traffic_distribution="PreferClose"),
        constituent("west", on=2, traffic_distribution="PreferSameZone"),
    )
    first, second = merge(exporters, rules=1), merge(exporters, rules=2)
    assert first
    assert second
    assert [each.reason for each in first.conflicts] == ["TrafficDistributionConflict"]
    assert second.conflicts == ()
    assert second.traffic_distribution == "PreferClose"


@pytest.mark.requirement("MCS-41")
def test_traffic_distribution_is_the_winners() -> None:
    east = constituent("east", traffic_distribution="PreferClose")
    assert merged_of(east, constituent("west", on=2)).traffic_distribution == "PreferClose"


@pytest.mark.requirement("MCS-43")
def test_label_maps_are_not_mixed() -> None:
    east = constituent("east", exported_labels={"a": "1"})
    west = constituent("west", on=2, exported_labels={"b": "2"}, exported_annotations={"c": "3"})
    merged = merged_of(east, west)
    assert (merged.labels, merged.annotations) == ({"a": "1"}, {})


@pytest.mark.requirement("MCS-51")
def test_several_reasons_come_in_the_catalogues_order() -> None:
    other = constituent(
        "west",
        port("http", 81),
        on=2,
        type="Headless",
        session_affinity="ClientIP",
        exported_labels={"a": "1"},
        exported_annotations={"a": "1"},
        internal_traffic_policy="Local",
        traffic_distribution="PreferClose",
        ip_families=("IPv6",),
    )
    assert reasons(constituent("east"), other) == (
        "PortConflict,TypeConflict,SessionAffinityConflict,SessionAffinityConfigConflict,LabelsConflict,"
        "AnnotationsConflict,InternalTrafficPolicyConflict,TrafficDistributionConflict,IPFamilyConflict"
    )


FAMILIES = [
    pytest.param([("IPv4",)], ("IPv4",), False, id="one"),
    pytest.param([("IPv6", "IPv4"), ("IPv4", "IPv6")], ("IPv6", "IPv4"), False, id="the winner's order"),
    pytest.param([("IPv4", "IPv6"), ("IPv4",)], ("IPv4",), False, id="a second of some is left out silently"),
    pytest.param([("IPv4", "IPv6"), ("IPv6",)], ("IPv6",), False, id="the winner's first is not sacred"),
    pytest.param([("IPv4",), ("IPv6",)], ("IPv4",), True, id="nothing in common is skipped and flagged"),
    pytest.param([("IPv4", "IPv6"), ("IPv4",), ("IPv6",)], ("IPv4",), True, id="the younger is skipped"),
    pytest.param([(), ("IPv6",)], ("IPv6",), True, id="a winner that names none decides nothing"),
    pytest.param([()], (), True, id="nobody names any"),
]


@pytest.mark.requirement("MCS-36", "MCS-38")
@pytest.mark.parametrize(("offers", "want", "conflict"), FAMILIES)
def test_families_are_what_all_have_in_common(
    offers: list[tuple[str, ...]], want: tuple[str, ...], conflict: bool
) -> None:
    exporters = [constituent(f"c{i}", on=i, ip_families=offer) for i, offer in enumerate(offers)]
    merged = merged_of(*exporters)
    assert merged.ip_families == want
    assert ("IPFamilyConflict" in reasons(*exporters)) == conflict


@pytest.mark.requirement("MCS-54")
def test_a_message_names_the_field_the_winner_why_and_how_many() -> None:
    exporters = [constituent(f"c{i}", on=i, session_affinity="ClientIP" if i else "None") for i in range(5)]
    message = merged_of(*exporters).conflicts[0].message
    assert message == (
        "sessionAffinity: 4 of 5 clusters differ from c0, whose value is used "
        "(its ServiceExport is the oldest, of 2026-01-01T00:00:00Z)"
    )


@pytest.mark.requirement("MCS-54")
def test_a_port_message_names_the_ports_that_nobody_can_reach() -> None:
    message = merged_of(constituent("east"), constituent("west", port("http", 8080), on=2)).conflicts[0].message
    assert message.startswith("ports: 1 of 2 clusters differs from those of east")
    assert message.endswith("; not offered: http 8080/TCP")


@pytest.mark.requirement("MCS-36", "MCS-54")
def test_a_family_message_says_what_is_lost() -> None:
    east, west = constituent("east"), constituent("west", on=2, ip_families=("IPv6",))
    assert merged_of(east, west).conflicts[0].message == (
        "ipFamilies: 1 of 2 clusters lacks IPv4, which east offers "
        "(its ServiceExport is the oldest, of 2026-01-02T00:00:00Z): their endpoints cannot be reached"
    )


@pytest.mark.requirement("MCS-53")
def test_when_the_winner_leaves_the_next_one_decides_at_once() -> None:
    west = constituent("west", on=2, type="Headless")
    assert merged_of(constituent("east"), west).type == "ClusterSetIP"
    assert merged_of(west).type == "Headless"


@pytest.mark.requirement("MCS-55")
def test_an_export_made_again_loses_its_precedence() -> None:
    west = constituent("west", on=2)
    assert merged_of(constituent("east", on=1), west).winner.cluster == "east"
    assert merged_of(constituent("east", on=3), west).winner.cluster == "west"


PORTS = st.builds(
    port,
    st.sampled_from(["", "a", "b", "c"]),
    st.integers(1, 4),
    st.sampled_from(["TCP", "UDP"]),
    st.sampled_from([None, "http"]),
)
EXPORTERS = st.lists(
    st.builds(
        lambda cluster, ports, on, families, kind: constituent(
            f"c{cluster}", *ports, on=on, ip_families=families, type=kind
        ),
        st.integers(0, 20),
        st.lists(PORTS, min_size=1, max_size=4),
        st.integers(0, 3),
        st.sampled_from([("IPv4",), ("IPv6",), ("IPv4", "IPv6"), ("IPv6", "IPv4"), ()]),
        st.sampled_from(["ClusterSetIP", "Headless"]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda each: each.cluster,
)


@pytest.mark.requirement("MCS-50")
@settings(max_examples=150, deadline=None)
@given(EXPORTERS, st.randoms(use_true_random=False))
def test_all_agents_agree_in_whatever_order_exports_arrive(exporters: list[Constituent], chance: random.Random) -> None:
    shuffled = list(exporters)
    chance.shuffle(shuffled)
    assert merge(shuffled) == merge(exporters)


@pytest.mark.requirement("MCS-57")
@settings(max_examples=150, deadline=None)
@given(EXPORTERS)
def test_ports_are_unique_and_a_conflict_is_any_set_unlike_the_result(exporters: list[Constituent]) -> None:
    merged = merged_of(*exporters)
    assert len({each.name for each in merged.ports}) == len(merged.ports)
    assert len({(each.protocol, each.port) for each in merged.ports}) == len(merged.ports)
    unlike = any(set(each.spec.ports) != set(merged.ports) for each in exporters)
    assert ("PortConflict" in reasons(*exporters)) == unlike
    assert merge_ports([merged.ports]) == merged.ports
