"""The only writer of wanted state: what should be true goes in, the difference goes out.

Server-side apply removes a field that we once applied and now leave out. To know that without reading
managedFields, which would double what every cached object weighs:

- An object that equals what is wanted, in all fields its wire type knows, is left alone.
- An object that holds more is applied once. Either the surplus was ours, and goes, or it is somebody
  else's (a default, a user's label), and stays. From there on we know which fields we set: only a difference
  in them, or dropping one of them, makes a write.

So a process that starts applies at most once, without effect, what others have added to; it never misses
a field to remove, and it sends nothing when nothing differs.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import Conflict, NotFound
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer
from isthmus.kube.request import DeleteOptions, WriteOptions
from isthmus.runtime.difference import Applied, body, covers, digest, fields, is_same, plain
from isthmus.runtime.recent import Key, Recent, key_of, meta
from isthmus.runtime.together import together

log = logging.getLogger(__name__)

T = TypeVar("T")

# Forgetting is safe (see above), so a bound is enough where thousands of keys come and go.
_REMEMBERED = 100_000
_SHAPES = 1000


@dataclass(slots=True)
class Outcome(Generic[T]):
    """The wanted objects as they are now, by (namespace, name), and how many writes that took."""

    objects: dict[tuple[str, str], T] = field(default_factory=dict)
    applied: int = 0
    deleted: int = 0


class Converger:
    """Writes to one cluster as one field manager; `force` takes fields from others: for what is ours alone."""

    def __init__(self, client: Client, *, manager: str, force: bool, clock: Clock = SYSTEM) -> None:
        self._client = client
        self._options = WriteOptions(manager=manager, force=force)
        self._recent = Recent(clock)
        self._applied: dict[tuple[Key, str], Applied] = {}
        self._shapes: dict[frozenset[str], frozenset[str]] = {}

    def follow(self, resource: Resource[T], informer: Informer[T]) -> None:
        """Decide on what `informer` says, and on our own writes that it has not yet heard of."""
        self._recent.follow(resource, informer.store)
        informer.when_listed(lambda: self._recent.forget(resource))

    def current(self, resource: Resource[T], seen: T | None, *, name: str, namespace: str = "") -> T | None:
        """What `seen` would be if the store had heard of our writes."""
        key: Key = (resource, namespace, name)  # type: ignore[assignment]  # Resource is read only
        return self._recent.current(key, seen)

    async def converge(self, resource: Resource[T], wanted: Iterable[T | Manifest], seen: Iterable[T]) -> Outcome[T]:
        """Apply what differs, delete what is `seen` but not `wanted`; send nothing when nothing differs.

        All writes run side by side and to their end; then the first error is raised.
        """
        outcome: Outcome[T] = Outcome()
        before = {key_of(resource, item): item for item in seen}
        after = {key_of(resource, item): item for item in wanted}
        jobs = [self._apply(item, before.get(key), key, outcome) for key, item in after.items()]
        jobs += [self._delete(item, key, outcome) for key, item in before.items() if key not in after]
        if jobs:
            await together(*jobs)
        return outcome

    async def converge_status(self, resource: Resource[T], wanted: T | Manifest, seen: T | None) -> bool:
        """Apply `wanted`'s status; true if that was needed. An object that is gone needs none."""
        key = key_of(resource, wanted)
        seen = self._recent.current(key, seen)
        if seen is None:
            return False
        try:
            answer = await self._write(key, wanted, seen, subresource="status")
        except NotFound:
            return False
        return answer is not seen

    async def _apply(self, wanted: T | Manifest, seen: T | None, key: Key, outcome: Outcome[T]) -> None:
        now = self._recent.current(key, seen)
        answer: T = await self._write(key, wanted, now, subresource="")
        outcome.objects[key[1], key[2]] = answer
        outcome.applied += answer is not now

    async def _write(self, key: Key, wanted: T | Manifest, seen: T | None, *, subresource: str) -> T:
        resource: Resource[T] = key[0]  # type: ignore[assignment]  # the key was made from it
        if seen is not None and is_same(resource, wanted, seen, subresource=subresource):
            return seen
        manifest = body(resource, wanted, subresource=subresource)
        planned = Applied(digest(manifest), self._shared(fields(manifest)), version="")
        known = self._applied.get((key, subresource))
        if seen is not None and known is not None and not _differs(manifest, seen, planned, known):
            return seen
        answer = await self._client.apply(
            resource, manifest, namespace=key[1], subresource=subresource, options=self._options
        )
        self._recent.wrote(key, answer)
        if len(self._applied) > _REMEMBERED:
            self._applied.clear()
        self._applied[key, subresource] = replace(planned, version=meta(answer, "resourceVersion"))
        return answer

    def _shared(self, paths: frozenset[str]) -> frozenset[str]:
        # Objects of one kind mostly set the same fields: one set serves thousands of them.
        if len(self._shapes) > _SHAPES:
            self._shapes.clear()
        return self._shapes.setdefault(paths, paths)

    async def _delete(self, seen: T, key: Key, outcome: Outcome[T]) -> None:
        if self._recent.current(key, seen) is None:
            return
        uid = meta(seen, "uid")
        try:
            await self._client.delete(key[0], key[2], namespace=key[1], options=DeleteOptions(uid=uid))
        except NotFound:
            pass
        except Conflict:
            # Another object took the name; its own event brings us back here.
            log.debug("deletion overtaken", extra={"object": f"{key[1]}/{key[2]}", "kind": key[0].kind})
            return
        self._recent.deleted(key, uid)
        self._applied.pop((key, ""), None)
        self._applied.pop((key, "status"), None)
        outcome.deleted += 1


def _differs(manifest: Manifest, seen: object, planned: Applied, known: Applied) -> bool:
    """Whether an object that is not the same as wanted lacks something, though we have applied it before."""
    if known.fields - planned.fields:
        return True
    # The server's own answer to this very content: whatever it made of it, asking again is of no use.
    if known.digest == planned.digest and known.version == meta(seen, "resourceVersion"):
        return False
    return not covers(plain(seen), manifest)
