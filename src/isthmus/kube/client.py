"""All that can be asked of one API server, in Kubernetes' own verbs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import msgspec

from isthmus import errors
from isthmus.api.meta import ListMeta
from isthmus.api.scheme import Manifest, Resource
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube import request as requests
from isthmus.kube.codec import MALFORMED, Codec, Key, Undecodable
from isthmus.kube.config import Config
from isthmus.kube.request import JSON, DeleteOptions, ListOptions, Query, Request, WatchOptions, WriteOptions
from isthmus.kube.transport import Channels, Transport
from isthmus.kube.watch import Batch, Bookmark, Event, UndecodableEvent, Watch, WatchEvent

__all__ = [
    "Bookmark",
    "Client",
    "DeleteOptions",
    "Event",
    "ListOptions",
    "Listed",
    "UndecodableEvent",
    "WatchEvent",
    "WatchOptions",
    "WriteOptions",
]

T = TypeVar("T")
K = TypeVar("K")

EVERYTHING: Final = ListOptions()
WATCH: Final = WatchOptions()
WRITE: Final = WriteOptions()
DELETE: Final = DeleteOptions()

# Pages of one list; more is a server that goes round in circles.
MAX_PAGES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A complete list, and what of it could not be read: which, and why."""

    items: tuple[T, ...]
    resource_version: str
    undecodable: dict[Key, str] = field(default_factory=dict)


class _Page(msgspec.Struct):
    metadata: ListMeta


class _Version(msgspec.Struct, rename="camel"):
    git_version: str


class _Kind(msgspec.Struct):
    name: str
    kind: str


class _Kinds(msgspec.Struct):
    resources: list[_Kind] | None = None


