from collections.abc import AsyncIterator

import msgspec
import pytest

from isthmus.api.core import (
    CORE_MANAGED_BY,
    ENDPOINT_SLICES,
    HEADLESS_LABEL,
    MANAGED_BY_LABEL,
    NODES,
    PODS,
    SERVICE_NAME_LABEL,
    SERVICES,
    ZONE_LABEL,
    EndpointSlice,
)
from isthmus.api.scheme import Manifest
from tests.conftest import EMBEDDED
from tests.local.conftest import Around, eventually


async def service(around: Around, **spec: object) -> None:
    wanted: Manifest = {
        "selector": {"app": "shop"},
        "ports": [{"name": "http", "port": 80, "targetPort": "web"}],
        **spec,
    }
    await around.make(SERVICES, {"metadata": {"name": "shop"}, "spec": wanted})


@pytest.fixture
async def node(around: Around) -> AsyncIterator[str]:
    """A node in zone one: real controllers leave out pods whose node is not there."""
    name = f"node-of-{around.namespace}"
    await around.make(NODES, {"metadata": {"name": name, "labels": {ZONE_LABEL: "one"}}})
    yield name
    await around.client.delete(NODES, name)


async def pod(around: Around, name: str, node: str, **spec: object) -> None:
    container = {"name": "c", "image": "x", "ports": [{"name": "web", "containerPort": 8080}]}
    metadata = {"name": name, "labels": {"app": "shop"}}
    await around.make(PODS, {"metadata": metadata, "spec": {"containers": [container], "nodeName": node, **spec}})


async def slices(around: Around) -> list[EndpointSlice]:
    listed = await around.client.list(ENDPOINT_SLICES, namespace=around.namespace)
    return [each for each in listed.items if each.metadata.labels.get(SERVICE_NAME_LABEL) == "shop"]


async def ready(around: Around) -> dict[str, set[str]]:
    """The names of the pods behind the ready endpoints, by family."""
    return {
        each.address_type: {
            end.target_ref.name for end in each.endpoints if end.target_ref and end.conditions.ready is not False
        }
        for each in await slices(around)
    }


async def wait_ready(around: Around, *names: str, families: tuple[str, ...] = ("IPv4",)) -> None:
    async def are_ready() -> bool:
        return await ready(around) == {family: set(names) for family in families}

    await eventually(are_ready)


async def test_slices_follow_the_pods(around: Around, node: str) -> None:
    await service(around)
    await wait_ready(around)
    await pod(around, "a", node)
    await wait_ready(around, "a")
    await pod(around, "b", node)
    await wait_ready(around, "a", "b")
    (each,) = await slices(around)
    assert [port.port for port in each.ports] == [8080]
    assert each.metadata.labels[MANAGED_BY_LABEL] == CORE_MANAGED_BY
    not_ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    await around.client.merge_patch(PODS, "a", not_ready, namespace=around.namespace, subresource="status")
    await wait_ready(around, "b")
    await around.client.delete(PODS, "b", namespace=around.namespace)
    await wait_ready(around)


async def test_a_service_of_two_families_has_slices_of_both(around: Around, node: str) -> None:
    await service(around, ipFamilyPolicy="PreferDualStack")
    await pod(around, "a", node)
    await wait_ready(around, "a", families=("IPv4", "IPv6"))


async def test_slices_go_with_their_service(around: Around, node: str) -> None:
    await service(around)
    await pod(around, "a", node)
    await wait_ready(around, "a")
    await around.client.delete(SERVICES, "shop", namespace=around.namespace)

    async def are_gone() -> bool:
        return not await slices(around)

    await eventually(are_gone)


async def test_a_slice_that_somebody_deletes_or_changes_is_made_good(around: Around, node: str) -> None:
    await service(around)
    await pod(around, "a", node)
    await wait_ready(around, "a")
    (each,) = await slices(around)
    await around.client.delete(ENDPOINT_SLICES, each.metadata.name, namespace=around.namespace)
    await wait_ready(around, "a")
    (each,) = await slices(around)
    await around.client.merge_patch(ENDPOINT_SLICES, each.metadata.name, {"endpoints": []}, namespace=around.namespace)
    await wait_ready(around, "a")


