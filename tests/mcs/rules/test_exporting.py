"""What a cluster publishes for an exported Service, and for which Services it publishes nothing."""

import msgspec
import pytest

from isthmus.api.core import (
    ClientIPConfig,
    Endpoint,
    EndpointConditions,
    EndpointPort,
    ObjectReference,
    Service,
    ServicePort,
    SessionAffinityConfig,
)
from isthmus.api.isthmus import CLUSTER_LABEL, MANAGED_BY, MARKER_LABEL, MAX_PORTS, NAMESPACE_LABEL, ExportedServiceSpec
from isthmus.api.meta import ObjectMeta
from isthmus.errors import Invalid
from isthmus.mcs.rules.exporting import INLINE_ENDPOINTS, Publication, problem, publish, source_slices
from isthmus.mcs.rules.slices import endpoints
from tests.mcs.rules.examples import HTTP, day, port, service, service_export, source_slice


def spec_in(publication: Publication) -> ExportedServiceSpec:
    assert publication.service.spec is not None
    return publication.service.spec


@pytest.mark.requirement("MCS-14", "MCS-17", "MCS-18")
@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        pytest.param(None, "NoService", id="no Service"),
        pytest.param(service(type="ExternalName"), "InvalidServiceType", id="ExternalName"),
        pytest.param(service(type="Invented"), "InvalidServiceType", id="a type of the future"),
        pytest.param(
            Service(metadata=ObjectMeta(name="derived-x", labels={MARKER_LABEL: MANAGED_BY})),
            "InvalidServiceType",
            id="a derived Service",
        ),
        pytest.param(service(), "", id="ClusterIP"),
        pytest.param(service(type="NodePort"), "", id="NodePort"),
        pytest.param(service(type="LoadBalancer"), "", id="LoadBalancer"),
        pytest.param(service(cluster_ip="None", cluster_ips=("None",)), "", id="headless"),
    ],
)
def test_which_services_may_be_exported(seen: Service | None, reason: str) -> None:
    found = problem(seen)
    assert (found.reason if found else "") == reason


@pytest.mark.requirement("MCS-55")
def test_precedence_is_the_exports_age_and_not_the_services() -> None:
    old = msgspec.structs.replace(service().metadata, creation_timestamp=day(1))
    aged = msgspec.structs.replace(service(), metadata=old)
    assert spec_in(publish(service_export(on=3), aged, [], cluster="east")).created == day(3)


@pytest.mark.requirement("MCS-11", "MCS-12", "MCS-13")
def test_properties_come_from_the_service_and_labels_from_the_export_alone() -> None:
    affinity = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=10))
    publication = publish(
        service_export(labels={"team": "shop"}, annotations={"note": "hello"}),
        service(
            ServicePort(name="http", port=80, app_protocol="http"),
            ServicePort(name="dns", port=53, protocol="UDP"),
            session_affinity="ClientIP",
            session_affinity_config=affinity,
            internal_traffic_policy="Local",
            traffic_distribution="PreferClose",
            ip_families=("IPv6", "IPv4"),
        ),
        [],
        cluster="east",
    )
    spec = spec_in(publication)
    assert spec.ports == (port("http", 80, app="http"), port("dns", 53, "UDP"))
    assert (spec.session_affinity, spec.session_affinity_config) == ("ClientIP", affinity)
    assert (spec.internal_traffic_policy, spec.traffic_distribution) == ("Local", "PreferClose")
    assert spec.ip_families == ("IPv6", "IPv4")
    assert (spec.exported_labels, spec.exported_annotations) == ({"team": "shop"}, {"note": "hello"})
    assert (spec.uid, spec.created) == ("export-1", day(1))
    assert not publication.left_out


def test_the_object_says_whose_it_is() -> None:
    metadata = publish(service_export(), service(), [], cluster="east").service.metadata
    assert metadata.name == "east.prod.shop"
    assert metadata.labels == {CLUSTER_LABEL: "east", NAMESPACE_LABEL: "prod", MARKER_LABEL: MANAGED_BY}


@pytest.mark.requirement("MCS-17", "MCS-18")
@pytest.mark.parametrize(
    ("seen", "want"),
    [
        (service(), "ClusterSetIP"),
        (service(type="NodePort"), "ClusterSetIP"),
        (service(type="LoadBalancer"), "ClusterSetIP"),
        (service(cluster_ip="None", cluster_ips=("None",)), "Headless"),
    ],
)
def test_the_type_of_the_export(seen: Service, want: str) -> None:
    assert spec_in(publish(service_export(), seen, [], cluster="east")).type == want


@pytest.mark.requirement("MCS-44")
def test_reserved_keys_stay_at_home_and_that_is_said() -> None:
    publication = publish(
        service_export(labels={"kubernetes.io/x": "1", "team": "shop"}), service(), [], cluster="east"
    )
    assert spec_in(publication).exported_labels == {"team": "shop"}
    assert publication.left_out == ("exportedLabels: left out 'kubernetes.io/x': the prefix is reserved",)


@pytest.mark.requirement("MCS-70", "MCS-73")
def test_endpoints_travel_without_what_names_objects_of_their_cluster() -> None:
    pod = Endpoint(
        addresses=("10.1.0.5",),
        conditions=EndpointConditions(ready=False, serving=True, terminating=True),
        hostname="shop-0",
        node_name="node-1",
        zone="a",
        target_ref=ObjectReference(kind="Pod", name="shop-0"),
    )
    (exported,) = spec_in(publish(service_export(), service(), [source_slice("s", pod)], cluster="east")).slices
    (seen,) = exported.endpoints
    assert (seen.ready, seen.serving, seen.terminating) == (False, True, True)
    assert (seen.addresses, seen.hostname, seen.zone) == (("10.1.0.5",), "shop-0", "a")


