"""From what changed to what must be looked at."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from isthmus.kube.informer import Change, Informer
from isthmus.runtime.reconcile import Request

T = TypeVar("T")


class Following(Protocol):
    """An informer of whatever kind, to those who do not read it."""

    @property
    def synced(self) -> bool:
        """Whether its store holds a complete list."""

    async def wait_synced(self) -> None:
        """Return once it does."""

    async def run(self) -> None:
        """Keep the store true until cancelled."""


@dataclass(frozen=True)
class Source(Generic[T]):
    """An informer, and the requests that a change in it asks for.

    A controller waits for its sources' first lists before it starts, unless they are not `required`.
    """

    informer: Informer[T]
    requests: Callable[[Change[T]], Iterable[Request]]
    required: bool = True

    def feed(self, add: Callable[[Request], None]) -> None:
        """Call `add` for everything that is there, and again whenever it changes."""

        def heard(change: Change[T]) -> None:
            for request in self.requests(change):
                add(request)

        self.informer.subscribe(heard)
        for item in self.informer.store.all():
            heard(Change(before=None, after=item))


def each(requests: Callable[[T], Iterable[Request]]) -> Callable[[Change[T]], Iterator[Request]]:
    """The requests of an object as it was and as it is: one that moves from a key to another touches both."""

    def touched(change: Change[T]) -> Iterator[Request]:
        for version in (change.before, change.after):
            if version is not None:
                yield from requests(version)

    return touched
