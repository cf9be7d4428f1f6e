"""What an importing cluster has of a merged service, and how its addresses outlive all changes."""

import msgspec
import pytest

from isthmus.api.core import Service
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL, RESERVED_IPS_ANNOTATION
from isthmus.api.mcs import ServiceImport, ServiceImportSpec
from isthmus.api.meta import ObjectMeta
from isthmus.mcs.rules.importing import Here, Plan, derived_name_for, distributions, imported, is_ours
from isthmus.mcs.rules.merge import Merged
from isthmus.mcs.rules.names import ImportKey, derived_name
from tests.mcs.rules.examples import NAME, NAMESPACE, constituent, day, merged_of, port, stored

FIRST = derived_name(NAMESPACE, NAME)
DUAL = Here("north", families=("IPv4", "IPv6"))
V4, V6 = "10.3.128.9", "fd69:3:1::9"


def spec_in(plan: Plan) -> ServiceImportSpec:
    assert plan.service_import.spec
    return plan.service_import.spec


def made(plan: Plan, *ips: str) -> dict[str, Service]:
    """The Services of the namespace once the derived one was created and given these addresses."""
    assert plan.derived is not None
    seen = msgspec.convert(plan.derived, Service)
    spec = msgspec.structs.replace(seen.spec, cluster_ip=ips[0], cluster_ips=ips)
    return {plan.derived_name: msgspec.structs.replace(seen, spec=spec)}


def settled(merged: Merged, here: Here, *ips: str) -> tuple[Plan, ServiceImport, dict[str, Service]]:
    """An import after three passes: made, its Service made, its addresses written."""
    first = imported(merged, here, seen=None, services={})
    second = imported(merged, here, seen=stored(first.service_import), services={})
    services = made(second, *ips)
    third = imported(merged, here, seen=stored(second.service_import), services=services)
    return third, stored(third.service_import), services


@pytest.mark.requirement("MCS-23", "MCS-39", "MCS-40", "MCS-41")
def test_the_import_carries_what_the_merge_decided() -> None:
    merged = merged_of(
        constituent(
            "east",
            session_affinity="ClientIP",
            internal_traffic_policy="Local",
            traffic_distribution="PreferClose",
            exported_labels={"team": "shop"},
            exported_annotations={"note": "hello"},
        )
    )
    plan = imported(merged, Here("north"), seen=None, services={})
    spec, metadata = spec_in(plan), plan.service_import.metadata
    assert (spec.type, spec.ports) == ("ClusterSetIP", merged.ports)
    assert (spec.session_affinity, spec.internal_traffic_policy) == ("ClientIP", "Local")
    assert spec.session_affinity_config == merged.session_affinity_config
    assert spec.traffic_distribution == "PreferClose"
    assert (metadata.namespace, metadata.name) == (NAMESPACE, NAME)
    assert metadata.labels == {"team": "shop", MARKER_LABEL: MANAGED_BY}
    assert metadata.annotations["note"] == "hello"


@pytest.mark.requirement("MCS-31", "MCS-32", "MCS-37")
def test_addresses_and_families_come_in_one_update() -> None:
    merged = merged_of(constituent("east", ip_families=("IPv4", "IPv6")))
    first = imported(merged, DUAL, seen=None, services={})
    assert (first.derived, spec_in(first).ips) == (None, ())
    assert spec_in(first).ip_families == ("IPv4", "IPv6")
    plan, _, _ = settled(merged, DUAL, V4, V6)
    assert (spec_in(plan).ips, spec_in(plan).ip_families) == ((V4, V6), ("IPv4", "IPv6"))