class Client:
    """One API server. Safe for concurrent use; to be used as an async context manager, or closed.

    Every method raises the tree of `errors`: Unreachable when there is no answer, else the APIError that the
    answer means. Reads, applies and guarded deletes are tried again in place for up to 30 s; other writes
    only when the server cannot have begun them.
    """

    def __init__(self, config: Config, *, clock: Clock = SYSTEM, user_agent: str = "isthmus") -> None:
        self.server = config.server
        self.proxy = config.proxy
        self.context = config.context
        self._transport = Transport(config, clock=clock, user_agent=user_agent)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def get(self, resource: Resource[T], name: str, *, namespace: str = "", subresource: str = "") -> T:
        """The object as it is now."""
        path = resource.path(name, namespace=namespace, subresource=subresource)
        return await self._object(resource, requests.reading(path))

    async def list(self, resource: Resource[T], *, namespace: str = "", options: ListOptions = EVERYTHING) -> Listed[T]:
        """All objects of the selection, page by page; raises Gone when `options` names a version too old."""
        return await self.gather(resource, lambda item: item, namespace=namespace, options=options)

    async def gather(
        self, resource: Resource[T], keep: Callable[[T], K], *, namespace: str = "", options: ListOptions = EVERYTHING
    ) -> Listed[K]:
        """As `list`, but with only what `keep` makes of each object: the objects are never there all at once."""
        try:
            return await self._pages(resource, keep, namespace, options)
        except errors.Gone:
            if options.resource_version:
                raise
            # The pages outlived the server's memory of the moment they began at: all in one, then.
            return await self._pages(resource, keep, namespace, replace(options, limit=0))

    async def create(
        self,
        resource: Resource[T],
        manifest: Manifest,
        *,
        namespace: str = "",
        options: WriteOptions = WRITE,
    ) -> T:
        """A new object; raises Conflict when the name is taken."""
        path = resource.path(namespace=namespace or _namespace(manifest))
        return await self._object(resource, requests.creating(path, manifest, options))

    async def update(
        self,
        resource: Resource[T],
        manifest: Manifest,
        *,
        namespace: str = "",
        subresource: str = "",
        options: WriteOptions = WRITE,
    ) -> T:
        """Replace the whole object; raises Conflict when it is not at the manifest's resourceVersion."""
        path = _path(resource, manifest, namespace, subresource)
        return await self._object(resource, requests.updating(path, manifest, options))

    async def apply(
        self,
        resource: Resource[T],
        manifest: Manifest,
        *,
        namespace: str = "",
        subresource: str = "",
        options: WriteOptions = WRITE,
    ) -> T:
        """Server-side apply; raises Conflict when another manager owns a field and `force` is not set."""
        path = _path(resource, manifest, namespace, subresource)
        full = {"apiVersion": resource.api_version, "kind": resource.kind, **manifest}
        return await self._object(resource, requests.applying(path, full, options))

    async def merge_patch(
        self,
        resource: Resource[T],
        name: str,
        patch: Manifest,
        *,
        namespace: str = "",
        subresource: str = "",
        options: WriteOptions = WRITE,
    ) -> T:
        """Change some fields (RFC 7386); only of the `metadata.resourceVersion` in the patch, if it has one."""
        path = resource.path(name, namespace=namespace, subresource=subresource)
        return await self._object(resource, requests.patching(path, patch, options))

    async def json_patch(
        self,
        resource: Resource[T],
        name: str,
        operations: Sequence[Manifest],
        *,
        namespace: str = "",
        subresource: str = "",
    ) -> T:
        """Change fields by operations (RFC 6902)."""
        path = resource.path(name, namespace=namespace, subresource=subresource)
        return await self._object(resource, requests.patching(path, operations, WRITE))

    async def delete(
        self,
        resource: Resource[T],
        name: str,
        *,
        namespace: str = "",
        options: DeleteOptions = DELETE,
    ) -> None:
        """Delete one object; raises NotFound, or Conflict when a precondition of `options` does not hold."""
        path = resource.path(name, namespace=namespace)
        await self._transport.send(requests.deleting(path, options))

    async def delete_collection(
        self, resource: Resource[T], *, namespace: str = "", options: ListOptions = EVERYTHING
    ) -> None:
        """Delete all objects of the selection."""
        query = requests.listing(resource, namespace, ListOptions(options.labels, options.fields, 0)).query
        await self._transport.send(Request("DELETE", resource.path(namespace=namespace), query))

    def watch(
        self, resource: Resource[T], *, namespace: str = "", options: WatchOptions = WATCH
    ) -> AsyncGenerator[Event[T], None]:
        """What happens to the objects of the selection, until the server ends the watch.

        Raises Gone for a version too old, Unreachable when the connection breaks off or stalls. A watch that
        is left early should be closed (`contextlib.aclosing`).
        """
        return self._events(self.batches(resource, namespace=namespace, options=options))

    def batches(
        self, resource: Resource[T], *, namespace: str = "", options: WatchOptions = WATCH
    ) -> AsyncGenerator[Batch[T], None]:
        """As `watch`, with the events that arrived together; an empty batch is a sign of life."""
        return Watch(self._transport, resource, namespace, options).batches()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: bytes = b"",
        content_type: str = JSON,
    ) -> bytes:
        """The answer's bytes to any request; `path` is quoted already. Only a GET is repeated."""
        request = Request(method, path, tuple(query.items()), body, content_type, repeatable=method == "GET")
        return await self._transport.send(request)

    def stream(self, path: str, query: Query) -> AsyncGenerator[bytes, None]:
        """The answer to a GET in pieces, as they come; a log that is followed may be silent for days."""
        return self._transport.stream(Request("GET", path, query), may_pause=True)

    @asynccontextmanager
    async def channels(self, path: str, query: Query, protocol: str) -> AsyncIterator[Channels]:
        """Streams over one connection, as `exec` has them; raises Unreachable, and Refused where there are none."""
        async with self._transport.channels(Request("GET", path, query), protocol) as opened:
            yield opened

    @property
    def ahead(self) -> float | None:
        """Seconds by which our clock is ahead of the server's, give or take one and a half; None if not known."""
        return self._transport.dates.ahead

    async def version(self) -> str:
        """The server's version as it writes it: `v1.36.3`."""
        return _read(await self.raw("GET", "/version"), _Version, self.server).git_version

    async def serves(self, resource: Resource[T]) -> bool:
        """Whether this group, version and kind is there, by discovery."""
        prefix = "/apis/" if resource.group else "/api/"
        try:
            found = _read(await self.raw("GET", prefix + resource.api_version), _Kinds, self.server)
        except errors.NotFound:
            return False
        return any(kind.name == resource.plural for kind in found.resources or ())

    async def reaches(
        self, resource: Resource[T], version: str, *, namespace: str = "", options: ListOptions = EVERYTHING
    ) -> bool:
        """Whether the server has come as far as this resourceVersion; not so once it was set back.

        A watch does not tell: it waits until the version comes.
        """
        asked = replace(options, limit=1, resource_version=version, match="NotOlderThan")
        try:
            await self._transport.send(requests.listing(resource, namespace, asked))
        except errors.Gone:
            return False
        return True

    async def _object(self, resource: Resource[T], request: Request) -> T:
        body = await self._transport.send(request)
        try:
            return Codec(resource).decode(body)
        except MALFORMED as problem:
            raise _nonsense(self.server, body, f"no {resource.kind}: {problem}") from problem

    async def _pages(
        self, resource: Resource[T], keep: Callable[[T], K], namespace: str, options: ListOptions
    ) -> Listed[K]:
        codec = Codec(resource)
        items: list[K] = []
        undecodable: dict[Key, str] = {}

        def fetched(continue_: str) -> Awaitable[bytes]:
            return self._transport.send(requests.listing(resource, namespace, options, continue_))

        async def take_in(body: bytes) -> None:
            try:
                found = codec.attempt_all(body)
            except MALFORMED as problem:
                raise _nonsense(self.server, body, str(problem)) from problem
            for each in found:
                if isinstance(each, Undecodable):
                    undecodable[each.key] = each.reason
                else:
                    items.append(keep(each))

        body = await fetched("")
        for _ in range(MAX_PAGES):
            page = _read(body, _Page, self.server)
            if not page.metadata.continue_:
                await take_in(body)
                return Listed(tuple(items), page.metadata.resource_version, undecodable)
            # While the server makes the next page, this one is decoded.
            body, _ = await asyncio.gather(fetched(page.metadata.continue_), take_in(body))
        raise _nonsense(self.server, b"", "a list without end")

    async def _events(self, batches: AsyncGenerator[Batch[T], None]) -> AsyncGenerator[Event[T], None]:
        async with aclosing(batches):
            async for batch in batches:
                for event in batch:
                    yield event


def _read(body: bytes, kind: type[T], server: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except MALFORMED as problem:
        raise _nonsense(server, body, str(problem)) from problem


def _nonsense(server: str, body: bytes, what: str) -> errors.ServerFault:
    start = body[:100].decode(errors="replace")
    return errors.ServerFault(
        code=200, reason="NotKubernetes", message=f"{server} answered with {what}; it begins {start!r}"
    )


def _path(resource: Resource[T], manifest: Manifest, namespace: str, subresource: str) -> str:
    name = manifest.get("metadata", {}).get("name", "")
    if not name:
        raise errors.Invalid(f"a {resource.kind} without metadata.name cannot be written; set it")
    return resource.path(name, namespace=namespace or _namespace(manifest), subresource=subresource)


def _namespace(manifest: Manifest) -> str:
    return str(manifest.get("metadata", {}).get("namespace", ""))
