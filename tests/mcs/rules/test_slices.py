"""Which EndpointSlices an importing cluster has: whose, with which ports, endpoints, labels and hints."""

from dataclasses import replace

import msgspec
import pytest

from isthmus.api.core import (
    MANAGED_BY_LABEL,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    ObjectReference,
)
from isthmus.api.isthmus import MANAGED_BY, SILENT, Chunks, ExportedEndpoint, ExportedSlice, Member
from isthmus.mcs.rules.constituent import Constituent
from isthmus.mcs.rules.hints import ELSEWHERE
from isthmus.mcs.rules.importing import Here, imported
from isthmus.mcs.rules.slices import Slices, Sources, is_ours_slice, stray, wanted_slices
from tests.mcs.rules.examples import (
    NAME,
    constituent,
    exported_slice,
    member,
    merged_of,
    port,
    source_slice,
    stored,
)

NORTH = Here("north", families=("IPv4", "IPv6"))


def slices_of(
    *exporters: Constituent,
    here: Here = NORTH,
    own: tuple[EndpointSlice, ...] = (),
    known: tuple[Member, ...] = (),
) -> Slices:
    merged = merged_of(*exporters)
    first = imported(merged, here, seen=None, services={})
    owner = stored(first.service_import)
    plan = imported(merged, here, seen=owner, services={})
    members = {each.metadata.name: each for each in known}
    return wanted_slices(merged, plan, Sources(own=own, members=members), here, owner=owner)


def addresses(slices: Slices) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in slices.wanted:
        cluster = each.metadata.labels["multicluster.kubernetes.io/source-cluster"]
        found.setdefault(cluster, []).extend(ip for endpoint in each.endpoints for ip in endpoint.addresses)
    return found


@pytest.mark.requirement("MCS-62", "MCS-63", "MCS-64", "MCS-65", "MCS-66", "MCS-67", "MCS-74", "MCS-75")
def test_a_slice_says_whose_endpoints_it_holds_and_whose_object_it_is() -> None:
    east = constituent("east", slices=(exported_slice("10.1.0.5"),))
    (seen,) = slices_of(east).wanted
    assert (seen.api_version, seen.address_type) == ("discovery.k8s.io/v1", "IPv4")
    assert (seen.metadata.namespace, seen.metadata.name) == ("prod", "shop.east.ipv4.0")
    assert seen.metadata.labels == {
        "multicluster.kubernetes.io/service-name": "shop",
        "multicluster.kubernetes.io/source-cluster": "east",
        "endpointslice.kubernetes.io/managed-by": "isthmus.dev",
        "kubernetes.io/service-name": imported(merged_of(east), NORTH, seen=None, services={}).derived_name,
    }
    (owner,) = seen.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid, owner.controller) == ("ServiceImport", "shop", "import-1", False)
    assert is_ours_slice(seen)


def test_slices_of_a_headless_import_are_not_for_kube_proxy() -> None:
    (seen,) = slices_of(constituent("east", type="Headless", slices=(exported_slice("10.1.0.5"),))).wanted
    assert seen.metadata.labels["service.kubernetes.io/headless"] == ""
    assert "kubernetes.io/service-name" not in seen.metadata.labels


@pytest.mark.requirement("MCS-30", "MCS-31", "MCS-45", "MCS-63")
def test_every_exporter_brings_its_endpoints_also_one_that_lost_a_conflict() -> None:
    east = constituent("east", slices=(exported_slice("10.1.0.5"),))
    west = constituent("west", on=2, session_affinity="ClientIP", slices=(exported_slice("10.2.0.5"),))
    assert addresses(slices_of(east, west)) == {"east": ["10.1.0.5"], "west": ["10.2.0.5"]}


@pytest.mark.requirement("MCS-71")
def test_slices_keep_their_sources_boundaries() -> None:
    both = (exported_slice("10.1.0.5", "10.1.0.6"), exported_slice("10.1.0.7"))
    seen = slices_of(constituent("east", slices=both)).wanted
    assert [(each.metadata.name, len(each.endpoints)) for each in seen] == [
        ("shop.east.ipv4.0", 2),
        ("shop.east.ipv4.1", 1),
    ]


