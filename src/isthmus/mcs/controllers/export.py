"""What this cluster exports goes up to the hub, and comes down from it when it is exported no longer."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec

from isthmus.api.core import SERVICE_NAME_LABEL, EndpointSlice
from isthmus.api.isthmus import EXPORTED_ENDPOINTS, EXPORTED_SERVICES, ExportedEndpoints, ExportedService
from isthmus.api.meta import Object
from isthmus.errors import Refused
from isthmus.mcs.controllers.views import SERVICE, Views, key_of
from isthmus.mcs.rules.exporting import Publication, problem, publish, withdrawn
from isthmus.runtime.controller import Controller
from isthmus.runtime.converge import Converger
from isthmus.runtime.reconcile import Done, Request
from isthmus.runtime.source import Source, each

PublishedT = TypeVar("PublishedT", ExportedService, ExportedEndpoints)


class Exporter:
    """Publishes each valid ServiceExport as one ExportedService.

    `told` is the key's next stop where no echo from the hub will bring it there: the export's conditions. `refused`
    is what the hub said to exports that it would not have.
    """

    def __init__(self, views: Views, writer: Converger, told: Callable[[Request], None]) -> None:
        self._member = views.member
        self._hub = views.hub
        self._writer = writer
        self._told = told
        self.refused: dict[Request, str] = {}
        self._when_refused: list[Callable[[], None]] = []

    def when_refused(self, handler: Callable[[], None]) -> None:
        """Have `handler` called whenever `refused` has changed."""
        self._when_refused.append(handler)

    def watch(self, controller: Controller) -> None:
        """What may change what is published: the export, its Service, that one's slices, and the echo."""
        controller.watch(Source(self._member.exports, each(self._named)))
        controller.watch(Source(self._member.services, each(self._named_if_exported)))
        controller.watch(Source(self._member.slices, each(self._backed_if_exported)))
        controller.watch(Source(self._hub.exports, each(self._published), required=False))
        controller.watch(Source(self._hub.chunks, each(self._published), required=False))

    async def reconcile(self, request: Request) -> Done:
        """Make the hub hold what this cluster exports under one name."""
        has_echo = False
        try:
            # Before the hub was read, writing could only repeat what may already be there.
            if self._hub.exports.synced and self._hub.chunks.synced:
                has_echo = await self._converge(request)
                self._hub.look_at(request.namespace)
            self._note(request, "")
        except Refused as error:
            self._note(request, error.message)
            raise
        finally:
            if not has_echo:
                self._told(request)
        return Done()

    def _note(self, request: Request, said: str) -> None:
        if self.refused.get(request, "") == said:
            return
        self.refused[request] = said
        if not said:
            del self.refused[request]
        for handler in self._when_refused:
            handler()
        # An echo that brings nothing but endpoints, or none at all, touches no condition: a refusal would stand.
        self._told(request)

    async def _converge(self, request: Request) -> bool:
        """Whether what there is to say of the export will come with the hub's echo."""
        key = key_of(request)
        chunks = self._chunks(key)
        wanted = self._publication(request, chunks)
        if wanted is None:
            await self._writer.converge(EXPORTED_SERVICES, [], self._hub.own_exports_of(key))
            await self._writer.converge(EXPORTED_ENDPOINTS, [], chunks)
            return False
        # Chunks first, and what is no longer wanted last: a reader finds every chunk that is announced.
        names = {chunk.metadata.name for chunk in wanted.chunks}
        announced = [self._placed(chunk) for chunk in wanted.chunks]
        kept = [chunk for chunk in chunks if chunk.metadata.name in names]
        await self._writer.converge(EXPORTED_ENDPOINTS, announced, kept)
        await self._writer.converge(EXPORTED_SERVICES, [self._placed(wanted.service)], self._hub.own_exports_of(key))
        surplus = [chunk for chunk in chunks if chunk.metadata.name not in names]
        await self._writer.converge(EXPORTED_ENDPOINTS, [], surplus)
        return not wanted.left_out

    def _chunks(self, key: str) -> list[ExportedEndpoints]:
        # As we last wrote them: to an older echo, what is on the hub already would be a change, and cost two writes.
        namespace = self._hub.namespace
        found = (
            self._writer.current(EXPORTED_ENDPOINTS, seen, name=seen.metadata.name, namespace=namespace)
            for seen in self._hub.own_chunks_of(key)
        )
        return [chunk for chunk in found if chunk is not None]

    def _publication(self, request: Request, chunks: Iterable[ExportedEndpoints]) -> Publication | None:
        export = self._member.exports.store.get(request.name, request.namespace)
        service = self._member.services.store.get(request.name, request.namespace)
        if export is None or withdrawn(export) or service is None or problem(service) is not None:
            return None
        slices = self._member.slices.store.by(SERVICE, key_of(request))
        return publish(export, service, slices, cluster=self._member.cluster, seen=chunks)

    def _placed(self, item: PublishedT) -> PublishedT:
        metadata = msgspec.structs.replace(item.metadata, namespace=self._hub.namespace)
        return msgspec.structs.replace(item, metadata=metadata)

    def _named(self, item: Object) -> Iterator[Request]:
        yield self._member.request(item.metadata.namespace, item.metadata.name)

    def _named_if_exported(self, item: Object) -> Iterator[Request]:
        yield from self._if_exported(item.metadata.namespace, item.metadata.name)

    def _backed_if_exported(self, item: EndpointSlice) -> Iterator[Request]:
        if name := item.metadata.labels.get(SERVICE_NAME_LABEL):
            yield from self._if_exported(item.metadata.namespace, name)

    def _if_exported(self, namespace: str, name: str) -> Iterator[Request]:
        if self._member.exports.store.get(name, namespace) is not None:
            yield self._member.request(namespace, name)

    def _published(self, item: ExportedService | ExportedEndpoints) -> Iterator[Request]:
        if item.spec is not None and self._hub.is_own(item):
            yield self._member.request(item.spec.namespace, item.spec.name)
