"""E-20 to E-29: names, as programs in pods resolve them."""

from collections.abc import Collection
from functools import partial

from isthmus.api.core import PODS
from isthmus.api.mcs import SOURCE_CLUSTER_LABEL
from isthmus.conformance.declared import check
from isthmus.conformance.manifests import HELLO, service
from isthmus.conformance.mcs.connectivity import only
from isthmus.conformance.mcs.dns import TYPE_OF, has_exactly, host_of
from isthmus.conformance.mcs.traffic import GATE, LONG, become
from isthmus.conformance.place import Place, ready_addresses
from isthmus.conformance.probing import Lookup, Reply, Traffic
from isthmus.conformance.scene import Scene
from isthmus.conformance.witness import SLICE

NOERROR, NXDOMAIN = 0, 3
HEADLESS = service(clusterIP="None")


def is_nothing(reply: Reply) -> bool:
    """The name server answers, and has no record."""
    return reply.rcode in {NOERROR, NXDOMAIN} and not reply.records


def is_unknown(reply: Reply) -> bool:
    """There is no such name."""
    return reply.rcode == NXDOMAIN


async def has_none(place: Place, questions: Collection[Lookup]) -> None:
    """Wait until the name has no records of these types."""
    for question in questions:
        await place.resolves("has no record", question, is_nothing)


async def _ids(scene: Scene, addresses: Collection[str] = ()) -> dict[str, str]:
    """Cluster ids by the addresses of their backends, all these among them, from the first cluster's slices."""

    async def known() -> dict[str, str]:
        return {
            address: each.metadata.labels[SOURCE_CLUSTER_LABEL]
            for each in await scene.c0.imported_slices()
            for address in ready_addresses([each], each.address_type)
        }

    return await scene.witness.until(
        "the imported slices have backends", known, lambda seen: bool(seen) and seen.keys() >= set(addresses), SLICE
    )


@check("E-20", "The DNS tells its schema version", "Effect DNS", "MCS-80 MCS-90", pods=True)
async def version(scene: Scene) -> None:
    """As TXT, in every cluster."""
    question = Lookup(f"dns-version.{scene.zone}.", "TXT")
    await scene.everywhere(lambda place: place.resolves("is 1.x.y", question, _is_version))


def _is_version(reply: Reply) -> bool:
    # The specification says 1.0.0, CoreDNS's plugin 1.1.0: readers can rely on the first number.
    return len(reply.values) == 1 and reply.values[0].startswith("1.") and reply.values[0].count(".") == 2


@check("E-21", "Names of services and namespaces that are not there are unknown", "Effect DNS", "MCS-105", pods=True)
async def unknown(scene: Scene) -> None:
    """NXDOMAIN, also for a Service that is there and not exported."""
    await scene.c0.serve(replicas=0)
    await scene.c0.serve(service("other"), replicas=0)
    await scene.c0.export("other")
    await scene.c0.imports("the other service is imported", name="other")
    for question in (
        scene.lookup("A"),
        scene.lookup("SRV"),
        Lookup(scene.host(name="never"), "A"),
        Lookup(f"{HELLO}.{scene.c0.namespace}-not.svc.{scene.zone}.", "A"),
    ):
        await scene.everywhere(partial(_is_unknown, question=question))


async def _is_unknown(place: Place, question: Lookup) -> None:
    await place.resolves("is unknown", question, is_unknown)


@check(
    "E-22",
    "The reserved form <clusterid>.<service>.<ns>.svc.clusterset.local has no records",
    "Effect DNS",
    "MCS-88",
    pods=True,
)
async def reserved(scene: Scene) -> None:
    """Neither for a clusterset IP nor for a headless service with names below it."""
    await scene.exported(replicas=1)
    await scene.c0.serve(service("bare", clusterIP="None"), replicas=1)
    await scene.c0.export("bare")
    ids = set((await _ids(scene)).values())
    family = (await scene.families())[0]
    bare = Lookup(scene.host(name="bare"), TYPE_OF[family])
    await scene.everywhere(lambda place: place.resolves("is there", bare, lambda reply: bool(reply.records)))
    names = [
        Lookup(scene.host(f"{each}.", name), kind)
        for each in ids
        for name in (HELLO, "bare")
        for kind in ("A", "AAAA", "SRV")
    ]
    await scene.everywhere(partial(has_none, questions=names))


@check("E-23", "Un-exporting removes all names of the service", "Effect DNS", "MCS-105 MCS-19", pods=True)
async def removed(scene: Scene) -> None:
    """In every cluster; nobody is reached by the name any more."""
    await scene.exported(replicas=1)
    kind = TYPE_OF[(await scene.families())[0]]
    await scene.everywhere(
        lambda place: place.resolves("is there", scene.lookup(kind), lambda reply: bool(reply.records))
    )
    await scene.c0.unexport()
    for question in (scene.lookup(kind), scene.lookup("SRV"), scene.lookup("SRV", "_tcp._tcp.")):
        await scene.everywhere(partial(_is_unknown, question=question))
    await scene.everywhere(
        lambda place: place.answers("nobody answers", scene.to(), lambda said: not any("pod" in x for x in said))
    )


@check("E-24", "Names compare without regard to case", "Effect DNS", "MCS-100", pods=True)
async def any_case(scene: Scene) -> None:
    """The same answer to both spellings."""
    await scene.exported(replicas=0)
    kind = TYPE_OF[(await scene.families())[0]]

    async def asked(place: Place) -> None:
        seen = await place.imports("has ips", lambda one: bool(one.spec.ips))
        ips = [ip for ip in seen.spec.ips if (":" in ip) == (kind == "AAAA")]
        await has_exactly(place, Lookup(scene.host().upper(), kind), ips)

    await scene.everywhere(asked)