@pytest.mark.requirement("MCS-68")
def test_there_is_a_slice_for_every_family_of_the_import_and_no_other() -> None:
    both = (exported_slice("10.1.0.5"), exported_slice("fd69:1::5", family="IPv6"))
    east = constituent("east", ip_families=("IPv4", "IPv6"), slices=both)
    assert [each.address_type for each in slices_of(east).wanted] == ["IPv4", "IPv6"]
    west = constituent("west", on=2, slices=(exported_slice("10.2.0.5"),))
    assert {each.address_type for each in slices_of(east, west).wanted} == {"IPv4"}


POD = Endpoint(
    addresses=("10.3.0.5",),
    conditions=EndpointConditions(ready=True),
    hostname="shop-0",
    node_name="node-1",
    zone="a",
    target_ref=ObjectReference(kind="Pod", name="shop-0"),
)


@pytest.mark.requirement("MCS-62", "MCS-70", "MCS-73")
def test_own_endpoints_come_from_the_own_cluster_and_keep_node_and_target() -> None:
    stale = constituent("north", slices=(exported_slice("10.3.0.99"),))
    (seen,) = slices_of(stale, own=(source_slice("s", POD),)).wanted
    assert seen.endpoints == (POD,)
    assert seen.metadata.labels["multicluster.kubernetes.io/source-cluster"] == "north"


@pytest.mark.requirement("MCS-9", "MCS-30")
def test_own_endpoints_count_only_if_the_cluster_exports() -> None:
    east = constituent("east", slices=(exported_slice("10.1.0.5"),))
    assert addresses(slices_of(east, own=(source_slice("s", POD),))) == {"east": ["10.1.0.5"]}


@pytest.mark.requirement("MCS-70", "MCS-73")
def test_foreign_endpoints_keep_conditions_hostname_and_zone_and_name_no_node() -> None:
    pod = ExportedEndpoint(
        addresses=("10.1.0.5",), ready=False, serving=True, terminating=True, hostname="shop-0", zone="a"
    )
    east = constituent("east", slices=(msgspec.structs.replace(exported_slice(), endpoints=(pod,)),))
    (seen,) = slices_of(east).wanted
    assert seen.endpoints == (
        Endpoint(
            addresses=("10.1.0.5",),
            conditions=EndpointConditions(ready=False, serving=True, terminating=True),
            hostname="shop-0",
            zone="a",
        ),
    )


@pytest.mark.parametrize(("hostname", "zone"), [("Not A Host", "a b"), ("x" * 64, "z" * 64), ("", "")])
def test_a_hostname_or_zone_that_an_api_server_refuses_goes_alone(hostname: str, zone: str) -> None:
    pod = ExportedEndpoint(addresses=("10.1.0.5",), hostname=hostname, zone=zone)
    east = constituent("east", slices=(msgspec.structs.replace(exported_slice(), endpoints=(pod,)),))
    (seen,) = slices_of(east).wanted
    assert (seen.endpoints[0].hostname, seen.endpoints[0].zone) == (None, None)


@pytest.mark.requirement("MCS-58", "MCS-59", "MCS-72")
def test_ports_are_filtered_and_renamed_and_an_empty_slice_is_dropped() -> None:
    east = constituent("east", slices=(exported_slice("10.1.0.5"),))
    renamed = constituent(
        "west",
        port("web", 80),
        on=2,
        slices=(exported_slice("10.2.0.5", ports=(EndpointPort(name="web", protocol="TCP", port=8081),)),),
    )
    lost = constituent("south", port("http", 8080), on=3, slices=(exported_slice("10.4.0.5"),))
    seen = slices_of(east, renamed, lost)
    assert set(addresses(seen)) == {"east", "west"}
    assert seen.wanted[1].ports == (EndpointPort(name="http", protocol="TCP", port=8081),)


@pytest.mark.requirement("MCS-61")
def test_slices_use_the_name_that_the_derived_service_gave_an_unnamed_port() -> None:
    ports = (EndpointPort(name="", protocol="TCP", port=8080),)
    east = constituent("east", port("", 80), slices=(exported_slice("10.1.0.5", ports=ports),))
    west = constituent("west", port("dns", 53, "UDP"), on=2)
    (seen,) = slices_of(east, west).wanted
    assert [each.name for each in seen.ports] == ["tcp-80"]
    headless = [msgspec.structs.replace(each.spec, type="Headless") for each in (east, west)]
    (seen,) = slices_of(*(Constituent(each.cluster, each.created, each) for each in headless)).wanted
    assert [each.name for each in seen.ports] == [""]


