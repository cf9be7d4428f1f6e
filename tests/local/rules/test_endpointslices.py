from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from isthmus.api.apps import (
    Container,
    ContainerPort,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
    WorkloadCondition,
)
from isthmus.api.core import (
    CORE_MANAGED_BY,
    HEADLESS_LABEL,
    MANAGED_BY_LABEL,
    SERVICE_NAME_LABEL,
    EndpointSlice,
    Service,
    ServicePort,
    ServiceSpec,
)
from isthmus.api.meta import ObjectMeta
from isthmus.local.rules.endpointslices import wanted_slices

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HTTP = ServicePort(name="http", port=80, target_port=8080)


def service(*ports: ServicePort, **spec: object) -> Service:
    wanted: dict[str, object] = {
        "selector": {"app": "shop"},
        "cluster_ip": "10.1.128.7",
        "ip_families": ("IPv4",),
        "ports": ports or (HTTP,),
    }
    return Service(
        metadata=ObjectMeta(name="shop", namespace="prod", uid="u-1", labels={"team": "web", HEADLESS_LABEL: "x"}),
        spec=ServiceSpec(**wanted | spec),  # type: ignore[arg-type]  # a table of fields
    )


def pod(number: int = 1, *, ready: bool = True, gone: bool = False, phase: str = "Running", **spec: object) -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=f"shop-{number:04}",
            namespace="prod",
            uid=f"p-{number}",
            labels={"app": "shop"},
            deletion_timestamp=NOW if gone else None,
        ),
        spec=PodSpec(node_name="east-node", **spec),  # type: ignore[arg-type]  # a table of fields
        status=PodStatus(
            phase=phase,
            pod_ips=(PodIP(ip=f"10.1.{number >> 8}.{number & 255}"), PodIP(ip=f"fd69:1::{number:x}")),
            conditions=(WorkloadCondition(type="Ready", status="True" if ready else "False"),),
        ),
    )


def slices(wanted: Service, pods: Iterable[Pod], seen: Sequence[EndpointSlice] = ()) -> tuple[EndpointSlice, ...]:
    return wanted_slices(wanted, pods, seen, zones={"east-node": "east-1"})


def addresses(found: Iterable[EndpointSlice]) -> list[str]:
    return [endpoint.addresses[0] for each in found for endpoint in each.endpoints]


@pytest.mark.parametrize(
    ("wanted", "one", "want"),
    [
        pytest.param(service(), pod(), (True, True, False), id="ready"),
        pytest.param(service(), pod(ready=False), (False, False, False), id="not ready"),
        pytest.param(service(), pod(gone=True), (False, True, True), id="going, still serving"),
        pytest.param(service(), pod(gone=True, ready=False), (False, False, True), id="going, no longer serving"),
        pytest.param(
            service(publish_not_ready_addresses=True), pod(ready=False), (True, False, False), id="not ready, published"
        ),
        pytest.param(
            service(publish_not_ready_addresses=True), pod(gone=True), (True, True, True), id="going, published"
        ),
    ],
)
def test_conditions_follow_the_pod(wanted: Service, one: Pod, want: tuple[bool, bool, bool]) -> None:
    (endpoint,) = slices(wanted, [one])[0].endpoints
    found = endpoint.conditions
    assert (found.ready, found.serving, found.terminating) == want


def test_an_endpoint_tells_its_pod_node_and_zone() -> None:
    (endpoint,) = slices(service(), [pod()])[0].endpoints
    assert (endpoint.node_name, endpoint.zone, endpoint.hostname) == ("east-node", "east-1", None)
    assert endpoint.target_ref is not None
    assert (endpoint.target_ref.kind, endpoint.target_ref.name, endpoint.target_ref.uid) == ("Pod", "shop-0001", "p-1")


@pytest.mark.parametrize(
    ("subdomain", "want"),
    [pytest.param("shop", "db-0", id="of this service"), pytest.param("other", None, id="of another")],
)
def test_a_pod_has_a_name_of_its_own_below_the_service_of_its_subdomain(subdomain: str, want: str | None) -> None:
    (endpoint,) = slices(service(), [pod(hostname="db-0", subdomain=subdomain)])[0].endpoints
    assert endpoint.hostname == want


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param(pod(phase="Succeeded"), id="ended well"),
        pytest.param(pod(phase="Failed"), id="ended badly"),
        pytest.param(msgspec.structs.replace(pod(), status=PodStatus(phase="Pending")), id="no address yet"),
        pytest.param(
            msgspec.structs.replace(pod(), metadata=ObjectMeta(name="x", labels={"app": "x"})), id="of others"
        ),
    ],
)
def test_pods_that_are_no_endpoints(left_out: Pod) -> None:
    (empty,) = slices(service(), [left_out])
    assert (empty.endpoints, empty.ports) == ((), ())


