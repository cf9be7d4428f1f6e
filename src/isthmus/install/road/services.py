"""The second half of the road: one service after the other, from its export to an answer of its endpoint."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from isthmus.api.core import ENDPOINT_SLICES, NAMESPACES, SERVICES
from isthmus.api.isthmus import EXPORT_GRANTS, EXPORTED_SERVICES, MEMBERS, SYSTEM_NAMESPACE
from isthmus.api.mcs import CLUSTER_SET_IP, SERVICE_NAME_LABEL, ZONE, ServiceExport, ServiceImport
from isthmus.api.meta import Conditions
from isthmus.errors import Invalid, NotFound, Unreachable
from isthmus.install.handover import plan
from isthmus.install.homes import unready
from isthmus.install.member import DNS_SERVICE
from isthmus.install.nameservers import USUAL_COREDNS
from isthmus.install.road.walk import Finding, Road, Step, untrue
from isthmus.kube.client import ListOptions
from isthmus.mcs.controllers.kinds import served_kinds
from isthmus.mcs.rules.constituent import Admitted, constituents
from isthmus.mcs.rules.foreign import few
from isthmus.mcs.rules.names import export_name

_TCP: Final = frozenset({"", "TCP"})


async def exports(road: Road) -> Finding:
    """Whether all that the cluster exports is in order, and stands on the hub."""
    kinds = await served_kinds(road.member)
    found = (await road.member.list(kinds.exports)).items
    for export in found:
        at, name = export.metadata.namespace, export.metadata.name
        look = f"Type: {road.words.member} -n {at} describe serviceexport {name}"
        if problem := untrue(_of_export(export), "Valid", "Ready"):
            return Finding("export", f"{at}/{name} is {problem}", f"mend the Service or its export. {look}")
        try:
            await road.hub.get(EXPORTED_SERVICES, export_name(road.cluster, at, name), namespace=road.set)
        except NotFound:
            return Finding("export", f"{at}/{name} is said to be exported, but the hub does not hold it", look)
    if not found:
        return Finding("export", "this cluster exports nothing", looked=False)
    return Finding("export", f"{len(found)} exported, and on the hub")


async def imports(road: Road) -> Finding:
    """Whether all that counts of the set's exports into namespaces of this cluster is imported.

    What others exported is theirs to mend: it ends the road only where nothing else is imported.
    """
    admitted = await _admitted(road)
    here = {item.metadata.name for item in (await road.member.list(NAMESPACES)).items}
    there = {(item.metadata.namespace, item.metadata.name): item for item in await _imports(road)}
    wanted = {(each.spec.namespace, each.spec.name): each.cluster for each in reversed(admitted.constituents)}
    for (namespace, name), cluster in sorted(wanted.items()):
        if namespace in here and (namespace, name) not in there:
            said = f"{namespace}/{name} is exported by {cluster}, and not imported here"
            logs = f"{road.words.member} -n {SYSTEM_NAMESPACE} logs deployment/isthmus-agent"
            return Finding("import", said, f"see why. Type: {logs}")
    unwell = [(key, problem) for key, item in there.items() if key in wanted and (problem := _unready(item))]
    if unwell and len(unwell) == len(there):
        (namespace, name), problem = unwell[0]
        look = f"{road.words.member} -n {namespace} describe serviceimport {name}"
        return Finding("import", f"{namespace}/{name} is {problem}", f"see what it says. Type: {look}")
    absent = sorted({f"namespace {namespace}" for namespace, _ in wanted if namespace not in here})
    notes = (
        _few(absent, "not here, so nothing of it is imported"),
        _few([f"{each.object}: {each.message}" for each in admitted.rejected], "does not count"),
        _few([f"{namespace}/{name}: {problem}" for (namespace, name), problem in unwell], "is of no use"),
    )
    said = "; ".join(filter(None, (f"{len(there) or 'nothing is'} imported", *notes)))
    return Finding("import", said, looked=bool(there))


async def slices(road: Road) -> Finding:
    """Whether imports that have an address have backends behind it: one at least, the others' are their exporters'."""
    found = [item for item in await _imports(road) if not _unready(item)]
    bare = []
    for item in found:
        namespace, name = item.metadata.namespace, item.metadata.name
        if not await _ready_endpoints(road, namespace, name):
            bare.append(item)
        labels = ListOptions(labels=f"{SERVICE_NAME_LABEL}={name}")
        derived = (await road.member.list(SERVICES, namespace=namespace, options=labels)).items
        if item.spec is not None and item.spec.type == CLUSTER_SET_IP and not derived:
            logs = f"{road.words.member} -n {SYSTEM_NAMESPACE} logs deployment/isthmus-agent"
            return Finding("slices", f"no Service stands in for {namespace}/{name}", f"see why. Type: {logs}")
    if not found:
        return Finding("slices", "nothing is imported", looked=False)
    if len(bare) == len(found):
        return _without_backends(road, bare[0])
    note = _few([f"{each.metadata.namespace}/{each.metadata.name}" for each in bare], "has none")
    said = f"{len(found) - len(bare)} of {len(found)} imports have ready endpoints"
    return Finding("slices", said + (f"; {note}" if note else ""))


def _without_backends(road: Road, item: ServiceImport) -> Finding:
    namespace = item.metadata.namespace
    exporters = ", ".join(source.cluster for source in item.status.clusters) if item.status else ""
    look = f"{road.words.hub} -n {road.set} get exportedservices -l isthmus.dev/namespace={namespace}"
    said = f"{namespace}/{item.metadata.name} has no ready endpoint: none of its exporters ({exporters}) has one"
    return Finding("slices", said, f"see what backs it in {exporters}, and what the hub holds. Type: {look}")


async def names(road: Road) -> Finding:
    """Whether the cluster's own DNS answers for an import, to one who asks inside."""
    one = await _one(road)
    if one is None or road.inside is None:
        why = "nothing with an address is imported" if one is None else "no pod to ask from"
        return Finding("DNS", why, looked=False)
    try:
        got = await road.inside.resolve(one.name)
        said = f"{one.name} is {', '.join(got) or 'not known'}, not {', '.join(one.ips)}"
    except (Invalid, Unreachable) as error:
        got, said = (), f"{one.name}: {error}"
    if set(got) & set(one.ips):
        return Finding("DNS", f"{one.name} is {', '.join(got)}")
    return Finding("DNS", said, await _dns_remedy(road))


