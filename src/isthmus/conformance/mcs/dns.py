"""C-22 to C-27: how the service's names resolve (upstream: clusterip_service_dns, headless_service_dns)."""

from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address

from isthmus.api.core import Endpoint
from isthmus.api.mcs import SOURCE_CLUSTER_LABEL
from isthmus.conformance.declared import check
from isthmus.conformance.manifests import HELLO, service
from isthmus.conformance.mcs.endpoint_slice import slice_of
from isthmus.conformance.mcs.service_import import announces_slices
from isthmus.conformance.place import Place
from isthmus.conformance.probing import Lookup, Reply
from isthmus.conformance.scene import Scene

TYPE_OF = {"IPv4": "A", "IPv6": "AAAA"}


async def has_exactly(place: Place, question: Lookup, addresses: Sequence[str]) -> None:
    """Wait until the name has these addresses, and no others."""
    wanted = sorted(str(ip_address(address)) for address in addresses)
    await place.resolves(f"is {', '.join(wanted)}", question, lambda reply: reply.values == wanted)


async def has_address(place: Place, question: Lookup, address: str) -> None:
    """Wait until the name has this address."""
    await place.resolves(f"is {address}", question, lambda reply: str(ip_address(address)) in reply.values)


def host_of(endpoint: Endpoint) -> str:
    """The name of an endpoint: its host name, or its address with dashes (MCS-94)."""
    return endpoint.hostname or endpoint.addresses[0].replace(".", "-").replace(":", "-")


@check(
    "C-22",
    "A DNS lookup of the <service>.<ns>.svc.clusterset.local domain for a ClusterIP service should resolve to the "
    "clusterset IP",
    "Optional DNS ClusterIP",
    "MCS-81 MCS-82",
    pods=True,
)
async def resolves_to_ips(scene: Scene) -> None:
    """In each cluster, to each of the ips that its own import has."""
    await scene.exported(replicas=1)

    async def asked(place: Place) -> None:
        seen = await place.imports("has ips", lambda one: bool(one.spec.ips))
        for ip in seen.spec.ips:
            await has_address(place, scene.lookup(TYPE_OF[f"IPv{ip_address(ip).version}"]), ip)

    await scene.everywhere(asked)


@check(
    "C-23",
    "A DNS SRV query of the <service>.<ns>.svc.clusterset.local domain for a ClusterIP service should return valid SRV "
    "records",
    "Optional DNS ClusterIP",
    "MCS-87",
    pods=True,
)
async def one_srv(scene: Scene) -> None:
    """TCP 42 and UDP 42 are one record: same port, same target."""
    await scene.exported(replicas=1)
    wanted = [(42, scene.host())]
    await scene.everywhere(
        lambda place: place.resolves(
            "is one record", scene.lookup("SRV"), lambda reply: [(r.port, r.value) for r in reply.records] == wanted
        )
    )


@check(
    "C-24",
    "DNS lookups of the <service>.<ns>.svc.cluster.local domain for a ClusterIP service should only resolve local "
    "services",
    "Optional DNS ClusterIP",
    "MCS-7",
    pods=True,
)
async def local_name_stays(scene: Scene) -> None:
    """To the Service's own address."""
    await scene.exported(replicas=1)
    await scene.c0.imports("imported")
    ip = (await scene.c0.service()).spec.cluster_ip
    name = f"{HELLO}.{scene.c0.namespace}.svc.cluster.local."
    kind = TYPE_OF[f"IPv{ip_address(ip).version}"]
    await scene.c0.resolves(f"is {ip} alone", Lookup(name, kind), lambda reply: reply.values == [ip])


@check(
    "C-25",
    "A DNS lookup of the <service>.<ns>.svc.clusterset.local domain for a headless service should resolve to the ready "
    "endpoint addresses of all the backing pods",
    "Optional DNS Headless",
    "MCS-84",
    pods=True,
)
async def resolves_to_backends(scene: Scene) -> None:
    """To all of them, and no more."""
    await scene.exported(service(clusterIP="None"), replicas=2)
    for family in await scene.families():
        addresses = await scene.c0.addresses(family, 2)
        await scene.everywhere(partial(has_exactly, question=scene.lookup(TYPE_OF[family]), addresses=addresses))


@check(
    "C-26",
    "A DNS lookup of the <hostname>.<clusterid>.<service>.<ns>.svc.clusterset.local domain for a headless service "
    "should return the requested pod's endpoint address",
    "Optional DNS Headless EndpointSlice",
    "MCS-71 MCS-85",
    pods=True,
)
async def names_of_pods(scene: Scene) -> None:
    """Two pods of a StatefulSet stand in one slice, ready, each with its host name."""
    await scene.c0.serve(service(clusterIP="None"), replicas=0)
    await scene.c0.deploy_named(2)
    await scene.c0.export()
    for family in await scene.families():
        await scene.c0.addresses(family, 2)
        await scene.everywhere(partial(_each_by_name, scene=scene, family=family))


async def _each_by_name(place: Place, scene: Scene, family: str) -> None:
    await announces_slices(place)
    found = await slice_of(place, family, endpoints=2)
    cluster = found.metadata.labels[SOURCE_CLUSTER_LABEL]
    for endpoint in found.endpoints:
        question = scene.lookup(TYPE_OF[family], f"{endpoint.hostname}.{cluster}.")
        await has_exactly(place, question, endpoint.addresses)


@check(
    "C-27",
    "A DNS SRV query of the <service>.<ns>.svc.clusterset.local domain for a headless service should return valid SRV "
    "records",
    "Optional DNS Headless",
    "MCS-87 MCS-94",
    pods=True,
)
async def srv_of_backends(scene: Scene) -> None:
    """One record per endpoint address, whose target begins with the endpoint's name."""
    made = await scene.c0.serve(service(clusterIP="None"), replicas=2)
    await scene.c0.export()
    for family in made.spec.ip_families:
        await scene.c0.addresses(family, 2)
    families = await scene.families()
    endpoints = [
        endpoint for each in await scene.c0.own_slices() if each.address_type in families for endpoint in each.endpoints
    ]
    hosts = sorted(host_of(endpoint) for endpoint in endpoints)

    def fits(reply: Reply) -> bool:
        targets = [record.value for record in reply.records if record.port == 42]
        return len(reply.records) == len(hosts) and sorted(each.split(".")[0] for each in targets) == hosts

    await scene.everywhere(
        lambda place: place.resolves(f"is one record for each of {hosts}", scene.lookup("SRV"), fits)
    )
