"""E-12 to E-13: endpoints that come, go, and listen elsewhere than the service."""

from functools import partial

from isthmus.conformance.declared import check
from isthmus.conformance.manifests import plain
from isthmus.conformance.mcs.traffic import has_endpoints, reaches_all
from isthmus.conformance.scene import Scene


@check(
    "E-12",
    "Backends that come and go are followed by the EndpointSlices in every cluster",
    "Effect EndpointSlice",
    "MCS-46 MCS-68 MCS-70",
    pods=True,
)
async def scaled(scene: Scene) -> None:
    """One, three, one, none."""
    await scene.exported(plain(), replicas=1)
    family = (await scene.families())[0]
    for replicas in (1, 3, 1, 0):
        await scene.c0.scale(replicas)
        wanted = await scene.c0.addresses(family, replicas)
        await scene.everywhere(partial(has_endpoints, family=family, addresses=wanted))


@check(
    "E-13",
    "Port and target port may differ: the service's port leads to the backends' own",
    "Effect Connectivity",
    "MCS-72",
    pods=True,
)
async def target_port(scene: Scene) -> None:
    """The import has the Service's number, the slices have the backends'."""
    await scene.exported(plain(ports=[{"name": "web", "port": 80, "targetPort": 42, "protocol": "TCP"}]), replicas=1)
    for family in await scene.families():
        wanted = await scene.c0.addresses(family)
        await scene.everywhere(partial(reaches_all, question=scene.to(family, port=80), addresses=wanted))
    numbers = {port.port for each in await scene.c0.imported_slices() for port in each.ports}
    scene.witness.require(numbers == {42}, "the slices have the target port", sorted(str(n) for n in numbers))
