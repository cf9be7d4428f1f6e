"""What the set exports comes down into this cluster: ServiceImport, derived Service, EndpointSlices."""

import logging
from collections.abc import Callable
from dataclasses import replace

import msgspec

from isthmus.api.core import ENDPOINT_SLICES, SERVICES, EndpointSlice, Service
from isthmus.api.isthmus import MANAGED_BY, MARKER_LABEL
from isthmus.api.mcs import SOURCE_CLUSTER_LABEL, ServiceImport, ServiceImportStatus
from isthmus.errors import Refused
from isthmus.kit.clock import Clock
from isthmus.mcs.controllers.absences import Absences
from isthmus.mcs.controllers.stored import ServicesOf, stored_merge
from isthmus.mcs.controllers.telling import Teller
from isthmus.mcs.controllers.views import IMPORT, SERVICE, Views, key_of
from isthmus.mcs.rules.conditions import import_status
from isthmus.mcs.rules.constituent import Constituent, constituents
from isthmus.mcs.rules.exporting import problem, publish, source_slices, withdrawn
from isthmus.mcs.rules.importing import Here, Plan, imported, is_ours
from isthmus.mcs.rules.merge import Merged, merge
from isthmus.mcs.rules.names import ImportKey
from isthmus.mcs.rules.slices import Slices, Sources, stray, wanted_slices
from isthmus.runtime.converge import Converger
from isthmus.runtime.reconcile import Done, Request
from isthmus.runtime.together import together

log = logging.getLogger(__name__)


