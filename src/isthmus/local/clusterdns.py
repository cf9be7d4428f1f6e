"""The cluster's name server: `cluster.local` from local objects, `clusterset.local` by way of `isthmus dns`."""

from collections.abc import Hashable
from dataclasses import dataclass

from isthmus.api.core import (
    ENDPOINT_SLICES,
    NAMESPACES,
    SERVICE_NAME_LABEL,
    SERVICES,
    EndpointSlice,
    Namespace,
    Service,
)
from isthmus.kit.dns.message import Answer, Forward, Question, Rcode
from isthmus.kit.dns.names import within
from isthmus.kit.dns.records import Record
from isthmus.kit.dns.server import Server, bind
from isthmus.kit.dns.zone import Zone
from isthmus.kube.informer import Change
from isthmus.local.controllers.surroundings import Surroundings
from isthmus.local.rules.clusterdns import namespace_records, service_records, zone_records

_REVERSE = ("in-addr.arpa", "ip6.arpa")


@dataclass(frozen=True)
class ClusterDNSOptions:
    """Where to listen, who answers for the cluster set, and who for the outside: nobody, unless named.

    Addresses are (host, port); `ttl` is in seconds.
    """

    listen: tuple[tuple[str, int], ...]
    clusterset: tuple[tuple[str, int], ...]
    upstream: tuple[tuple[str, int], ...] = ()
    zone: str = "cluster.local"
    clusterset_zone: str = "clusterset.local"
    ttl: int = 5


async def run_cluster_dns(around: Surroundings, options: ClusterDNSOptions) -> None:
    """Answer until cancelled; raises Invalid when an address cannot be bound."""
    await Names(around, options).server.run(bind(options.listen))


class Names:
    """What the server knows, kept true by informers, Service by Service."""

    def __init__(self, around: Surroundings, options: ClusterDNSOptions) -> None:
        self.server = Server(self.answer)
        self._options = options
        self._zones = [Zone(origin, ttl=options.ttl, serial=1) for origin in (options.zone, *_REVERSE)]
        self._services = around.informer(SERVICES)
        self._slices = around.informer(ENDPOINT_SLICES)
        self._namespaces = around.informer(NAMESPACES)
        self._put("zone", zone_records(zone=options.zone))
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._namespaces.subscribe(self._namespace_changed)
        for service in self._services.store.all():
            self._learn(service.metadata.namespace, service.metadata.name)
        for namespace in self._namespaces.store.all():
            self._namespace_changed(Change(before=None, after=namespace))

    def answer(self, question: Question) -> Answer | Forward:
        """What to say to one question; nothing, until everything was heard once."""
        if within(question.name, self._options.clusterset_zone):
            return Forward(self._options.clusterset)
        if not (self._services.synced and self._slices.synced):
            return Answer(rcode=Rcode.SERVFAIL, authoritative=False, keep=False)
        for zone in self._zones:
            answer = zone.answer(question)
            if answer is not None and (zone.origin not in _REVERSE or answer.rcode == Rcode.NOERROR):
                return answer
        if self._options.upstream:
            return Forward(self._options.upstream)
        # Not REFUSED: a resolver would go on asking others, and there are none.
        return Answer(rcode=Rcode.NXDOMAIN, authoritative=False)

    def _service_changed(self, change: Change[Service]) -> None:
        service = change.after or change.before
        if service is not None:
            self._learn(service.metadata.namespace, service.metadata.name)

    def _slice_changed(self, change: Change[EndpointSlice]) -> None:
        for each in (change.before, change.after):
            if each is not None:
                self._learn(each.metadata.namespace, each.metadata.labels.get(SERVICE_NAME_LABEL, ""))

    def _namespace_changed(self, change: Change[Namespace]) -> None:
        namespace = change.after or change.before
        if namespace is not None:
            name = namespace.metadata.name
            found = namespace_records(name, zone=self._options.zone) if change.after else ()
            self._put(("namespace", name), found)

    def _learn(self, namespace: str, name: str) -> None:
        service = self._services.store.get(name, namespace)
        found: tuple[Record, ...] = ()
        if service is not None:
            slices = [
                each
                for each in (self._slices.store.all(namespace) if service.spec.cluster_ip == "None" else ())
                if each.metadata.labels.get(SERVICE_NAME_LABEL) == name
            ]
            found = service_records(service, slices, zone=self._options.zone, ttl=self._options.ttl)
        self._put((namespace, name), found)

    def _put(self, owner: Hashable, found: tuple[Record, ...]) -> None:
        for zone in self._zones:
            self.server.forget(zone.replace(owner, found))
