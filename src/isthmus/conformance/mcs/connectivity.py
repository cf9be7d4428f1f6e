"""C-17 to C-21: whom traffic to the service's name reaches (upstream: connectivity)."""

from collections.abc import Collection
from functools import partial

from isthmus.conformance.declared import check
from isthmus.conformance.manifests import TCP, service
from isthmus.conformance.place import Place
from isthmus.conformance.probing import Traffic
from isthmus.conformance.scene import Scene
from isthmus.conformance.witness import ANSWER, Bound
from isthmus.runtime.together import together

ROW = 10
FAR = 4242


def answered(said: list[str]) -> bool:
    """All tries reached a backend."""
    return bool(said) and all("pod ip" in each for each in said)


def only(addresses: Collection[str], said: list[str]) -> bool:
    """All tries reached one of these backends."""
    return bool(said) and all(each in {f"pod ip {address}" for address in addresses} for each in said)


async def reaches_only(scene: Scene, family: str, addresses: Collection[str], port: int = 42) -> None:
    """From all clusters, ten times in a row."""

    async def asked(place: Place) -> None:
        question = scene.to(family, count=ROW, port=port)
        what = f"port {port} over {family} leads to {', '.join(addresses)} alone, {ROW} times in a row"
        await place.answers(what, question, lambda said: only(addresses, said), Bound(ANSWER.within * ROW, 1.0))

    await scene.everywhere(asked)


@check(
    "C-17",
    "A service that is not exported should be inaccessible",
    "Required",
    "MCS-8",
    pods=True,
)
async def not_exported(scene: Scene) -> None:
    """No attempt reaches a backend, over any family, from any cluster."""
    made = await scene.c0.serve()
    for family in made.spec.ip_families:
        await scene.c0.addresses(family)
    questions = [scene.to(family) for family in made.spec.ip_families]
    await scene.everywhere(lambda place: together(*(silent(place, question) for question in questions)))


async def silent(place: Place, question: Traffic) -> None:
    """For twenty seconds, asked each second, nobody answers."""
    await place.witness.throughout(
        f"{place.name}: nobody answers over {question.family}",
        lambda: place.traffic(question),
        lambda said: not any("pod ip" in each for each in said),
        Bound(20, 1.0),
    )


@check(
    "C-18",
    "An exported ClusterIP service should be accessible through DNS",
    "Optional Connectivity ClusterIP",
    "MCS-30 MCS-45",
    pods=True,
)
async def accessible(scene: Scene) -> None:
    """From all clusters, over all families of the import."""
    await scene.exported(replicas=1)
    for family in await scene.families():
        await scene.c0.addresses(family)
        await scene.everywhere(partial(_answers, question=scene.to(family)))


async def _answers(place: Place, question: Traffic) -> None:
    await place.answers(f"an answer over {question.family}", question, answered)


@check(
    "C-19",
    "A ClusterIP service exported in one cluster should only access the exporting cluster",
    "Optional Connectivity ClusterIP",
    "MCS-9",
    clusters=2,
    pods=True,
)
async def only_the_exporter(scene: Scene) -> None:
    """A Service of the same name elsewhere, without an export, has no part in it."""
    await scene.c1.serve()
    await scene.exported(replicas=1)
    for family in await scene.families():
        await reaches_only(scene, family, await scene.c0.addresses(family))


async def _two_ports(scene: Scene, name: str) -> None:
    """The second cluster exposes another port."""
    await scene.exported(replicas=1)
    await scene.joined(service(ports=[{**TCP, "name": name, "port": FAR, "targetPort": 42}]), replicas=1)


@check(
    "C-20",
    "A ClusterIP service exported with conflicting ports should only route traffic to the cluster that exposes the "
    "port",
    "Optional Connectivity ClusterIP StrictPortConflict",
    "MCS-58",
    clusters=2,
    pods=True,
)
async def port_of_one(scene: Scene) -> None:
    """The younger export's port of the same name has no backend in the set."""
    await _two_ports(scene, "tcp")
    for family in await scene.families():
        await reaches_only(scene, family, await scene.c0.addresses(family))


@check(
    "C-21",
    "A ClusterIP service exported with different ports should route traffic to each port only to the cluster that "
    "exposes it",
    "Optional Connectivity ClusterIP StrictPortConflict",
    "MCS-58",
    clusters=2,
    pods=True,
)
async def ports_of_each(scene: Scene) -> None:
    """Each port has the backends of the cluster whose Service has it."""
    await _two_ports(scene, "tcp2")
    for family in await scene.families():
        await reaches_only(scene, family, await scene.c0.addresses(family))
        await reaches_only(scene, family, await scene.c1.addresses(family), port=FAR)
