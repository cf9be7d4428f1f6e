"""A steady load: endpoints that roll, exports that come and go."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from isthmus.api.core import ENDPOINT_SLICES, SERVICES
from isthmus.api.mcs import SERVICE_EXPORTS
from isthmus.api.scheme import Manifest, Resource
from isthmus.errors import IsthmusError, NotFound
from isthmus.kube.client import Client, WriteOptions
from isthmus.testing import objects
from tests.faults.ledger import Ledger, address

T = TypeVar("T")

NAMESPACE = "prod"
BY_HAND = WriteOptions(manager="test", force=True)
BOTH = tuple(f"both-{number}" for number in range(3))
OWN = 3
COMING = 6
# Seconds.
PAUSE = 0.25
TRY = 4.0


@dataclass
class Load:
    """Changes services of one member, one change at a time, until cancelled; the ledger says what is so."""

    member: str
    number: int
    client: Client
    ledger: Ledger
    chance: random.Random
    done: int = 0
    _changes: dict[str, int] = field(default_factory=dict)
    _services: list[str] = field(default_factory=list)
    _came: int = 0

    async def begin(self) -> None:
        """Export what stays all the time."""
        for service in (*BOTH, *(f"{self.member}-{number}" for number in range(OWN))):
            await self._export(service)

    async def run(self) -> None:
        """Change something now and then: mostly endpoints, sometimes exports."""
        while True:
            draw = self.chance.random()
            if draw < 0.8:
                await self._roll(self.chance.choice(self._mine))
            elif draw < 0.9 and self._coming:
                await self.withdraw()
            elif len(self._coming) < COMING:
                await self.offer()
            await asyncio.sleep(PAUSE)

    async def offer(self) -> None:
        """Export one more service."""
        self._came += 1
        await self._export(f"come-{self.member}-{self._came}")

    async def withdraw(self) -> None:
        """Export one of those that came no longer, and remove it."""
        while not self._coming:
            await self.offer()
        await self._unexport(self.chance.choice(self._coming))

    @property
    def _mine(self) -> list[str]:
        """What is exported and not being changed."""
        return [name for member, name in self.ledger.offers.keys() - self.ledger.open if member == self.member]

    @property
    def _coming(self) -> list[str]:
        return [name for name in self._mine if name.startswith("come-")]

    async def _export(self, service: str) -> None:
        self._services.append(service)
        self._changes[service] = 0
        with self.ledger.changing(self.member, service):
            await self._write(SERVICES, objects.service(NAMESPACE, service))
            await self._write_endpoints(service)
            await self._write(SERVICE_EXPORTS, objects.service_export(NAMESPACE, service))
            self._note(service)

    async def _roll(self, service: str) -> None:
        """One backend goes, another comes."""
        self._changes[service] += 1
        with self.ledger.changing(self.member, service):
            await self._write_endpoints(service)
            self._note(service)

    async def _unexport(self, service: str) -> None:
        with self.ledger.changing(self.member, service):
            await self._delete(SERVICE_EXPORTS, service)
            self.ledger.offers.pop((self.member, service))
        del self._changes[service]
        await self._delete(SERVICES, service)
        await self._delete(ENDPOINT_SLICES, objects.endpoints(NAMESPACE, service, [])["metadata"]["name"])

    def _note(self, service: str) -> None:
        self.done += 1
        self.ledger.offers[self.member, service] = frozenset(self._at(service))

    def _at(self, service: str) -> list[str]:
        change, place = self._changes[service], self._services.index(service)
        return [address(self.number, place, change + each) for each in range(2)]

    async def _write_endpoints(self, service: str) -> None:
        await self._write(ENDPOINT_SLICES, objects.endpoints(NAMESPACE, service, self._at(service)))

    async def _write(self, kind: Resource[T], manifest: Manifest) -> None:
        await _surely(lambda: self.client.apply(kind, manifest, options=BY_HAND))

    async def _delete(self, kind: Resource[T], name: str) -> None:
        async def delete() -> None:
            with suppress(NotFound):
                await self.client.delete(kind, name, namespace=NAMESPACE)

        await _surely(delete)


async def _surely(write: Callable[[], Awaitable[object]]) -> None:
    """Write until it is written: what fails may have been written too, and the same again does no harm."""
    while True:
        try:
            async with asyncio.timeout(TRY):
                await write()
        except (IsthmusError, TimeoutError):
            await asyncio.sleep(PAUSE)
        else:
            return
