"""What is asked of an API server: options, and the requests made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from isthmus.api.scheme import Manifest, Resource

T = TypeVar("T")

Query = tuple[tuple[str, str], ...]

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Which objects, and of what age; `limit` is the size of a page, 0 for all in one answer.

    `match` is "", "Exact" or "NotOlderThan" and speaks of `resource_version`.
    For one namespace name it, not `metadata.namespace` in `fields`: then API servers (1.36) lose all but one page.
    """

    labels: str = ""
    fields: str = ""
    limit: int = 500
    resource_version: str = ""
    match: str = ""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Which objects, from which resourceVersion on; from none: all that is there as ADDED, then changes."""

    labels: str = ""
    fields: str = ""
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """In whose name a write is made; `force` takes fields from other managers (server-side apply only)."""

    manager: str = "isthmus"
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What must still be true of the object, and what becomes of those it owns.

    `propagation` is "", "Background", "Foreground" or "Orphan"; `grace` is in seconds.
    """

    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    grace: int | None = None
    dry_run: bool = False

    @property
    def guarded(self) -> bool:
        """Whether a second copy of the request could not delete a successor of the object."""
        return bool(self.uid or self.resource_version)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `repeatable` where a second copy does no harm, should the first have arrived."""

    method: str
    path: str
    query: Query = ()
    body: bytes = b""
    content_type: str = JSON
    repeatable: bool = False


def reading(path: str, query: Query = ()) -> Request:
    """A GET."""
    return Request("GET", path, query, repeatable=True)


def listing(resource: Resource[T], namespace: str, options: ListOptions, continue_: str = "") -> Request:
    """One page of a list. A continue token stands for the version, which may not be named again."""
    query = _given(
        labelSelector=options.labels,
        fieldSelector=options.fields,
        limit=str(options.limit or ""),
        **{"continue": continue_},
        resourceVersion="" if continue_ else options.resource_version,
        resourceVersionMatch="" if continue_ else options.match,
    )
    return reading(resource.path(namespace=namespace), query)


def watching(resource: Resource[T], namespace: str, options: WatchOptions) -> Request:
    """A watch, with bookmarks."""
    query = _given(
        watch="true",
        allowWatchBookmarks="true",
        labelSelector=options.labels,
        fieldSelector=options.fields,
        resourceVersion=options.resource_version,
    )
    return reading(resource.path(namespace=namespace), query)


def creating(path: str, manifest: Manifest, options: WriteOptions) -> Request:
    """A POST of a new object."""
    return Request("POST", path, _written_as(options), msgspec.json.encode(manifest))


def updating(path: str, manifest: Manifest, options: WriteOptions) -> Request:
    """A PUT of the whole object."""
    return Request("PUT", path, _written_as(options), msgspec.json.encode(manifest))


def applying(path: str, manifest: Manifest, options: WriteOptions) -> Request:
    """A server-side apply: a second copy changes nothing. JSON is YAML, and is read faster."""
    query = (*_written_as(options), ("force", "true" if options.force else "false"))
    return Request("PATCH", path, query, msgspec.json.encode(manifest), APPLY, repeatable=True)


def patching(path: str, patch: Manifest | Sequence[Manifest], options: WriteOptions) -> Request:
    """A merge patch (an object, RFC 7386) or a JSON patch (a list of operations, RFC 6902)."""
    kind = MERGE_PATCH if isinstance(patch, dict) else JSON_PATCH
    return Request("PATCH", path, _written_as(options), msgspec.json.encode(patch), kind)


def deleting(path: str, options: DeleteOptions) -> Request:
    """A DELETE; safe to repeat only when it names which object it means."""
    body: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions"}
    preconditions = dict(_given(uid=options.uid, resourceVersion=options.resource_version))
    if preconditions:
        body["preconditions"] = preconditions
    if options.propagation:
        body["propagationPolicy"] = options.propagation
    if options.grace is not None:
        body["gracePeriodSeconds"] = options.grace
    if options.dry_run:
        body["dryRun"] = ["All"]
    return Request("DELETE", path, (), msgspec.json.encode(body), repeatable=options.guarded)


def _written_as(options: WriteOptions) -> Query:
    return _given(fieldManager=options.manager, dryRun="All" if options.dry_run else "")


def _given(**parameters: str) -> Query:
    return tuple((name, value) for name, value in parameters.items() if value)
