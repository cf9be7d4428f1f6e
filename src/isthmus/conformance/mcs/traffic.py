"""E-1 to E-11: policies by their effect, told by who answers."""

from collections.abc import Collection
from functools import partial
from ipaddress import ip_address

import msgspec

from isthmus.api.core import NODES, PODS, ZONE_LABEL
from isthmus.api.scheme import Manifest
from isthmus.conformance.declared import Skipped, check
from isthmus.conformance.manifests import HELLO, plain, service
from isthmus.conformance.mcs.connectivity import ROW, answered, only, reaches_only
from isthmus.conformance.place import Place, ready_addresses
from isthmus.conformance.probing import Traffic
from isthmus.conformance.scene import Scene
from isthmus.conformance.witness import SLICE, Bound
from isthmus.errors import Refused

GATE = "conformance.example.com/ready"
LONG = Bound(60, 1.0)
_TRIALS = 12


def backends(addresses: Collection[str]) -> set[str]:
    """What these backends answer."""
    return {f"pod ip {address}" for address in addresses}


async def reaches_all(place: Place, question: Traffic, addresses: Collection[str]) -> None:
    """Wait until tries reach all of these backends, each at least once, and nobody else."""
    what = f"{question.family or 'any family'}: {', '.join(addresses)} all answer, and nobody else"
    await place.answers(what, question, lambda said: set(said) == backends(addresses), LONG)


async def has_endpoints(place: Place, family: str, addresses: Collection[str]) -> None:
    """Wait until the imported slices have exactly these ready addresses."""

    async def ready() -> list[str]:
        return ready_addresses(await place.imported_slices(), family)

    what = f"{place.name}: the imported slices have exactly {', '.join(sorted(addresses)) or 'nothing'} ready"
    await place.witness.until(what, ready, lambda seen: seen == sorted(addresses), SLICE)


async def _in_both(scene: Scene, made: Manifest) -> None:
    """Both clusters run a backend of the same Service, and export it."""
    await scene.exported(made, replicas=1)
    await scene.joined(made, replicas=1)


async def _of_both(scene: Scene, family: str) -> list[str]:
    return [*await scene.c0.addresses(family), *await scene.c1.addresses(family)]


@check(
    "E-1",
    "Traffic is spread over the backends of all exporting clusters, from every cluster",
    "Effect Connectivity",
    "MCS-10 MCS-30 MCS-31 MCS-45",
    clusters=2,
    pods=True,
)
async def spread(scene: Scene) -> None:
    """Local backends get no preference that nobody asked for."""
    await _in_both(scene, plain())
    for family in await scene.families():
        wanted = await _of_both(scene, family)
        await scene.everywhere(partial(reaches_all, question=scene.to(family, count=20), addresses=wanted))


@check(
    "E-2",
    "Session affinity ClientIP keeps a client with one backend of the set",
    "Effect Connectivity Policy",
    "MCS-39",
    clusters=2,
    pods=True,
)
async def affinity(scene: Scene) -> None:
    """Within its timeout, connection after connection, from every cluster."""
    await _in_both(scene, service(sessionAffinityConfig={"clientIP": {"timeoutSeconds": 600}}))
    for family in await scene.families():
        await scene.everywhere(
            partial(has_endpoints, family=family, addresses=await _of_both(scene, family)),
        )
        await scene.everywhere(partial(_stays, question=scene.to(family, count=15)))


async def _stays(place: Place, question: Traffic) -> None:
    def one(said: list[str]) -> bool:
        return answered(said) and len(set(said)) == 1

    first = await place.answers("15 answers of one backend", question, one)
    again = await place.traffic(question)
    place.witness.require(set(again) == set(first), f"{place.name}: and 15 more of the same", sorted(set(again)))