@pytest.mark.requirement("MCS-70")
@pytest.mark.parametrize(("ready", "want"), [(None, True), (True, True), (False, False)])
def test_an_absent_ready_means_ready(ready: bool | None, want: bool) -> None:
    pod = Endpoint(addresses=("10.1.0.5",), conditions=EndpointConditions(ready=ready))
    spec = spec_in(publish(service_export(), service(), [source_slice("s", pod)], cluster="east"))
    assert spec.slices[0].endpoints[0].ready is want


def pods(first: int, count: int) -> list[Endpoint]:
    return [Endpoint(addresses=(f"10.1.{number // 250}.{number % 250 + 1}",)) for number in range(first, first + count)]


@pytest.mark.requirement("MCS-71")
def test_slices_keep_their_boundaries_and_their_age_is_their_order() -> None:
    sources = [source_slice("b", *pods(3, 1), on=2), source_slice("z", *pods(0, 3), on=1), source_slice("empty")]
    slices = spec_in(publish(service_export(), service(), sources, cluster="east")).slices
    assert [len(each.endpoints) for each in slices] == [3, 1]


def test_imported_slices_host_names_and_other_services_are_no_backends() -> None:
    own = source_slice("s", *pods(0, 1))
    imported = source_slice("i", *pods(1, 1))
    imported.metadata.labels["endpointslice.kubernetes.io/managed-by"] = MANAGED_BY
    named = source_slice("n", Endpoint(addresses=("example.com",)), family="FQDN")
    other = source_slice("o", *pods(2, 1), service="cart")
    assert source_slices("shop", [imported, named, other, own]) == (own,)


def test_up_to_a_hundred_endpoints_travel_inside() -> None:
    publication = publish(service_export(), service(), [source_slice("s", *pods(0, INLINE_ENDPOINTS))], cluster="east")
    assert spec_in(publication).chunks is None
    assert not publication.chunks


def test_slices_of_many_ports_travel_in_chunks() -> None:
    ports = tuple(EndpointPort(port=number + 1, name=f"p{number}") for number in range(MAX_PORTS))
    sources = [msgspec.structs.replace(source_slice(f"s{i}", *pods(i, 1), on=i), ports=ports) for i in range(3)]
    assert spec_in(publish(service_export(), service(), sources[:2], cluster="east")).chunks is None
    assert len(publish(service_export(), service(), sources, cluster="east").chunks) == 3


def test_only_the_first_address_of_an_endpoint_travels() -> None:
    pod = Endpoint(addresses=("10.1.0.5", "10.1.0.6"))
    (exported,) = spec_in(publish(service_export(), service(), [source_slice("s", pod)], cluster="east")).slices
    assert exported.endpoints[0].addresses == ("10.1.0.5",)


def test_more_travel_in_chunks_and_one_change_rewrites_one_chunk() -> None:
    sources = [source_slice(f"s{i}", *pods(100 * i, 100), on=i) for i in range(3)]
    first = publish(service_export(), service(), sources, cluster="east")
    assert [chunk.metadata.name for chunk in first.chunks] == [f"east.prod.shop.ipv4.{i}" for i in range(3)]
    assert not spec_in(first).slices
    changed = [sources[0], source_slice("s1", *pods(100, 99), on=1), sources[2]]
    second = publish(service_export(), service(), changed, cluster="east", seen=first.chunks)
    assert [a == b for a, b in zip(first.chunks, second.chunks, strict=True)] == [True, False, True]
    chunks = spec_in(second).chunks
    assert chunks
    assert (chunks.count, chunks.generation) == (3, 2)


def test_a_reader_waits_for_all_chunks_and_sees_no_old_ones() -> None:
    sources = [source_slice(f"s{i}", *pods(100 * i, 100), on=i) for i in range(2)]
    first = publish(service_export(), service(), sources, cluster="east")
    second = publish(
        service_export(),
        service(),
        [sources[0], source_slice("s1", *pods(100, 50), on=1)],
        cluster="east",
        seen=first.chunks,
    )
    assert endpoints(spec_in(first), first.chunks[:1]) is None
    assert endpoints(spec_in(second), first.chunks) is None
    whole = endpoints(spec_in(second), [*first.chunks, *second.chunks])
    assert whole
    assert [len(each.endpoints) for each in whole] == [100, 50]


def test_foreign_chunks_and_leftovers_are_not_read() -> None:
    sources = [source_slice(f"s{i}", *pods(100 * i, 100), on=i) for i in range(3)]
    three = publish(service_export(), service(), sources, cluster="east")
    two = publish(service_export(), service(), sources[:2], cluster="east", seen=three.chunks)
    other = publish(service_export(), service(), sources, cluster="west")
    whole = endpoints(spec_in(two), [*other.chunks, *three.chunks])
    assert whole
    assert len(whole) == 2
    assert endpoints(spec_in(two), other.chunks) is None


def test_an_unstored_export_is_a_clear_error() -> None:
    export = service_export()
    unstored = type(export)(metadata=ObjectMeta(name="shop", namespace="prod"))
    with pytest.raises(Invalid, match="prod/shop has no creationTimestamp"):
        publish(unstored, service(), [], cluster="east")


def test_unchanged_input_gives_unchanged_output() -> None:
    sources = [source_slice(f"s{i}", *pods(100 * i, 100), on=i) for i in range(2)]
    first = publish(service_export(), service(), sources, cluster="east")
    assert publish(service_export(), service(), reversed(sources), cluster="east", seen=first.chunks) == first
    assert spec_in(first).ports == (HTTP,)