async def test_slices_of_others_are_left_alone(around: Around, node: str) -> None:
    foreign: Manifest = {
        "metadata": {"name": "shop-imported", "labels": {SERVICE_NAME_LABEL: "shop", MANAGED_BY_LABEL: "isthmus.dev"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.8.0.1"]}],
    }
    await around.make(ENDPOINT_SLICES, foreign)
    await service(around)
    await pod(around, "a", node)

    async def both_are_there() -> bool:
        found = {each.metadata.labels[MANAGED_BY_LABEL]: len(each.endpoints) for each in await slices(around)}
        return found == {"isthmus.dev": 1, CORE_MANAGED_BY: 1}

    await eventually(both_are_there)
    await around.client.delete(SERVICES, "shop", namespace=around.namespace)

    async def only_the_foreign_one_is() -> bool:
        return [each.metadata.name for each in await slices(around)] == ["shop-imported"]

    await eventually(only_the_foreign_one_is)


async def test_endpoints_tell_the_zone_of_their_node(around: Around, node: str, kind: str) -> None:
    await service(around)
    await pod(around, "a", node)

    async def zone_is(wanted: str) -> bool:
        return [end.zone for each in await slices(around) for end in each.endpoints] == [wanted]

    await eventually(lambda: zone_is("one"))
    if kind != EMBEDDED:
        return  # The real controller takes notice with the pod's next change only.
    patch = {"metadata": {"labels": {ZONE_LABEL: "two"}}}
    await around.client.merge_patch(NODES, node, patch)
    await eventually(lambda: zone_is("two"))


async def test_a_slice_is_in_every_field_what_the_real_controller_writes(around: Around, node: str) -> None:
    made = await around.make(
        SERVICES,
        {
            "metadata": {"name": "shop", "labels": {"team": "web"}},
            "spec": {
                "clusterIP": "None",
                "selector": {"app": "shop"},
                "publishNotReadyAddresses": True,
                "trafficDistribution": "PreferClose",
                "ports": [
                    {"name": "http", "port": 80, "targetPort": "web", "appProtocol": "http"},
                    {"name": "more", "port": 81},
                ],
            },
        },
    )
    await pod(around, "a", node, hostname="db-0", subdomain="shop")
    await wait_ready(around, "a")

    async def has_conditions() -> bool:
        # Not ready yet, but published: its conditions change once more.
        return all(end.conditions.serving for each in await slices(around) for end in each.endpoints)

    await eventually(has_conditions)
    (each,) = await slices(around)
    a = await around.client.get(PODS, "a", namespace=around.namespace)
    assert each.metadata.labels == {
        "team": "web",
        SERVICE_NAME_LABEL: "shop",
        MANAGED_BY_LABEL: CORE_MANAGED_BY,
        HEADLESS_LABEL: "",
    }
    (owner,) = each.metadata.owner_references
    assert msgspec.to_builtins(owner) == {
        "apiVersion": "v1",
        "kind": "Service",
        "name": "shop",
        "uid": made.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert [msgspec.to_builtins(port) for port in sorted(each.ports, key=lambda port: port.name or "")] == [
        {"name": "http", "protocol": "TCP", "port": 8080, "appProtocol": "http"},
        {"name": "more", "protocol": "TCP", "port": 81},
    ]
    assert msgspec.json.decode(msgspec.json.encode(each.endpoints[0])) == {
        "addresses": [a["status"]["podIP"]],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "hostname": "db-0",
        "nodeName": node,
        "zone": "one",
        "hints": {"forZones": [{"name": "one"}]},
        "targetRef": {"kind": "Pod", "namespace": around.namespace, "name": "a", "uid": a["metadata"]["uid"]},
    }