def test_a_headless_service_without_ports_has_slices_without_ports() -> None:
    bare = ExportedSlice(address_type="IPv4", endpoints=(ExportedEndpoint(addresses=("10.1.0.5",)),))
    spec = msgspec.structs.replace(constituent("east").spec, ports=(), type="Headless", slices=(bare,))
    (seen,) = slices_of(Constituent("east", spec.created, spec)).wanted
    assert seen.ports == ()


@pytest.mark.requirement("MCS-76", "MCS-77", "MCS-78")
def test_a_silent_members_endpoints_go_and_come_back_but_never_ones_own() -> None:
    east = constituent("east", slices=(exported_slice("10.1.0.5"),))
    north = constituent("north", on=2)
    own = (source_slice("s", POD),)
    silent = slices_of(east, north, own=own, known=(member("east", state=SILENT), member("north", state=SILENT)))
    assert addresses(silent) == {"north": ["10.3.0.5"]}
    assert silent.silent == {"east"}
    heard = slices_of(east, north, own=own, known=(member("east"), member("north")))
    assert set(addresses(heard)) == {"east", "north"}


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.0.5",
        "fe80::1%eth0",
        "10.1.0.5/8",
        "example.com",
        "10.1.0.05",
        "",
    ],
)
def test_addresses_that_mean_something_else_here_are_dropped(address: str) -> None:
    family = "IPv6" if ":" in address else "IPv4"
    good = "fd69:1::5" if family == "IPv6" else "10.1.0.6"
    east = constituent("east", ip_families=(family,), slices=(exported_slice(address, good, family=family),))
    seen = slices_of(east)
    assert addresses(seen) == {"east": [good]}
    assert seen.notes[0].startswith("1 endpoint addresses of east dropped, ")


def test_an_address_of_the_other_family_is_dropped() -> None:
    east = constituent("east", slices=(exported_slice("fd69:1::5", "10.1.0.6"),))
    assert addresses(slices_of(east)) == {"east": ["10.1.0.6"]}


def test_only_the_first_address_of_an_endpoint_means_anything() -> None:
    piece = exported_slice()
    many = ExportedEndpoint(addresses=("10.1.0.6", "10.1.0.7"))
    east = constituent("east", slices=(msgspec.structs.replace(piece, endpoints=(many,)),))
    assert addresses(slices_of(east)) == {"east": ["10.1.0.6"]}


def test_addresses_are_written_in_one_way() -> None:
    east = constituent("east", ip_families=("IPv6",), slices=(exported_slice("FD69:1:0::5", family="IPv6"),))
    assert addresses(slices_of(east)) == {"east": ["fd69:1::5"]}


@pytest.mark.parametrize(
    ("ranges", "want"),
    [
        pytest.param((), ["10.1.0.5", "10.9.0.5"], id="none approved: all"),
        pytest.param(("10.1.0.0/16",), ["10.1.0.5"], id="only the approved"),
        pytest.param(("fd00::/8", "10.9.0.0/16"), ["10.9.0.5"], id="of several ranges"),
        pytest.param(("nonsense",), None, id="what cannot be read approves nothing"),
    ],
)
def test_only_addresses_in_approved_pod_ranges_are_imported(ranges: tuple[str, ...], want: list[str] | None) -> None:
    east = constituent("east", slices=(exported_slice("10.1.0.5", "10.9.0.5"),))
    seen = slices_of(east, known=(member("east", ranges=ranges),))
    assert addresses(seen).get("east") == want
    assert bool(seen.notes) == (want is None or len(want) == 1)


ZONED = Here("north", region="eu", zones=frozenset({"a", "b"}))


def zoned(address: str, zone: str | None) -> ExportedSlice:
    return msgspec.structs.replace(exported_slice(), endpoints=(ExportedEndpoint(addresses=(address,), zone=zone),))


