"""What a cluster takes back when it is a member no longer: all that it exported, and all that it imported."""

import logging

import msgspec

from isthmus.api.core import ENDPOINT_SLICES, SERVICES
from isthmus.api.isthmus import EXPORTED_ENDPOINTS, EXPORTED_SERVICES, MANAGED_BY, MARKER_LABEL
from isthmus.api.mcs import ServiceExportStatus
from isthmus.errors import IsthmusError
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import Clock
from isthmus.mcs.controllers.views import CLUSTER, Views, Writers
from isthmus.mcs.rules.conditions import ExportState, export_conditions
from isthmus.mcs.rules.slices import is_ours_slice
from isthmus.runtime.together import together

log = logging.getLogger(__name__)

NO_MEMBER = "this cluster is no member of a cluster set any more: let it join one, or delete this ServiceExport"


async def withdraw(views: Views, writers: Writers, *, clock: Clock) -> None:
    """Take it all back, and say so on each export; tried until the cluster has let all of it be done.

    The hub may not let us: then its controller clears up, and meanwhile nobody heeds a member that is none.
    """
    try:
        await _withdraw_exports(views, writers)
    except IsthmusError as error:
        log.warning("exports not taken back, the hub will", extra={"error": str(error)})
    backoff = Backoff()
    while True:
        try:
            await _withdraw_imports(views, writers)
            await _tell_exports(views, writers, clock)
        except IsthmusError as error:
            log.warning("not everything taken back, will be tried again", extra={"error": str(error)})
            await clock.sleep(backoff.next())
        else:
            return


async def _withdraw_exports(views: Views, writers: Writers) -> None:
    hub = views.hub
    services = [item for item in hub.exports.store.by(CLUSTER, hub.cluster) if hub.is_own(item)]
    chunks = [item for item in hub.chunks.store.by(CLUSTER, hub.cluster) if hub.is_own(item)]
    await writers.hub.converge(EXPORTED_SERVICES, [], services)
    await writers.hub.converge(EXPORTED_ENDPOINTS, [], chunks)


async def _withdraw_imports(views: Views, writers: Writers) -> None:
    member = views.member
    slices = [item for item in member.slices.store.all() if is_ours_slice(item)]
    services = [item for item in member.services.store.all() if item.metadata.labels.get(MARKER_LABEL) == MANAGED_BY]
    imports = [item for item in member.imports.store.all() if item.metadata.labels.get(MARKER_LABEL) == MANAGED_BY]
    await together(
        writers.member.converge(ENDPOINT_SLICES, [], slices),
        writers.member.converge(member.kinds.imports, [], imports),
    )
    # Services last: their addresses are somebody else's once they are gone (design, part 3, rule 9).
    await writers.member.converge(SERVICES, [], services)


async def _tell_exports(views: Views, writers: Writers, clock: Clock) -> None:
    for export in views.member.exports.store.all():
        state = ExportState(refused=NO_MEMBER)
        said = export_conditions(state, export=export, cluster=views.member.cluster, now=clock.now())
        conditions = tuple(condition for condition in said if condition.type == "Ready")
        wanted = msgspec.structs.replace(export, status=ServiceExportStatus(conditions=conditions))
        await writers.member.converge_status(views.member.kinds.exports, wanted, export)
