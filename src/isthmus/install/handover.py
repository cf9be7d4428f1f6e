"""Has a cluster's own DNS ask us about the zone, and no longer; waits until its pods find our names.

DNS specification of KEP-1645: `dns-version.<zone>` answers everywhere the zone is served.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CONFIG_MAPS, PODS, SERVICES
from isthmus.api.isthmus import SYSTEM_NAMESPACE
from isthmus.api.mcs import ZONE
from isthmus.api.scheme import Manifest
from isthmus.errors import Conflict, Invalid, IsthmusError, NotFound, Refused, Unreachable
from isthmus.install.corefile import BEGIN, multicluster_line, read, with_zone, without
from isthmus.install.kinds import DAEMON_SETS, whole
from isthmus.install.manifests import MANAGER
from isthmus.install.member import DNS_SERVICE
from isthmus.install.nameservers import (
    CACHE,
    CACHES,
    KUBE_DNS,
    USUAL_COREDNS,
    Nameservers,
    Place,
    daemon_set,
    find,
)
from isthmus.install.stubdomains import Mark, Stubs, with_domain, without_domain
from isthmus.install.workloads import NAME_LABEL
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client, DeleteOptions, ListOptions, WriteOptions
from isthmus.kube.exec import Execution, execute

_RESTARTED: Final = "isthmus.dev/restarted-at"
# On the ConfigMap of stub domains: what we did to them.
_MARK: Final = "isthmus.dev/stub-domains"
# On a ConfigMap that was not there before us.
_MADE: Final = "isthmus.dev/made-for-dns"
# Seconds. The kubelet takes a minute to show pods a changed ConfigMap, CoreDNS half of one to look at it.
_ANSWERS_WITHIN: Final = 180.0
_LOOK: Final = 2.0
_TRIES: Final = 5


@dataclass(frozen=True)
class Change:
    """What stands where, and what is to stand there; `left` says why nothing is changed though we are not asked."""

    place: Place
    wanted: str | None
    reloads: bool = True
    mark: str | None = None
    left: str = ""

    @property
    def is_needed(self) -> bool:
        """Whether anything differs."""
        return (self.place.text or None, self.place.annotations.get(_MARK)) != (self.wanted or None, self.mark)

    @property
    def asks(self) -> bool:
        """Whether we are asked by it, once it is carried out."""
        return self.place.who == KUBE_DNS or BEGIN in (self.wanted or "")


async def plan(
    client: Client, config_map: tuple[str, str], *, undo: bool, replace_others: bool = False
) -> tuple[Change, ...]:
    """What has to change, in this order, so that the cluster's DNS asks us, or no longer does.

    Raises Invalid, saying what to do.
    """
    found = await find(client, config_map)
    if not found.corefile.text and config_map != USUAL_COREDNS:
        raise Invalid(
            f"{client.server} has no Corefile in ConfigMap {'/'.join(config_map)}: name the one of its CoreDNS with "
            "--config-map NAMESPACE/NAME, or leave that out where another DNS server answers its pods"
        )
    if not found.are_known:
        raise Invalid(_unknown(client, config_map, await _address_or_none(client)))
    if undo:
        return _undone(found, await _address_or_none(client))
    servers = [await _address(client)]
    changes = []
    if found.corefile.text:
        changes = [_coredns(found, servers, replace_others=replace_others)]
    elif not found.has_kube_dns:
        left = f"no Corefile here: pods find names by {CACHE} only. Name CoreDNS' own with --config-map NAMESPACE/NAME"
        changes = [Change(found.corefile, None, left=left)]
    # Not both: a stub domain that the cache reads is a server block to it, and the same zone twice stops it.
    blocks = [] if found.caches_read_stubs else servers
    for cache in found.caches:
        try:
            wanted = with_zone(cache.text or "", ZONE, blocks, replace=replace_others, is_cache=True)
        except Invalid as problem:
            raise Invalid(f"{cache}: {problem}") from problem
        changes.append(Change(cache, wanted, _reloads(cache)))
    if found.uses_stubs:
        changes.append(_stubs(found.stubs, servers, replace_others=replace_others))
    return tuple(changes)


def _undone(found: Nameservers, address: str) -> tuple[Change, ...]:
    # Backwards: a block of others that stood in a cache's way comes back when our stub domain is gone.
    changes: list[Change] = []
    if found.stubs.is_there:
        stubs = without_domain(_seen_stubs(found.stubs), ZONE, [address] if address else ())
        changes.append(Change(found.stubs, stubs.text))
    changes += [Change(cache, without(cache.text or ""), _reloads(cache)) for cache in reversed(found.caches)]
    if found.corefile.text:
        place = found.custom or found.corefile
        changes.append(Change(place, without(place.text or ""), _reloads(found.corefile)))
    return tuple(changes)


def _coredns(found: Nameservers, servers: list[str], *, replace_others: bool) -> Change:
    main, place = found.corefile, found.custom or found.corefile
    reloads = _reloads(main)
    base = place.text or ""
    if (line := multicluster_line(main.text or "", ZONE)) and not replace_others and BEGIN not in base:
        left = (
            f"line {line}: its plugin `multicluster` answers for {ZONE} itself, from what Isthmus imports; left so. "
            "To have Isthmus answer (undone by --undo) type: isthmus dns configure --replace"
        )
        return Change(place, place.text, reloads, left=left)
    if place is not main:
        _demand_alone(main, {main.key: main.text or "", **place.others})
    return Change(place, with_zone(base, ZONE, servers, replace=replace_others), reloads)


def _demand_alone(main: Place, files: dict[str, str]) -> None:
    """No other file may serve the zone, and none of these is ours to change."""
    for key, text in files.items():
        if key != main.key and not key.endswith(".server"):
            continue
        for block in read(text):
            if block.serves(ZONE):
                raise Invalid(
                    f"{key} line {block.first + 1}: another block serves {ZONE} already, in a file that is not ours "
                    "to change; take it out there"
                )


def _stubs(place: Place, servers: list[str], *, replace_others: bool) -> Change:
    try:
        wanted = with_domain(_seen_stubs(place), ZONE, servers, replace_others=replace_others)
    except Invalid as problem:
        raise Invalid(f"{place}: {problem}") from problem
    return Change(place, wanted.text, mark=msgspec.json.encode(wanted.mark).decode() if wanted.mark else None)


def _seen_stubs(place: Place) -> Stubs:
    written = place.annotations.get(_MARK)
    try:
        return Stubs(place.text, msgspec.json.decode(written, type=Mark) if written else None)
    except msgspec.DecodeError as problem:
        raise Invalid(f"{place}: annotation {_MARK} is not ours ({problem}); take it out by hand") from problem


def _reloads(place: Place) -> bool:
    return any(line.split()[:1] == ["reload"] for block in read(place.text or "") for line in block.body)


def _unknown(client: Client, config_map: tuple[str, str], address: str) -> str:
    caches = " or ".join(CACHES)
    return (
        f"{client.server} has no DNS server that Isthmus knows: no Corefile in ConfigMap {'/'.join(config_map)} "
        f"(CoreDNS), none in {caches} (NodeLocal DNSCache), neither ConfigMap nor Deployment {KUBE_DNS}. Name the one "
        f"of its CoreDNS with --config-map NAMESPACE/NAME, or have its DNS server forward {ZONE} to "
        f"{address or 'the address'} port 53 (Service {SYSTEM_NAMESPACE}/{DNS_SERVICE}), by UDP and TCP, yourself"
    )


async def carry_out(client: Client, change: Change) -> None:
    """Write it, if nobody changed the object since it was read. Raises Conflict."""
    place = change.place
    options = WriteOptions(manager=MANAGER)
    annotations = {_MARK: change.mark} if change.mark != place.annotations.get(_MARK) else {}
    if not place.is_there:
        metadata = {"name": place.name, "namespace": place.namespace, "annotations": {_MADE: "yes", **annotations}}
        manifest: Manifest = {
            "apiVersion": "v1",
            "kind": CONFIG_MAPS.kind,
            "metadata": metadata,
            "data": {place.key: change.wanted},
        }
        await client.create(CONFIG_MAPS, manifest, options=options)
        return
    if not change.wanted and not place.others and _MADE in place.annotations:
        guarded = DeleteOptions(resource_version=place.version)
        await client.delete(CONFIG_MAPS, place.name, namespace=place.namespace, options=guarded)
        return
    # An empty text of somebody else's stubDomains is given back as it was.
    wanted = change.wanted if place.who == KUBE_DNS else change.wanted or None
    patch: Manifest = {
        "metadata": {"resourceVersion": place.version, "annotations": annotations},
        "data": {place.key: wanted},
    }
    await client.merge_patch(CONFIG_MAPS, place.name, patch, namespace=place.namespace, options=options)


async def restart(client: Client, place: Place, *, clock: Clock = SYSTEM) -> str:
    """Roll the workload of CoreDNS or NodeLocal DNSCache, which does not look at its file again; its name."""
    annotations = {_RESTARTED: clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")}
    patch: Manifest = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    namespace = place.namespace
    if place.who == CACHE:
        seen = await daemon_set(client, place)
        if seen is None:
            raise Invalid(f"{place} has no `reload` plugin, and no DaemonSet of it is seen: restart its pods yourself")
        name = str(seen["metadata"]["name"])
        await client.merge_patch(DAEMON_SETS, name, patch, namespace=namespace)
        return name
    found = await client.list(whole(DEPLOYMENTS), namespace=namespace, options=ListOptions(labels="k8s-app=kube-dns"))
    if len(found.items) != 1:
        raise Invalid(
            f"CoreDNS has no `reload` plugin, and {len(found.items)} Deployments in {namespace} have the label "
            "k8s-app=kube-dns: restart the one of CoreDNS yourself (kubectl rollout restart)"
        )
    name = str(found.items[0]["metadata"]["name"])
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


async def _address_or_none(client: Client) -> str:
    try:
        return await _address(client)
    except Invalid:
        return ""


async def configure(
    client: Client,
    config_map: tuple[str, str],
    *,
    undo: bool,
    replace_others: bool = False,
) -> tuple[Change, ...]:
    """Plan and carry out; read again where somebody else wrote in between. One that died half way is run again."""
    done: dict[tuple[str, str], Change] = {}
    for _ in range(_TRIES):
        changes = await plan(client, config_map, undo=undo, replace_others=replace_others)
        try:
            for change in (each for each in changes if each.is_needed):
                await carry_out(client, change)
                done[change.place.namespace, change.place.name] = change
        except (Conflict, NotFound):
            continue
        return tuple(done.get((each.place.namespace, each.place.name), each) for each in changes)
    raise Invalid(f"{client.server}: the cluster's DNS is changed by somebody else all the time; find out by whom")