@pytest.mark.requirement("MCS-41", "MCS-73")
@pytest.mark.parametrize(
    ("region", "zone", "want"),
    [
        pytest.param("eu", "a", "a", id="same region, same zone"),
        pytest.param("eu", "c", ELSEWHERE, id="a zone without nodes here"),
        pytest.param("us", "a", ELSEWHERE, id="a zone of that name in another region"),
        pytest.param("", "a", ELSEWHERE, id="region unknown"),
        pytest.param("eu", None, ELSEWHERE, id="zone unknown"),
    ],
)
def test_hints_lead_clients_to_endpoints_of_their_zone(region: str, zone: str | None, want: str) -> None:
    east = constituent("east", traffic_distribution="PreferClose", slices=(zoned("10.1.0.5", zone),))
    (seen,) = slices_of(east, here=ZONED, known=(member("east", region=region),)).wanted
    hints = seen.endpoints[0].hints
    assert hints
    assert [each.name for each in hints.for_zones] == [want]


@pytest.mark.requirement("MCS-73")
def test_two_unknown_regions_are_not_the_same() -> None:
    east = constituent("east", traffic_distribution="PreferClose", slices=(zoned("10.1.0.5", "a"),))
    nowhere = Here("north", zones=frozenset({"a"}))
    (seen,) = slices_of(east, here=nowhere, known=(member("east"),)).wanted
    assert seen.endpoints[0].hints
    assert seen.endpoints[0].hints.for_zones[0].name == ELSEWHERE


@pytest.mark.requirement("MCS-73")
def test_own_endpoints_are_near_by_zone_alone() -> None:
    north = constituent("north", traffic_distribution="PreferClose")
    here = Here("north", zones=frozenset({"a"}))
    (seen,) = slices_of(north, here=here, own=(source_slice("s", POD),)).wanted
    assert seen.endpoints[0].hints
    assert seen.endpoints[0].hints.for_zones[0].name == "a"
    assert seen.endpoints[0].node_name == "node-1"


@pytest.mark.requirement("MCS-73")
@pytest.mark.parametrize(
    ("distribution", "here"), [("", ZONED), ("PreferClose", Here("north"))], ids=["not asked for", "no zones"]
)
def test_no_hints_where_they_would_mislead(distribution: str, here: Here) -> None:
    east = constituent("east", traffic_distribution=distribution, slices=(zoned("10.1.0.5", "a"),))
    (seen,) = slices_of(east, here=here, known=(member("east", region="eu"),)).wanted
    assert seen.endpoints[0].hints is None


def test_while_chunks_are_on_their_way_nothing_is_said_about_that_cluster() -> None:
    east = constituent("east", chunks=Chunks(generation=1, count=1))
    west = constituent("west", on=2, slices=(exported_slice("10.2.0.5"),))
    seen = slices_of(east, west)
    assert seen.arriving == {"east"}
    assert addresses(seen) == {"west": ["10.2.0.5"]}


def test_slices_that_would_steal_the_derived_services_traffic_are_strays() -> None:
    (ours,) = slices_of(constituent("east", slices=(exported_slice("10.1.0.5"),))).wanted
    derived = ours.metadata.labels["kubernetes.io/service-name"]
    thief = source_slice("thief", POD, service=derived)
    assert stray([ours, thief], NAME) == (thief,)
    # One that borrows our mark, but is of no import, is none of ours.
    marked = {**thief.metadata.labels, MANAGED_BY_LABEL: MANAGED_BY}
    borrowed = msgspec.structs.replace(thief, metadata=msgspec.structs.replace(thief.metadata, labels=marked))
    assert stray([borrowed], NAME) == (borrowed,)


@pytest.mark.requirement("MCS-41")
def test_same_node_is_by_node_in_the_own_cluster_and_by_zone_elsewhere() -> None:
    north = constituent("north", traffic_distribution="PreferSameNode")
    east = constituent("east", on=2, traffic_distribution="PreferSameNode", slices=(zoned("10.1.0.5", "a"),))
    own = (source_slice("s", POD),)
    mine, theirs = slices_of(north, east, here=ZONED, own=own, known=(member("east", region="eu"),)).wanted
    for seen, node in ((mine, "node-1"), (theirs, ELSEWHERE)):
        hints = seen.endpoints[0].hints
        assert hints
        assert [each.name for each in hints.for_nodes] == [node]
        assert [each.name for each in hints.for_zones] == ["a"]
    old = replace(ZONED, distributions=frozenset({"PreferClose"}))
    (before,) = slices_of(north, here=old, own=own).wanted
    assert before.endpoints[0].hints
    assert before.endpoints[0].hints.for_nodes == ()