@pytest.mark.requirement("MCS-61")
def test_the_derived_service_is_what_kube_proxy_needs_and_belongs_to_the_import() -> None:
    merged = merged_of(constituent("east", port("", 80), port("dns", 53, "UDP"), session_affinity="ClientIP"))
    first = imported(merged, Here("north"), seen=None, services={})
    derived = imported(merged, Here("north"), seen=stored(first.service_import), services={}).derived
    assert derived
    assert derived["metadata"]["name"] == FIRST
    assert (
        derived["metadata"]["ownerReferences"][0] | {"uid": "import-1", "controller": False}
        == (derived["metadata"]["ownerReferences"][0])
    )
    assert derived["spec"] == {
        "type": "ClusterIP",
        "selector": {},
        "externalIPs": [],
        "publishNotReadyAddresses": False,
        "ports": [
            {"name": "tcp-80", "port": 80, "targetPort": 80, "protocol": "TCP"},
            {"name": "dns", "port": 53, "targetPort": 53, "protocol": "UDP"},
        ],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
        "internalTrafficPolicy": "Cluster",
    }
    assert is_ours(msgspec.convert(derived, Service), NAME)


@pytest.mark.requirement("MCS-61")
def test_the_import_keeps_an_unnamed_port_and_slices_use_its_generated_name() -> None:
    merged = merged_of(constituent("east", port("", 80)), constituent("west", port("dns", 53, "UDP"), on=2))
    plan = imported(merged, Here("north"), seen=None, services={})
    assert [each.name for each in spec_in(plan).ports] == ["", "dns"]
    assert [each.name for each in plan.ports] == ["tcp-80", "dns"]


@pytest.mark.requirement("MCS-33")
def test_addresses_survive_every_change_of_the_service() -> None:
    _, seen, services = settled(merged_of(constituent("east")), DUAL, V4)
    changed = merged_of(constituent("west", port("web", 8080), session_affinity="ClientIP"))
    plan = imported(changed, DUAL, seen=seen, services=services)
    assert spec_in(plan).ips == (V4,)
    assert plan.derived
    assert plan.derived["spec"]["clusterIPs"] == [V4]


@pytest.mark.requirement("MCS-33", "MCS-38")
def test_a_lost_derived_service_is_made_again_with_its_addresses() -> None:
    merged = merged_of(constituent("east", ip_families=("IPv4", "IPv6")))
    _, seen, _ = settled(merged, DUAL, V4, V6)
    plan = imported(merged, DUAL, seen=seen, services={})
    assert plan.derived
    assert (plan.derived["spec"]["clusterIP"], plan.derived["spec"]["clusterIPs"]) == (V4, [V4, V6])
    assert spec_in(plan).ips == (V4, V6)


@pytest.mark.requirement("MCS-33")
def test_one_with_another_address_goes_before_it_is_made_again() -> None:
    merged = merged_of(constituent("east"))
    plan, seen, _ = settled(merged, DUAL, V4)
    plan = imported(merged, DUAL, seen=seen, services=made(plan, "10.3.128.77"))
    assert plan.derived is None
    assert spec_in(plan).ips == (V4,)


def test_one_that_is_going_is_waited_for() -> None:
    merged = merged_of(constituent("east"))
    plan, seen, services = settled(merged, DUAL, V4)
    old = services[plan.derived_name]
    going = msgspec.structs.replace(old, metadata=msgspec.structs.replace(old.metadata, deletion_timestamp=day(1)))
    assert imported(merged, DUAL, seen=seen, services={plan.derived_name: going}).derived is None


@pytest.mark.requirement("MCS-18", "MCS-34", "MCS-37")
def test_a_headless_import_has_families_but_no_addresses_and_no_service() -> None:
    merged = merged_of(constituent("east", type="Headless"))
    first = imported(merged, DUAL, seen=None, services={})
    plan = imported(merged, DUAL, seen=stored(first.service_import), services={})
    assert (spec_in(plan).ips, spec_in(plan).ip_families) == ((), ("IPv4",))
    assert plan.derived is None
    assert not plan.problem


