"""What DNS says of one cluster's imports, kept true one service at a time."""

from collections.abc import Iterable

from isthmus.api.core import EndpointSlice, Namespace
from isthmus.api.mcs import SERVICE_NAME_LABEL, ServiceImport
from isthmus.kit.dns.message import Answer, Question, Rcode
from isthmus.kit.dns.zone import Zone
from isthmus.kube.store import Store
from isthmus.mcs.rules.records import namespace_records, service_records, zone_records

BY_SERVICE = "service"
# Said by who does not know yet: never NXDOMAIN, which others would keep.
UNKNOWN = Answer(Rcode.SERVFAIL, authoritative=False, keep=False)


def services_of(piece: EndpointSlice) -> tuple[str, ...]:
    """The index key of the import that a slice belongs to, `namespace/name`; none without the label."""
    name = piece.metadata.labels.get(SERVICE_NAME_LABEL)
    return (f"{piece.metadata.namespace}/{name}",) if name else ()


class Directory:
    """The zone, made from three stores; `slices` has the index `BY_SERVICE`, made by `services_of`.

    Until `complete` is set it knows that it does not know: SERVFAIL, never NXDOMAIN (MCS-104).
    """

    def __init__(
        self,
        imports: Store[ServiceImport],
        slices: Store[EndpointSlice],
        namespaces: Store[Namespace],
        *,
        zone: Zone,
        ttl: int,
    ) -> None:
        self.complete = False
        self._imports, self._slices, self._namespaces = imports, slices, namespaces
        self._zone, self._ttl = zone, ttl
        zone.replace("", zone_records(zone=zone.origin))

    def answer(self, question: Question) -> Answer:
        """What is true of a name; REFUSED outside the zone."""
        if not self.complete:
            return UNKNOWN
        return self._zone.answer(question) or Answer(Rcode.REFUSED, authoritative=False)

    def update(self, services: Iterable[str], namespaces: Iterable[str]) -> set[str]:
        """Read these services (`namespace/name`) and namespaces again; the names whose answers may differ now."""
        changed = [self._update_service(key) for key in services]
        changed += [self._update_namespace(name) for name in namespaces]
        return set().union(*changed)

    def _update_service(self, key: str) -> set[str]:
        namespace, _, name = key.partition("/")
        service_import = self._imports.get(name, namespace)
        if service_import is None:
            return self._zone.replace(key, ())
        slices = self._slices.by(BY_SERVICE, key)
        return self._zone.replace(key, service_records(service_import, slices, zone=self._zone.origin, ttl=self._ttl))

    def _update_namespace(self, name: str) -> set[str]:
        exists = self._namespaces.get(name) is not None
        return self._zone.replace(name, namespace_records(name, zone=self._zone.origin) if exists else ())