@check(
    "E-3",
    "Session affinity ends with its timeout: a client that was idle longer may get another backend",
    "Effect Connectivity Policy",
    "MCS-39",
    pods=True,
)
async def affinity_timeout(scene: Scene) -> None:
    """Of two backends, each is as likely as the other after an idle time: twelve times the same is no chance."""
    await scene.exported(service(sessionAffinityConfig={"clientIP": {"timeoutSeconds": 2}}), replicas=2)
    family = (await scene.families())[0]
    await has_endpoints(scene.c0, family, await scene.c0.addresses(family, 2))
    question = scene.to(family, count=3)
    seen: list[str] = []
    for _ in range(_TRIALS):
        said = await scene.c0.answers(
            "3 quick answers of one backend", question, lambda said: answered(said) and len(set(said)) == 1
        )
        seen.append(said[0])
        if len(set(seen)) > 1:
            break
        await scene.pause(3.5)
    scene.witness.require(len(set(seen)) > 1, "after 3.5 idle seconds with a timeout of 2 s, another backend", seen)


@check(
    "E-4",
    "With internalTrafficPolicy Cluster, clients reach the backends of other clusters",
    "Effect Connectivity Policy",
    "MCS-40 MCS-45",
    clusters=2,
    pods=True,
)
async def policy_cluster(scene: Scene) -> None:
    """Also clients that have a backend beside them."""
    await _in_both(scene, plain(internalTrafficPolicy="Cluster"))
    family = (await scene.families())[0]
    wanted = await _of_both(scene, family)
    await scene.everywhere(partial(reaches_all, question=scene.to(family, count=20), addresses=wanted))


async def _beside(place: Place) -> None:
    """A backend on the node of the pod that asks."""
    await place.run_pod(f"{HELLO}-beside", {"app": HELLO}, nodeName=place.inside.node)


@check(
    "E-5",
    "With internalTrafficPolicy Local, clients reach the backends on their own node alone",
    "Effect Connectivity Policy",
    "MCS-40",
    clusters=2,
    pods=True,
)
async def policy_local(scene: Scene) -> None:
    """And nobody, once there is none."""
    made = plain(internalTrafficPolicy="Local")
    await scene.exported(made)
    await scene.joined(made)
    for place in (scene.c0, scene.c1):
        await _beside(place)
    for family in await scene.families():
        for place in (scene.c0, scene.c1):
            own = await place.addresses(family)
            await has_endpoints(place, family, await _of_both(scene, family))
            await place.answers(f"{family}: {own} alone", scene.to(family, count=ROW), partial(only, own), LONG)
    await scene.c0.client.delete(PODS, f"{HELLO}-beside", namespace=scene.c0.namespace)
    await scene.c0.answers(
        "nobody answers where no backend is left", scene.to(count=3), lambda said: not any("pod" in s for s in said)
    )


async def _zone(place: Place) -> str:
    node = await place.client.get(NODES, place.inside.node)
    return node.metadata.labels.get(ZONE_LABEL, "")


async def _prefers(scene: Scene, distribution: str) -> None:
    """Traffic stays in the client's zone while a backend is ready there, and leaves it when none is."""
    zones = [await _zone(place) for place in (scene.c0, scene.c1)]
    if not all(zones):
        raise Skipped(f"nodes of {scene.c0.name} or {scene.c1.name} have no label {ZONE_LABEL}")
    if zones[0] == zones[1]:
        raise Skipped(f"both clusters are in zone {zones[0]}: nothing is nearer than anything else")
    made = plain(trafficDistribution=distribution)
    try:
        await scene.exported(made)
        await scene.joined(made)
    except Refused as problem:
        raise Skipped(f"the API server refuses trafficDistribution {distribution}: {problem.message}") from problem
    for place in (scene.c0, scene.c1):
        await _beside(place)
    for family in await scene.families():
        for place in (scene.c0, scene.c1):
            await has_endpoints(place, family, await _of_both(scene, family))
            own = await place.addresses(family)
            what = f"{family}: {own} in zone {zones[scene.places.index(place)]} alone, 20 times"
            await place.answers(what, scene.to(family, count=20), partial(only, own), LONG)
    await scene.c0.client.delete(PODS, f"{HELLO}-beside", namespace=scene.c0.namespace)
    family = (await scene.families())[0]
    far = await scene.c1.addresses(family)
    what = f"{family}: {far}, in the other zone, once none is left in its own"
    await scene.c0.answers(what, scene.to(family, count=5), lambda said: only(far, said), LONG)


