"""What an exporter's own cluster says of each export: Valid, Ready, and Conflict from the unfiltered merge."""

from collections.abc import Mapping

import msgspec

from isthmus.api.isthmus import EXPORTED_SERVICES, ExportedService
from isthmus.api.mcs import ServiceExport, ServiceExportStatus
from isthmus.kit.clock import Clock
from isthmus.mcs.controllers.absences import Absences
from isthmus.mcs.controllers.telling import Teller
from isthmus.mcs.controllers.views import SERVICE, Views, Writers, key_of
from isthmus.mcs.rules.conditions import ExportState, export_conditions
from isthmus.mcs.rules.constituent import constituents, refusal
from isthmus.mcs.rules.exporting import problem, publish, withdrawn
from isthmus.mcs.rules.merge import merge
from isthmus.mcs.rules.names import export_name
from isthmus.runtime.reconcile import Done, Request


class Conditions:
    """Writes the status of this cluster's ServiceExports: theirs is the spec, ours the status.

    The hub's answer to our own writes is taken as its echo, so that one export costs one write of its status.
    """

    def __init__(
        self,
        views: Views,
        writers: Writers,
        absences: Absences,
        *,
        refused: Mapping[Request, str],
        teller: Teller,
        clock: Clock,
    ) -> None:
        self._member = views.member
        self._hub = views.hub
        self._writers = writers
        self._absences = absences
        self._refused = refused
        self._teller = teller
        self._clock = clock

    async def reconcile(self, request: Request) -> Done:
        """Say of one export how it is doing."""
        export = self._member.exports.store.get(request.name, request.namespace)
        if export is None:
            return Done()
        kind = self._member.kinds.exports
        export = self._writers.member.current(kind, export, name=request.name, namespace=request.namespace)
        if export is None:
            return Done()
        if not self._hub.synced and export.status is not None:
            # What was said last came from the hub; before it was read, nothing better is known.
            return Done()
        conditions = export_conditions(
            self._state(request, export), export=export, cluster=self._member.cluster, now=self._clock.now()
        )
        wanted = msgspec.structs.replace(export, status=ServiceExportStatus(conditions=conditions))
        if await self._writers.member.converge_status(kind, wanted, export):
            before = export.status.conditions if export.status is not None else ()
            await self._teller.tell(kind, export, before, conditions)
        return Done()

    def _state(self, request: Request, export: ServiceExport) -> ExportState:
        service = self._member.services.store.get(request.name, request.namespace)
        invalid = problem(service)
        silence = self._hub.silence()
        if service is None or invalid is not None or withdrawn(export):
            return ExportState(problem=invalid, withdrawn=withdrawn(export), hub_silence=silence)
        own, exports = self._echo(request)
        grants = self._hub.grants.store.all()
        admitted = constituents(exports, self._absences.roster.known, grants)
        slices = self._member.slices.store.by(SERVICE, key_of(request))
        published = publish(export, service, slices, cluster=self._member.cluster)
        return ExportState(
            # Another UID is the publication of an export that was deleted and made again.
            echoed=own is not None and own.spec is not None and own.spec.uid == export.metadata.uid,
            refused=refusal(self._member.cluster, request.namespace, request.name, grants) or self._hub_said(request),
            hub_silence=silence,
            left_out=published.left_out,
            merged=merge(admitted.constituents, rules=self._absences.rules),
        )

    def _hub_said(self, request: Request) -> str:
        said = self._refused.get(request, "")
        return f"the hub refuses it, ask an admin there: {said}" if said else ""

    def _echo(self, request: Request) -> tuple[ExportedService | None, list[ExportedService]]:
        name = export_name(self._member.cluster, request.namespace, request.name)
        seen = self._hub.exports.store.get(name, self._hub.namespace)
        own = self._writers.hub.current(EXPORTED_SERVICES, seen, name=name, namespace=self._hub.namespace)
        others = self._hub.exports_of(key_of(request))
        rest = [export for export in others if export.metadata.name != name]
        return own, rest if own is None else [own, *rest]