@pytest.mark.requirement("MCS-33", "MCS-34", "MCS-38")
def test_a_turn_to_headless_and_back_gives_the_same_addresses() -> None:
    merged = merged_of(constituent("east", ip_families=("IPv4", "IPv6")))
    _, seen, services = settled(merged, DUAL, V4, V6)
    headless = merged_of(constituent("west", type="Headless"))
    away = imported(headless, DUAL, seen=seen, services=services)
    assert spec_in(away).ips == ()
    assert away.service_import.metadata.annotations[RESERVED_IPS_ANNOTATION] == f"{V4},{V6}"
    assert away.derived
    assert away.derived["spec"]["clusterIPs"] == [V4, V6]
    lost = imported(headless, DUAL, seen=stored(away.service_import), services={})
    assert lost.derived
    assert lost.derived["spec"]["clusterIPs"] == [V4, V6]
    back = imported(merged, DUAL, seen=stored(away.service_import), services=services)
    assert spec_in(back).ips == (V4, V6)
    assert RESERVED_IPS_ANNOTATION not in back.service_import.metadata.annotations


def test_a_reserved_address_needs_a_port_even_if_the_service_has_none() -> None:
    _, seen, services = settled(merged_of(constituent("east")), DUAL, V4)
    bare = msgspec.structs.replace(constituent("west").spec, ports=(), type="Headless")
    portless = merged_of(type(constituent("west"))("west", day(1), bare))
    plan = imported(portless, DUAL, seen=seen, services=services)
    assert plan.derived
    assert plan.derived["spec"]["ports"] == [{"name": "none", "port": 1, "targetPort": 1, "protocol": "TCP"}]
    assert spec_in(plan).ports == ()


FAMILIES = [
    pytest.param(("IPv4", "IPv6"), ("IPv4",), ("IPv4",), "no IPv6", id="what this cluster lacks is dropped"),
    pytest.param(("IPv6", "IPv4"), ("IPv4", "IPv6"), ("IPv6", "IPv4"), "", id="the merge's order"),
    pytest.param((), ("IPv6", "IPv4"), ("IPv6", "IPv4"), "", id="nobody says: this cluster's"),
]


@pytest.mark.requirement("MCS-35", "MCS-38")
@pytest.mark.parametrize(("offered", "here", "want", "note"), FAMILIES)
def test_families_of_a_new_import(
    offered: tuple[str, ...], here: tuple[str, ...], want: tuple[str, ...], note: str
) -> None:
    merged = merged_of(constituent("east", ip_families=offered))
    plan = imported(merged, Here("north", families=here), seen=None, services={})
    assert plan.families == want
    assert note in " ".join(plan.notes)


@pytest.mark.requirement("MCS-38")
def test_no_common_family_means_no_address_and_a_reason() -> None:
    merged = merged_of(constituent("east", ip_families=("IPv6",)))
    first = imported(merged, Here("north"), seen=None, services={})
    plan = imported(merged, Here("north"), seen=stored(first.service_import), services={})
    assert (plan.problem, plan.derived, spec_in(plan).ips) == ("IPFamilyNotSupported", None, ())
    assert spec_in(plan).ip_families == ("IPv6",)


FROZEN = [
    pytest.param((V4,), ("IPv4", "IPv6"), ("IPv4", "IPv6"), "", id="a second family may come"),
    pytest.param((V4, V6), ("IPv4",), ("IPv4", "IPv6"), "the IPv6 address stays", id="none goes"),
    pytest.param((V4, V6), ("IPv6", "IPv4"), ("IPv4", "IPv6"), "IPv4 stays the first", id="none is swapped"),
    pytest.param((V4,), ("IPv6",), ("IPv4", "IPv6"), "the IPv4 address stays", id="the other one comes second"),
]


@pytest.mark.requirement("MCS-33", "MCS-38", "MCS-53")
@pytest.mark.parametrize(("ips", "offered", "want", "note"), FROZEN)
def test_families_are_frozen_with_the_addresses(
    ips: tuple[str, ...], offered: tuple[str, ...], want: tuple[str, ...], note: str
) -> None:
    families = tuple("IPv6" if ":" in ip else "IPv4" for ip in ips)
    _, seen, services = settled(merged_of(constituent("east", ip_families=families)), DUAL, *ips)
    plan = imported(merged_of(constituent("east", ip_families=offered)), DUAL, seen=seen, services=services)
    assert plan.families == want
    assert spec_in(plan).ips == ips
    assert len(spec_in(plan).ip_families) == len(ips)
    assert plan.derived
    assert plan.derived["spec"]["ipFamilyPolicy"] == ("RequireDualStack" if len(want) == 2 else "SingleStack")
    assert note in " ".join(plan.notes)