class Importer:
    """Keeps one import true, in a cluster that has its namespace.

    `here` is what this cluster can offer, asked anew each time: zones come and go with nodes.
    """

    def __init__(
        self,
        views: Views,
        writer: Converger,
        absences: Absences,
        *,
        here: Callable[[], Here],
        teller: Teller,
        clock: Clock,
    ) -> None:
        self._member = views.member
        self._hub = views.hub
        self._writer = writer
        self._absences = absences
        self._here = here
        self._teller = teller
        self._clock = clock
        self._told: dict[Request, str] = {}

    async def reconcile(self, request: Request) -> Done:
        """Make true here what the set says of one service; nothing, where there is no namespace for it."""
        if not self._member.has_namespace(request.namespace):
            return Done()
        seen = self._import(request)
        if seen is not None and not self._is_ours(request, seen):
            # Made by hand or by another implementation: neither adopted nor deleted (design, part 3, rule 9).
            self._tell_foreign(request, seen)
            return Done()
        if not self._hub.synced:
            await self._keep(request, seen, ())
            return Done()
        exports = self._hub.exports_of(key_of(request))
        admitted = constituents(exports, self._absences.roster.known, self._hub.grants.store.all())
        present = frozenset(export.spec.cluster for export in exports if export.spec is not None)
        merged = merge(admitted.constituents, rules=self._absences.rules)
        if self._absences.held(ImportKey(request.namespace, request.name), present):
            await self._keep(request, seen, admitted.constituents)
        elif merged is None:
            await self._remove(request, seen)
        else:
            await self._fulfil(request, seen, merged)
        return Done()

    async def _fulfil(self, request: Request, seen: ServiceImport | None, merged: Merged) -> None:
        plan = self._plan(merged, seen)
        if seen is None:
            # All else belongs to the import, and belonging takes its UID.
            seen = await self._apply_import(plan, None)
            plan = self._plan(merged, seen)
        slices = self._slices(request, seen, merged, plan)
        await together(
            self._apply_slices(request, plan, slices),
            self._apply_rest(request, seen, merged, (plan, slices)),
        )

    async def _apply_rest(
        self, request: Request, seen: ServiceImport, merged: Merged, todo: tuple[Plan, Slices]
    ) -> None:
        plan, slices = todo
        derived = [plan.derived] if plan.derived is not None else []
        refusal: Refused | None = None
        try:
            outcome = await self._writer.converge(SERVICES, derived, self._derived(request, plan.derived_name))
            if outcome.applied:
                plan = self._plan(merged, seen)  # the answer has the addresses
        except Refused as error:
            refusal = error
            plan = replace(plan, refused=error.message)
        now = await self._apply_import(plan, seen)
        await self._tell(now, import_status(plan, merged, slices, here=self._here(), seen=now, now=self._clock.now()))
        if refusal is not None:
            # Whatever stands in the way, a quota perhaps, may go without anything here changing: so it is tried again.
            raise refusal

    async def _tell(self, now: ServiceImport, status: ServiceImportStatus) -> None:
        kind = self._member.kinds.imports
        if await self._writer.converge_status(kind, msgspec.structs.replace(now, status=status), now):
            before = now.status.conditions if now.status is not None else ()
            await self._teller.tell(kind, now, before, status.conditions)

    async def _keep(self, request: Request, seen: ServiceImport | None, known: tuple[Constituent, ...]) -> None:
        """Leave the import as it is; only slices of clusters that are still known, or our own, go on changing."""
        if seen is None or seen.spec is None or seen.status is None:
            return
        clusters = {origin.cluster for origin in seen.status.clusters}
        own = self._own_constituent(request) if self._member.cluster in clusters else ()
        exporters = tuple({each.cluster: each for each in (*own, *known)}.values())
        if not exporters:
            return
        merged, plan = stored_merge(seen, seen.spec, exporters)
        slices = self._slices(request, seen, merged, plan)
        await self._apply_slices(request, plan, slices, only=frozenset(merged.clusters))

    async def _remove(self, request: Request, seen: ServiceImport | None) -> None:
        await together(
            self._writer.converge(ENDPOINT_SLICES, [], self._imported_slices(request)),
            self._writer.converge(SERVICES, [], self._derived(request)),
            self._writer.converge(self._member.kinds.imports, [], [seen] if seen is not None else []),
        )

    def _plan(self, merged: Merged, seen: ServiceImport | None) -> Plan:
        services = ServicesOf(
            lambda name: self._service(name, merged.namespace),
            lambda: (each.metadata.name for each in self._member.services.store.all(merged.namespace)),
        )
        return imported(merged, self._here(), seen=seen, services=services)

    def _slices(self, request: Request, owner: ServiceImport, merged: Merged, plan: Plan) -> Slices:
        key = key_of(request)
        sources = Sources(
            own=source_slices(request.name, self._member.slices.store.by(SERVICE, key)),
            chunks=self._hub.chunks_of(key),
            members=self._absences.roster.known,
        )
        return wanted_slices(merged, plan, sources, self._here(), owner=owner)

    async def _apply_import(self, plan: Plan, seen: ServiceImport | None) -> ServiceImport:
        wanted = plan.service_import
        kind = self._member.kinds.imports
        outcome = await self._writer.converge(kind, [wanted], [seen] if seen is not None else [])
        return outcome.objects[wanted.metadata.namespace, wanted.metadata.name]

    async def _apply_slices(
        self, request: Request, plan: Plan, slices: Slices, *, only: frozenset[str] = frozenset()
    ) -> None:
        seen = [
            each
            for each in self._imported_slices(request)
            if (source := each.metadata.labels.get(SOURCE_CLUSTER_LABEL, "")) not in slices.arriving
            and (not only or source in only)
        ]
        named = self._member.slices.store.by(IMPORT, key_of(request))
        backing = self._member.slices.store.by(SERVICE, f"{request.namespace}/{plan.derived_name}")
        seen += stray({each.metadata.name: each for each in (*named, *backing)}.values(), request.name)
        await self._writer.converge(ENDPOINT_SLICES, slices.wanted, seen)

    def _import(self, request: Request) -> ServiceImport | None:
        seen = self._member.imports.store.get(request.name, request.namespace)
        return self._writer.current(self._member.kinds.imports, seen, name=request.name, namespace=request.namespace)

    def _is_ours(self, request: Request, seen: ServiceImport) -> bool:
        """By our marker; a user who takes that off does not take the import from what belongs to it."""
        if seen.metadata.labels.get(MARKER_LABEL) == MANAGED_BY:
            return True
        belonging = (*self._derived(request), *self._imported_slices(request))
        return any(owner.uid == seen.metadata.uid for item in belonging for owner in item.metadata.owner_references)

    def _tell_foreign(self, request: Request, seen: ServiceImport) -> None:
        if self._told.get(request) != seen.metadata.uid:
            self._told[request] = seen.metadata.uid
            log.warning(
                "ServiceImport is not ours, left alone; delete it to have the service imported",
                extra={"import": key_of(request)},
            )

    def _service(self, name: str, namespace: str) -> Service | None:
        seen = self._member.services.store.get(name, namespace)
        return self._writer.current(SERVICES, seen, name=name, namespace=namespace)

    def _derived(self, request: Request, name: str = "") -> list[Service]:
        """The Services derived for this import: one, unless its name was taken once."""
        found = {each.metadata.name: each for each in self._member.services.store.by(IMPORT, key_of(request))}
        if name and (service := self._service(name, request.namespace)) and is_ours(service, request.name):
            found[name] = service
        return list(found.values())

    def _imported_slices(self, request: Request) -> list[EndpointSlice]:
        slices = self._member.slices.store.by(IMPORT, key_of(request))
        return [each for each in slices if not stray([each], request.name)]

    def _own_constituent(self, request: Request) -> tuple[Constituent, ...]:
        export = self._member.exports.store.get(request.name, request.namespace)
        service = self._member.services.store.get(request.name, request.namespace)
        if export is None or withdrawn(export) or service is None or problem(service) is not None:
            return ()
        spec = publish(export, service, (), cluster=self._member.cluster).service.spec
        return (Constituent(spec.cluster, spec.created, spec),) if spec is not None else ()
