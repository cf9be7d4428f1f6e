"""Which programs answer a cluster's pods, and in which ConfigMap each is told whom to ask.

CoreDNS has a Corefile; NodeLocal DNSCache, one on each node before the cluster's own DNS, has another; kube-dns has
stub domains, which NodeLocal DNSCache reads too where it has that ConfigMap at hand (as in its stock manifest).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from isthmus.api.apps import DEPLOYMENTS
from isthmus.api.core import CONFIG_MAPS
from isthmus.api.scheme import Manifest
from isthmus.errors import NotFound, Refused
from isthmus.install.corefile import BEGIN, imports
from isthmus.install.kinds import DAEMON_SETS, whole
from isthmus.kube.client import Client

COREDNS, CACHE, KUBE_DNS = "CoreDNS", "NodeLocal DNSCache", "kube-dns"
COREFILE: Final = "Corefile"
STUBS: Final = "stubDomains"
# Where AKS and k3s take further server blocks from; what else is in `coredns` they overwrite.
_CUSTOM: Final = "coredns-custom"
_CUSTOM_KEY: Final = "isthmus.server"
# The stock manifest's, and that of kubespray.
CACHES: Final = ("node-local-dns", "nodelocaldns")
_USUAL: Final = "kube-system"
USUAL_COREDNS: Final = (_USUAL, "coredns")
_ADDON_MODE: Final = "addonmanager.kubernetes.io/mode"


@dataclass(frozen=True)
class Place:
    """One key of a ConfigMap, whose program reads it, and what stands there: None if the key or object is missing."""

    namespace: str
    name: str
    key: str
    who: str = COREDNS
    text: str | None = None
    version: str = ""
    others: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_there(self) -> bool:
        """Whether the object is there, be it without the key."""
        return bool(self.version)

    @property
    def is_reset(self) -> bool:
        """Whether an add-on manager writes it again as its manifest has it."""
        return self.labels.get(_ADDON_MODE) == "Reconcile"

    @property
    def app(self) -> str:
        """What the label `k8s-app` of its pods is."""
        return CACHES[0] if self.who == CACHE else KUBE_DNS

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} ({self.who})"


@dataclass(frozen=True)
class Nameservers:
    """What was found. `custom` is where CoreDNS takes further blocks from, if it does."""

    corefile: Place
    custom: Place | None
    caches: tuple[Place, ...]
    stubs: Place
    has_kube_dns: bool
    caches_read_stubs: bool

    @property
    def are_known(self) -> bool:
        """Whether there is anybody to be told."""
        return bool(self.corefile.text or self.caches or self.uses_stubs)

    @property
    def uses_stubs(self) -> bool:
        """Whether anybody reads the stub domains."""
        return self.has_kube_dns or self.caches_read_stubs


async def find(client: Client, config_map: tuple[str, str]) -> Nameservers:
    """Look for all of them, in the namespace of CoreDNS' own ConfigMap and in the usual one."""
    namespaces = tuple(dict.fromkeys((config_map[0], _USUAL)))
    corefile = await _read(client, Place(*config_map, COREFILE))
    custom = None
    # A block of ours that is in the Corefile already, from before it took in others, stays there.
    if imports(corefile.text or "") and BEGIN not in (corefile.text or ""):
        custom = await _read(client, Place(corefile.namespace, _CUSTOM, _CUSTOM_KEY))
    caches = [await _read(client, Place(each, name, COREFILE, CACHE)) for each in namespaces for name in CACHES]
    found = tuple(each for each in caches if each.text)
    places = [await _read(client, Place(each, KUBE_DNS, STUBS, KUBE_DNS)) for each in namespaces]
    stubs = next((each for each in places if each.is_there), None)
    running = None if corefile.text and stubs is None else await _kube_dns(client, namespaces)
    stubs = stubs or (replace(places[0], namespace=running) if running else places[0])
    # Where CoreDNS answers, the ConfigMap alone may be a rest of a kube-dns that is gone.
    has_kube_dns = running is not None or (stubs.is_there and not corefile.text)
    may_read = bool(found) and (has_kube_dns or stubs.is_there)
    reads = may_read and all([await _reads_stubs(client, cache, stubs) for cache in found])
    return Nameservers(corefile, custom, found, stubs, has_kube_dns, reads)


async def daemon_set(client: Client, place: Place) -> Manifest | None:
    """The DaemonSet whose pods have the place's ConfigMap as a file; None where none is seen."""
    try:
        found = (await client.list(DAEMON_SETS, namespace=place.namespace)).items
    except (NotFound, Refused):
        return None
    return next((each for each in found if place.name in _config_maps(each)), None)


async def _reads_stubs(client: Client, cache: Place, stubs: Place) -> bool:
    # One who cannot be seen is taken to read them, as the stock one does: a block of ours beside a stub domain would
    # be the same zone twice, with which it does not start.
    seen = await daemon_set(client, cache)
    return seen is None or stubs.name in _config_maps(seen)


async def _kube_dns(client: Client, namespaces: tuple[str, ...]) -> str | None:
    for namespace in namespaces:
        try:
            seen = await client.get(whole(DEPLOYMENTS), KUBE_DNS, namespace=namespace)
        except NotFound:
            continue
        # Others call a CoreDNS so.
        if any(each.get("name") == "kubedns" for each in seen["spec"]["template"]["spec"]["containers"]):
            return namespace
    return None


def _config_maps(workload: Manifest) -> set[str]:
    volumes = workload["spec"]["template"]["spec"].get("volumes") or ()
    return {str(each["configMap"].get("name")) for each in volumes if each.get("configMap")}


async def _read(client: Client, place: Place) -> Place:
    try:
        seen = await client.get(CONFIG_MAPS, place.name, namespace=place.namespace)
    except NotFound:
        return place
    metadata, data = seen["metadata"], dict(seen.get("data") or {})
    return replace(
        place,
        text=data.pop(place.key, None),
        version=str(metadata["resourceVersion"]),
        others=data,
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
    )