@check(
    "E-6",
    "With trafficDistribution PreferClose, traffic stays in the client's zone while a backend is ready there",
    "Effect Connectivity Policy",
    "MCS-41",
    clusters=2,
    pods=True,
)
async def prefer_close(scene: Scene) -> None:
    """The oldest name."""
    await _prefers(scene, "PreferClose")


@check(
    "E-7",
    "With trafficDistribution PreferSameZone, traffic stays in the client's zone while a backend is ready there",
    "Effect Connectivity Policy",
    "MCS-41",
    clusters=2,
    pods=True,
)
async def prefer_same_zone(scene: Scene) -> None:
    """The newer name of the same."""
    await _prefers(scene, "PreferSameZone")


@check(
    "E-8",
    "With trafficDistribution PreferSameNode, traffic stays on the client's node while a backend is ready there",
    "Effect Connectivity Policy",
    "MCS-41",
    clusters=2,
    pods=True,
)
async def prefer_same_node(scene: Scene) -> None:
    """The backends stand on the nodes of the pods that ask."""
    await _prefers(scene, "PreferSameNode")


@check(
    "E-9",
    "UDP reaches the backends too, from every cluster",
    "Effect Connectivity",
    "MCS-45",
    pods=True,
)
async def udp(scene: Scene) -> None:
    """Over each family."""
    await scene.exported(replicas=1)
    for family in await scene.families():
        await scene.c0.addresses(family)
        await scene.everywhere(partial(_answer_udp, question=scene.to(family, count=3, do="udp")))


async def _answer_udp(place: Place, question: Traffic) -> None:
    await place.answers(f"3 answers by UDP over {question.family}", question, answered)


@check(
    "E-10",
    "A dual-stack service answers on each of its clusterset IPs, over both families, from every cluster",
    "Effect Connectivity",
    "MCS-31 MCS-32 MCS-38",
    pods=True,
)
async def dual_stack(scene: Scene) -> None:
    """By address, without a name."""
    made = await scene.c0.serve(service(ipFamilyPolicy="PreferDualStack"))
    if len(made.spec.ip_families) < 2:
        raise Skipped(f"{scene.c0.name} gives its Services {made.spec.ip_families[0]} alone")
    await scene.c0.export()

    async def asked(place: Place) -> None:
        seen = await place.imports("has two ips", lambda one: len(one.spec.ips) == 2)
        for ip in seen.spec.ips:
            family = f"IPv{ip_address(ip).version}"
            wanted = await scene.c0.addresses(family)
            await reaches_all(place, Traffic(ip, family=family, count=3), wanted)

    await scene.everywhere(asked)


async def become(place: Place, pod: str, ready: bool) -> None:
    """Open or close a pod's readiness gate."""
    patch = {"status": {"conditions": [{"type": GATE, "status": str(ready)}]}}
    path = PODS.path(pod, namespace=place.namespace, subresource="status")
    body = msgspec.json.encode(patch)
    await place.client.raw("PATCH", path, body=body, content_type="application/strategic-merge-patch+json")


async def _address_of(place: Place, pod: str, family: str) -> str:
    async def addresses() -> list[str]:
        return [
            each.ip
            for one in await place.pods()
            if one.metadata.name == pod
            for each in one.status.pod_ips
            if each.ip and f"IPv{ip_address(each.ip).version}" == family
        ]

    return (await place.witness.until(f"{place.name}: {pod} has its address", addresses, bool, LONG))[0]


@check(
    "E-11",
    "Traffic reaches ready backends alone, and follows as they become ready and cease to be",
    "Effect Connectivity",
    "MCS-46 MCS-70",
    pods=True,
)
async def ready_alone(scene: Scene) -> None:
    """From every cluster."""
    await scene.exported(plain(), replicas=1)
    await scene.c0.run_pod("gated", {"app": HELLO}, readinessGates=[{"conditionType": GATE}])
    family = (await scene.families())[0]
    first = await scene.c0.addresses(family)
    gated = await _address_of(scene.c0, "gated", family)
    await reaches_only(scene, family, first)
    await become(scene.c0, "gated", ready=True)
    both = partial(reaches_all, question=scene.to(family, count=20), addresses=[*first, gated])
    await scene.everywhere(both)
    await become(scene.c0, "gated", ready=False)
    await reaches_only(scene, family, first)