async def endpoint(road: Road) -> Finding:
    """Whether a backend takes a connection at the import's address."""
    one = await _one(road)
    if one is None or road.inside is None or not one.ports:
        why = "nothing with an address and a TCP port is imported" if road.inside else "no pod to ask from"
        return Finding("endpoint", why, looked=False)
    where = f"{one.ips[0]} port {one.ports[0]} ({one.namespace}/{one.service})"
    if problem := await road.inside.connect(one.ips[0], one.ports[0]):
        look = f"{road.words.member} -n {one.namespace} get endpointslices -l {SERVICE_NAME_LABEL}={one.service}"
        advice = "see whether pods of this cluster reach these addresses, and the exporter's policies let them"
        return Finding("endpoint", f"no connection to {where}: {problem}", f"{advice}. Type: {look}")
    return Finding("endpoint", f"{where} takes connections")


STEPS: Final[tuple[Step, ...]] = (
    ("export", exports),
    ("import", imports),
    ("slices", slices),
    ("DNS", names),
    ("endpoint", endpoint),
)


@dataclass(frozen=True)
class _Import:
    """One import with addresses: the one that is tried."""

    namespace: str
    service: str
    ips: tuple[str, ...]
    ports: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.service}.{self.namespace}.svc.{ZONE}"


async def _one(road: Road) -> _Import | None:
    for item in await _imports(road):
        namespace, name = item.metadata.namespace, item.metadata.name
        if item.spec is not None and item.spec.ips and await _ready_endpoints(road, namespace, name):
            ports = tuple(port.port for port in item.spec.ports if port.protocol in _TCP)
            return _Import(namespace, name, item.spec.ips, ports)
    return None


async def _imports(road: Road) -> list[ServiceImport]:
    kinds = await served_kinds(road.member)
    found = (await road.member.list(kinds.imports)).items
    return sorted(found, key=lambda item: (item.metadata.namespace, item.metadata.name))


async def _ready_endpoints(road: Road, namespace: str, name: str) -> bool:
    labels = ListOptions(labels=f"{SERVICE_NAME_LABEL}={name}")
    found = (await road.member.list(ENDPOINT_SLICES, namespace=namespace, options=labels)).items
    return any(point.conditions.ready is not False for each in found for point in each.endpoints)


async def _admitted(road: Road) -> Admitted:
    """What counts of all that is on the hub, as agents see it, and what does not."""
    exports, members, grants = await asyncio.gather(
        road.hub.list(EXPORTED_SERVICES, namespace=road.set),
        road.hub.list(MEMBERS, namespace=road.set),
        road.hub.list(EXPORT_GRANTS, namespace=road.set),
    )
    return constituents(exports.items, {each.metadata.name: each for each in members.items}, grants.items)


def _unready(item: ServiceImport) -> str:
    return untrue(item.status.conditions if item.status is not None else (), "Ready")


async def _dns_remedy(road: Road) -> str:
    """Where the name is lost: in our server, or before it is asked."""
    configure = f"isthmus dns configure {road.words.context}".rstrip()
    if (why := await unready(road.member, DNS_SERVICE, SYSTEM_NAMESPACE)) and "is not there" not in why:
        return f"{why}. Type: {road.words.member} -n {SYSTEM_NAMESPACE} logs deployment/{DNS_SERVICE}"
    try:
        changes = await plan(road.member, USUAL_COREDNS, undo=False)
    except Invalid as problem:
        return f"{problem}. Type: {configure}"
    if silent := [str(change.place) for change in changes if change.is_needed]:
        return f"{' and '.join(silent)} does not ask Isthmus about {ZONE}. Type: {configure}"
    labels = dict.fromkeys(f"k8s-app={change.place.app}" for change in changes)
    logs = "; ".join(f"{road.words.member} -n kube-system logs -l {label}" for label in labels)
    return f"see what {' and '.join(str(change.place) for change in changes)} says. Type: {logs}"


def _of_export(export: ServiceExport) -> Conditions:
    return export.status.conditions if export.status is not None else ()


def _few(found: Sequence[str], what: str) -> str:
    """What is so of these, in words; empty where there are none."""
    return f"{few(found)} {what}" if found else ""