def test_labels_and_owner_are_those_of_the_real_controller() -> None:
    (each,) = slices(service(), [pod()])
    assert each.metadata.labels == {"team": "web", SERVICE_NAME_LABEL: "shop", MANAGED_BY_LABEL: CORE_MANAGED_BY}
    (owner,) = each.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid, owner.controller) == ("Service", "shop", "u-1", True)


def test_slices_of_a_headless_service_say_so() -> None:
    (each,) = slices(service(cluster_ip="None"), [pod()])
    assert each.metadata.labels[HEADLESS_LABEL] == ""


def test_two_families_have_their_own_slices() -> None:
    four, six = slices(service(ip_families=("IPv4", "IPv6")), [pod()])
    assert (four.address_type, addresses([four])) == ("IPv4", ["10.1.0.1"])
    assert (six.address_type, addresses([six])) == ("IPv6", ["fd69:1::1"])
    assert four.metadata.name != six.metadata.name


@pytest.mark.parametrize(
    ("port", "want"),
    [
        pytest.param(ServicePort(name="http", port=80), 80, id="its own number where none is named"),
        pytest.param(ServicePort(name="http", port=80, target_port=8080), 8080, id="a number"),
        pytest.param(ServicePort(name="http", port=80, target_port="web"), 9090, id="a name"),
        pytest.param(ServicePort(name="http", port=80, target_port="side"), 7070, id="a name in a sidecar"),
        pytest.param(ServicePort(name="http", port=80, target_port="setup"), None, id="a name in an init container"),
        pytest.param(
            ServicePort(name="http", port=80, target_port="web", protocol="UDP"), None, id="a name of other protocol"
        ),
        pytest.param(ServicePort(name="http", port=80, target_port="absent"), None, id="a name nobody has"),
    ],
)
def test_a_target_port_is_found_by_number_or_name(port: ServicePort, want: int | None) -> None:
    containers = (Container(ports=(ContainerPort(name="web", container_port=9090),)),)
    inits = (
        Container(ports=(ContainerPort(name="side", container_port=7070),), restart_policy="Always"),
        Container(ports=(ContainerPort(name="setup", container_port=6060),)),
    )
    (each,) = slices(service(port), [pod(containers=containers, init_containers=inits)])
    assert [found.port for found in each.ports] == ([want] if want else [])


def test_pods_that_give_one_name_to_other_numbers_are_in_slices_of_their_own() -> None:
    def one(number: int, port: int) -> Pod:
        return pod(number, containers=(Container(ports=(ContainerPort(name="web", container_port=port),)),))

    found = slices(service(ServicePort(name="http", port=80, target_port="web")), [one(1, 8080), one(2, 9090)])
    assert {each.ports[0].port: addresses([each]) for each in found} == {8080: ["10.1.0.1"], 9090: ["10.1.0.2"]}


def test_a_slice_holds_a_hundred_endpoints() -> None:
    found = slices(service(), map(pod, range(1, 252)))
    assert [len(each.endpoints) for each in found] == [100, 100, 51]
    assert len({each.metadata.name for each in found}) == 3


def test_deciding_again_changes_nothing() -> None:
    pods = [pod(number) for number in range(1, 252)]
    once = slices(service(), pods)
    assert slices(service(), reversed(pods), once) == once


def test_one_pod_less_or_more_changes_one_slice() -> None:
    pods = [pod(number) for number in range(1, 202)]
    before = slices(service(), pods)
    less = slices(service(), pods[:50] + pods[51:], before)
    assert [each.metadata.name for each, other in zip(before, less, strict=True) if each != other] == [
        before[0].metadata.name
    ]
    more = slices(service(), [*pods[:50], *pods[51:], pod(999)], less)
    assert [each != other for each, other in zip(less, more, strict=True)] == [True, False, False]


def test_a_new_name_avoids_those_that_are_taken() -> None:
    (first,) = slices(service(), [pod()])
    other_ports = msgspec.structs.replace(first, ports=())
    (again,) = slices(service(), [pod()], [other_ports])
    assert again.metadata.name != first.metadata.name


@pytest.mark.parametrize(
    "unserved",
    [pytest.param(service(selector={}), id="no selector"), pytest.param(service(type="ExternalName"), id="alias")],
)
def test_services_whose_slices_are_made_by_others(unserved: Service) -> None:
    assert slices(unserved, [pod()]) == ()
