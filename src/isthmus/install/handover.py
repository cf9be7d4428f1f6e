"""Has a cluster's CoreDNS ask us about the zone, and no longer; waits until its pods find our names.

DNS specification of KEP-1645: `dns-version.<zone>` answers everywhere the zone is served.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CONFIG_MAPS, PODS, SERVICES
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.mcs import ZONE
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict, Invalid, IsthmusError, NotFound, Refused, Unreachable
from isthmus.install.corefile import imports, read, with_zone, without
from isthmus.install.kinds import whole
from isthmus.install.manifests import MANAGER
from isthmus.install.member import DNS_SERVICE
from isthmus.install.workloads import NAME_LABEL
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, ListOptions, WriteOptions
from isthmus.kube.exec import Execution, execute

COREFILE: Final = "Corefile"
# Where AKS and k3s take further server blocks from; what else is in `coredns` they overwrite.
_CUSTOM: Final = "coredns-custom"
_CUSTOM_KEY: Final = "isthmus.server"
_RESTARTED: Final = "isthmus.dev/restarted-at"
# Seconds. The kubelet takes a minute to show pods a changed ConfigMap, CoreDNS half of one to look at it.
_ANSWERS_WITHIN: Final = 180.0
_LOOK: Final = 2.0
_TRIES: Final = 5


@dataclass(frozen=True)
class Place:
    """One key of a ConfigMap, and what stands there: nothing if the object or the key is missing."""

    namespace: str
    name: str
    key: str
    text: str = ""
    version: str = ""


@dataclass(frozen=True)
class Change:
    """What stands where, and what is to stand there."""

    place: Place
    wanted: str
    reloads: bool

    @property
    def is_needed(self) -> bool:
        """Whether anything differs."""
        return self.place.text != self.wanted


async def plan(client: Client, config_map: tuple[str, str], *, undo: bool, replace_others: bool = False) -> Change:
    """What has to change so that CoreDNS asks us, or no longer does. Raises Invalid, saying what to do."""
    main = await _read(client, Place(*config_map, COREFILE))
    if not main.text:
        raise Invalid(
            f"{client.server} has no Corefile in ConfigMap {'/'.join(config_map)}: name the one of its CoreDNS with "
            f"--config-map NAMESPACE/NAME, or have its DNS server forward {ZONE} to Service "
            f"{SYSTEM_NAMESPACE}/{DNS_SERVICE} yourself"
        )
    reloads = any(line.split()[:1] == ["reload"] for block in read(main.text) for line in block.body)
    place, base = main, main.text
    if imports(main.text):
        place = await _read(client, Place(main.namespace, _CUSTOM, _CUSTOM_KEY))
        base = place.text
    if undo:
        return Change(place, without(base), reloads)
    wanted = with_zone(base, ZONE, [await _address(client)], replace=replace_others)
    if place is not main:
        # No other file may serve it either.
        with_zone(main.text, ZONE, ["127.0.0.1"])
    return Change(place, wanted, reloads)


async def carry_out(client: Client, change: Change) -> None:
    """Write it, if nobody changed the object since it was read. Raises Conflict."""
    place = change.place
    options = WriteOptions(manager=MANAGER)
    if not place.version:
        manifest: Manifest = {
            "apiVersion": "v1",
            "kind": CONFIG_MAPS.kind,
            "metadata": {"name": place.name, "namespace": place.namespace},
            "data": {place.key: change.wanted},
        }
        await client.create(CONFIG_MAPS, manifest, options=options)
        return
    patch = {"metadata": {"resourceVersion": place.version}, "data": {place.key: change.wanted or None}}
    await client.merge_patch(CONFIG_MAPS, place.name, patch, namespace=place.namespace, options=options)


async def restart(client: Client, namespace: str, *, clock: Clock = SYSTEM) -> str:
    """Roll the Deployment of CoreDNS, which does not look at its file again; its name."""
    found = await client.list(whole(DEPLOYMENTS), namespace=namespace, options=ListOptions(labels="k8s-app=kube-dns"))
    if len(found.items) != 1:
        raise Invalid(
            f"CoreDNS has no `reload` plugin, and {len(found.items)} Deployments in {namespace} have the label "
            "k8s-app=kube-dns: restart the one of CoreDNS yourself (kubectl rollout restart)"
        )
    name = str(found.items[0]["metadata"]["name"])
    annotations = {_RESTARTED: clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")}
    patch: Manifest = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    await client.merge_patch(whole(DEPLOYMENTS), name, patch, namespace=namespace)
    return name


async def wait_answering(client: Client, *, answers: bool, say: Callable[[str], None], clock: Clock = SYSTEM) -> bool:
    """Ask from inside a pod until the cluster's DNS knows the zone, or no longer does.

    False where no pod can be entered to ask. Raises Unreachable when it takes too long.
    """
    end = clock.monotonic() + _ANSWERS_WITHIN
    while True:
        try:
            if await _is_answering(client) is answers:
                return True
        except (Refused, NotFound) as problem:
            say(f"not verified by a query, no pod of {DNS_SERVICE} can be entered: {problem}")
            return False
        except IsthmusError as problem:
            say(f"asking again: {problem}")
        if clock.monotonic() > end:
            raise Unreachable(
                f"the cluster's DNS does {'not yet' if answers else 'still'} answer for {ZONE} after "
                f"{_ANSWERS_WITHIN:.0f} s. Type: kubectl -n kube-system logs -l k8s-app=kube-dns"
            )
        await clock.sleep(_LOOK)


async def _is_answering(client: Client) -> bool:
    options = ListOptions(labels=f"{NAME_LABEL}={DNS_SERVICE}", fields="status.phase=Running")
    pods = (await client.list(PODS, namespace=SYSTEM_NAMESPACE, options=options)).items
    if not pods:
        raise NotFound(code=404, reason="NotFound", message=f"none runs in {SYSTEM_NAMESPACE}")
    execution = Execution(str(pods[0]["metadata"]["name"]), ("isthmus", "dns", "check"), SYSTEM_NAMESPACE)
    return await execute(client, execution, output=lambda _, __: None) == 0


async def _read(client: Client, place: Place) -> Place:
    try:
        seen = await client.get(CONFIG_MAPS, place.name, namespace=place.namespace)
    except NotFound:
        return place
    text = (seen.get("data") or {}).get(place.key, "")
    return replace(place, text=text, version=str(seen["metadata"]["resourceVersion"]))


async def _address(client: Client) -> str:
    """Of a dual-stack Service the first address: it is of the family that all pods surely have."""
    try:
        service = await client.get(SERVICES, DNS_SERVICE, namespace=SYSTEM_NAMESPACE)
    except NotFound as missing:
        raise Invalid(
            f"{client.server} has no Service {SYSTEM_NAMESPACE}/{DNS_SERVICE} to send queries to. "
            "Type: isthmus install member"
        ) from missing
    if not service.spec.cluster_ips:
        raise Invalid(f"Service {SYSTEM_NAMESPACE}/{DNS_SERVICE} has no address; look at its events")
    return service.spec.cluster_ips[0]


async def configure(
    client: Client,
    config_map: tuple[str, str],
    *,
    undo: bool,
    replace_others: bool = False,
) -> Change:
    """Plan and carry out; read again where somebody else wrote in between."""
    for _ in range(_TRIES):
        change = await plan(client, config_map, undo=undo, replace_others=replace_others)
        if not change.is_needed:
            return change
        try:
            await carry_out(client, change)
        except Conflict:
            continue
        return change
    raise Invalid(f"ConfigMap {'/'.join(config_map)} is changed by somebody else all the time; find out by whom")
