from isthmus.api.core import (
    CORE_MANAGED_BY,
    ENDPOINT_SLICES,
    MANAGED_BY_LABEL,
    NODES,
    PODS,
    SERVICE_NAME_LABEL,
    SERVICES,
    ZONE_LABEL,
    EndpointSlice,
)
from isthmus.api.scheme import Manifest
from tests.local.conftest import Around, eventually


async def service(around: Around, **spec: object) -> None:
    wanted: Manifest = {
        "selector": {"app": "shop"},
        "ports": [{"name": "http", "port": 80, "targetPort": "web"}],
        **spec,
    }
    await around.make(SERVICES, {"metadata": {"name": "shop"}, "spec": wanted})


async def pod(around: Around, name: str, **spec: object) -> None:
    container = {"name": "c", "image": "x", "ports": [{"name": "web", "containerPort": 8080}]}
    metadata = {"name": name, "labels": {"app": "shop"}}
    await around.make(PODS, {"metadata": metadata, "spec": {"containers": [container], **spec}})


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


async def test_slices_follow_the_pods(around: Around) -> None:
    await service(around)
    await wait_ready(around)
    await pod(around, "a")
    await wait_ready(around, "a")
    await pod(around, "b")
    await wait_ready(around, "a", "b")
    (each,) = await slices(around)
    assert [port.port for port in each.ports] == [8080]
    assert each.metadata.labels[MANAGED_BY_LABEL] == CORE_MANAGED_BY
    not_ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    await around.client.merge_patch(PODS, "a", not_ready, namespace=around.namespace, subresource="status")
    await wait_ready(around, "b")
    await around.client.delete(PODS, "b", namespace=around.namespace)
    await wait_ready(around)


async def test_a_service_of_two_families_has_slices_of_both(around: Around) -> None:
    await service(around, ipFamilyPolicy="PreferDualStack")
    await pod(around, "a")
    await wait_ready(around, "a", families=("IPv4", "IPv6"))


async def test_slices_go_with_their_service(around: Around) -> None:
    await service(around)
    await pod(around, "a")
    await wait_ready(around, "a")
    await around.client.delete(SERVICES, "shop", namespace=around.namespace)

    async def are_gone() -> bool:
        return not await slices(around)

    await eventually(are_gone)


async def test_a_slice_that_somebody_deletes_or_changes_is_made_good(around: Around) -> None:
    await service(around)
    await pod(around, "a")
    await wait_ready(around, "a")
    (each,) = await slices(around)
    await around.client.delete(ENDPOINT_SLICES, each.metadata.name, namespace=around.namespace)
    await wait_ready(around, "a")
    (each,) = await slices(around)
    await around.client.merge_patch(ENDPOINT_SLICES, each.metadata.name, {"endpoints": []}, namespace=around.namespace)
    await wait_ready(around, "a")


async def test_slices_of_others_are_left_alone(around: Around) -> None:
    foreign: Manifest = {
        "metadata": {"name": "shop-imported", "labels": {SERVICE_NAME_LABEL: "shop", MANAGED_BY_LABEL: "isthmus.dev"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.8.0.1"]}],
    }
    await around.make(ENDPOINT_SLICES, foreign)
    await service(around)
    await pod(around, "a")

    async def both_are_there() -> bool:
        found = {each.metadata.labels[MANAGED_BY_LABEL]: len(each.endpoints) for each in await slices(around)}
        return found == {"isthmus.dev": 1, CORE_MANAGED_BY: 1}

    await eventually(both_are_there)
    await around.client.delete(SERVICES, "shop", namespace=around.namespace)

    async def only_the_foreign_one_is() -> bool:
        return [each.metadata.name for each in await slices(around)] == ["shop-imported"]

    await eventually(only_the_foreign_one_is)


async def test_endpoints_tell_the_zone_of_their_node(around: Around) -> None:
    await around.make(NODES, {"metadata": {"name": "east-node", "labels": {ZONE_LABEL: "east-1"}}})
    await service(around)
    await pod(around, "a", nodeName="east-node")

    async def zone_is(wanted: str) -> bool:
        return [end.zone for each in await slices(around) for end in each.endpoints] == [wanted]

    await eventually(lambda: zone_is("east-1"))
    patch = {"metadata": {"labels": {ZONE_LABEL: "east-2"}}}
    await around.client.merge_patch(NODES, "east-node", patch)
    await eventually(lambda: zone_is("east-2"))
