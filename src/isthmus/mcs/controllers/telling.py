"""Tells people by Events what conditions say too: each trouble once, and its end."""

from collections.abc import Iterable

from isthmus.api.core import ObjectReference
from isthmus.api.mcs import ServiceExport, ServiceImport
from isthmus.api.meta import Condition
from isthmus.api.scheme import Resource
from isthmus.kube.events import Recorder
from isthmus.mcs.rules.conditions import events


class Teller:
    """Emits what `conditions.events` finds worth telling."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def tell(
        self,
        kind: Resource[ServiceExport] | Resource[ServiceImport],
        item: ServiceExport | ServiceImport,
        before: Iterable[Condition],
        now: Iterable[Condition],
    ) -> None:
        """Tell what differs between the conditions `before` and `now` of one object."""
        about = ObjectReference(
            api_version=kind.api_version,
            kind=kind.kind,
            namespace=item.metadata.namespace,
            name=item.metadata.name,
            uid=item.metadata.uid,
        )
        for told in events(before, now):
            await self._recorder.emit(about, type=told.type, reason=told.reason, message=told.message)