@check("E-25", "Each named port has an SRV record of its own", "Effect DNS", "MCS-83 MCS-91 MCS-92 MCS-102", pods=True)
async def srv_of_port(scene: Scene) -> None:
    """`_<port>._<protocol>` before the service's name; other names have none."""
    await scene.exported(replicas=1)
    for prefix in ("_tcp._tcp.", "_udp._udp."):
        await scene.everywhere(partial(_has_srv, scene=scene, prefix=prefix))
    absent = [scene.lookup("SRV", prefix) for prefix in ("_tcp._udp.", "_other._tcp.")]
    await scene.everywhere(partial(has_none, questions=absent))


async def _has_srv(place: Place, scene: Scene, prefix: str) -> None:
    wanted = [(42, scene.host())]
    await place.resolves(
        "is one record", scene.lookup("SRV", prefix), lambda reply: [(r.port, r.value) for r in reply.records] == wanted
    )


@check(
    "E-26",
    "Each backend of a headless service has an SRV record per named port, whose target resolves to it",
    "Effect DNS Headless",
    "MCS-85 MCS-86 MCS-94",
    pods=True,
)
async def srv_targets(scene: Scene) -> None:
    """From every cluster, under the service's port number."""
    await scene.exported(HEADLESS, replicas=2)
    family = (await scene.families())[0]
    addresses = await scene.c0.addresses(family, 2)
    families = await scene.families()
    own = [each for each in await scene.c0.own_slices() if each.address_type in families]
    hosts = {host_of(endpoint) for each in own for endpoint in each.endpoints}

    async def asked(place: Place) -> None:
        seen = await place.resolves(
            f"has a target for each of {sorted(hosts)}",
            scene.lookup("SRV", "_tcp._tcp."),
            lambda reply: {r.value.split(".")[0] for r in reply.records if r.port == 42} == hosts,
            LONG,
        )
        found = await place.inside.lookups([Lookup(r.value, TYPE_OF[family]) for r in seen.records])
        reached = sorted({value for reply in found for value in reply.values})
        place.witness.require(reached == sorted(addresses), f"{place.name}: the targets are the backends", reached)

    await scene.everywhere(asked)


@check(
    "E-27",
    "Names of StatefulSet pods lead to these very pods, from every cluster",
    "Effect DNS Headless Connectivity",
    "MCS-71 MCS-85",
    pods=True,
)
async def pods_by_name(scene: Scene) -> None:
    """`<pod>.<cluster>.<service>`, by TCP."""
    await scene.c0.serve(HEADLESS, replicas=0)
    await scene.c0.deploy_named(2)
    await scene.c0.export()
    family = (await scene.families())[0]
    await scene.c0.addresses(family, 2)
    cluster = next(iter(set((await _ids(scene)).values())))
    for endpoint in [e for each in await scene.c0.own_slices() if each.address_type == family for e in each.endpoints]:
        question = Traffic(scene.host(f"{endpoint.hostname}.{cluster}."), family=family, count=2)
        await scene.everywhere(partial(_leads_to, question=question, addresses=endpoint.addresses))


async def _leads_to(place: Place, question: Traffic, addresses: Collection[str]) -> None:
    what = f"{question.host} leads to {', '.join(addresses)}"
    await place.answers(what, question, lambda said: only(addresses, said), LONG)


@check(
    "E-28",
    "A headless service of two clusters resolves to the backends of both, and its pods' names tell the clusters apart",
    "Effect DNS Headless",
    "MCS-84 MCS-85",
    clusters=2,
    pods=True,
)
async def two_headless(scene: Scene) -> None:
    """Pods of the same name in two clusters are two names."""
    for place in (scene.c0, scene.c1):
        await place.serve(HEADLESS, replicas=0)
        await place.deploy_named(1)
        await place.export()
    family = (await scene.families())[0]
    own = [(await place.addresses(family))[0] for place in (scene.c0, scene.c1)]
    await scene.everywhere(partial(has_exactly, question=scene.lookup(TYPE_OF[family]), addresses=own))
    ids = await _ids(scene, own)
    for address in own:
        question = scene.lookup(TYPE_OF[family], f"{HELLO}-ss-0.{ids[address]}.")
        await scene.everywhere(partial(has_exactly, question=question, addresses=[address]))


@check(
    "E-29",
    "A headless name has the addresses of ready backends alone",
    "Effect DNS Headless",
    "MCS-70 MCS-84 MCS-95",
    pods=True,
)
async def ready_names(scene: Scene) -> None:
    """None while none is ready, then the one that is, then none again."""
    await scene.exported(HEADLESS)
    await scene.c0.run_pod("gated", {"app": HELLO}, readinessGates=[{"conditionType": GATE}])
    family = (await scene.families())[0]
    question = scene.lookup(TYPE_OF[family])

    async def phase() -> str:
        manifest = await scene.c0.client.get(PODS, "gated", namespace=scene.c0.namespace)
        return str(manifest.get("status", {}).get("phase", ""))

    await scene.witness.until("the gated pod runs", phase, lambda seen: seen == "Running", LONG)
    await scene.everywhere(partial(has_none, questions=[question]))
    await become(scene.c0, "gated", ready=True)
    addresses = await scene.c0.addresses(family)
    await scene.everywhere(partial(has_exactly, question=question, addresses=addresses))
    await become(scene.c0, "gated", ready=False)
    await scene.everywhere(partial(has_none, questions=[question]))