@pytest.mark.requirement("MCS-32", "MCS-38")
def test_a_second_address_joins_the_record_once_it_is_there() -> None:
    _, seen, services = settled(merged_of(constituent("east")), DUAL, V4)
    both = merged_of(constituent("east", ip_families=("IPv4", "IPv6")))
    asked = imported(both, DUAL, seen=seen, services=services)
    assert (spec_in(asked).ips, spec_in(asked).ip_families) == ((V4,), ("IPv4",))
    plan = imported(both, DUAL, seen=seen, services=made(asked, V4, V6))
    assert (spec_in(plan).ips, spec_in(plan).ip_families) == ((V4, V6), ("IPv4", "IPv6"))


def occupied(*names: str) -> dict[str, Service]:
    return {name: Service(metadata=ObjectMeta(name=name)) for name in names}


def test_a_taken_name_means_the_next_hash() -> None:
    key = ImportKey(NAMESPACE, NAME)
    second, third = (derived_name(NAMESPACE, NAME, attempt) for attempt in (1, 2))
    assert derived_name_for(key, None, {}) == FIRST == "derived-" + FIRST[8:]
    assert derived_name_for(key, None, occupied(FIRST)) == second
    assert derived_name_for(key, None, occupied(FIRST, second)) == third


def test_a_name_once_chosen_is_kept() -> None:
    key = ImportKey(NAMESPACE, NAME)
    second = derived_name(NAMESPACE, NAME, 1)
    plan = imported(merged_of(constituent("east")), DUAL, seen=None, services=occupied(FIRST))
    assert plan.derived_name == second
    assert derived_name_for(key, stored(plan.service_import), {}) == second


def test_our_own_service_is_known_by_its_marks() -> None:
    _, _, services = settled(merged_of(constituent("east")), DUAL, V4)
    assert derived_name_for(ImportKey(NAMESPACE, NAME), None, services) == FIRST
    assert not is_ours(services[FIRST], "cart")


@pytest.mark.requirement("MCS-41")
@pytest.mark.parametrize(
    ("version", "wanted", "used"),
    [
        ("v1.36.3", "PreferSameNode", "PreferSameNode"),
        ("v1.34.0+k3s1", "PreferSameZone", "PreferSameZone"),
        ("v1.33.1", "PreferSameZone", "PreferClose"),
        ("v1.31.0", "PreferClose", "PreferClose"),
        ("v1.30.4", "PreferClose", None),
        ("v1.30.4", "PreferSameZone", None),
        ("who knows", "PreferClose", "PreferClose"),
    ],
)
def test_a_policy_that_this_api_server_does_not_know_degrades(version: str, wanted: str, used: str | None) -> None:
    here = Here("north", distributions=distributions(version))
    merged = merged_of(constituent("east", traffic_distribution=wanted))
    first = imported(merged, here, seen=None, services={})
    plan = imported(merged, here, seen=stored(first.service_import), services={})
    assert plan.derived
    assert plan.derived["spec"].get("trafficDistribution") == used
    assert spec_in(plan).traffic_distribution == wanted
    assert bool(plan.notes) == (used != wanted)


def test_an_unreadable_record_is_no_record() -> None:
    merged = merged_of(constituent("east"))
    plan, seen, _ = settled(merged, DUAL, V4)
    spec = msgspec.structs.replace(spec_in(plan), ips=("nonsense",))
    again = imported(merged, DUAL, seen=msgspec.structs.replace(seen, spec=spec), services={})
    assert spec_in(again).ips == ()
    assert again.derived
    assert "clusterIP" not in again.derived["spec"]
