"""Leases: who of several leads, and a sign of life that others can watch."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import Final

from isthmus import errors
from isthmus.api.core import LEASES, Lease
from isthmus.api.scheme import Manifest
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kit.metrics import GAUGE, Metric, Sample, metered
from isthmus.kube.client import Client

log = logging.getLogger(__name__)

# Seconds that giving a lease back may take while we shut down.
FAREWELL: Final = 2.0
LEADER: Final = Metric("isthmus_leader", GAUGE, "1 in the process that is elected, else 0.", ("lease",))


class Elector:
    """One candidate for a Lease, under an identity that no other process has.

    The leader renews every third of `duration` seconds. It stops its work when two thirds have passed since
    it sent the last renewal that succeeded; others wait for the whole since they saw the lease change, and look
    every eighth whether it was given back. Both measure on their own monotonic clock, so it does not matter what
    any clock says.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration: float = 15.0,
        clock: Clock = SYSTEM,
    ) -> None:
        self.is_leading = False
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration = duration
        self._clock = clock
        self._seen_version = ""
        self._seen_at = 0.0
        self._renewed_at = 0.0
        metered(self)

    def samples(self) -> Iterator[Sample]:
        """Whether we lead."""
        yield Sample(LEADER, int(self.is_leading), (self._name,))

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` whenever we lead; return when it returns.

        It is cancelled when the lease is lost, and begun again when it is won back; it has a third of the
        duration to end. The lease is given back at the end.
        """
        try:
            while True:
                await self._win()
                if await self._run(work):
                    return
        finally:
            self.is_leading = False
            await self._give_back()

    async def _win(self) -> None:
        while not await self._renew():
            await self._clock.sleep(self._duration / 8)
        log.info("leading", extra=self._facts())

    async def _run(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether the work came to its own end."""
        self.is_leading = True
        async with asyncio.TaskGroup() as tasks:
            job = tasks.create_task(_awaited(work), name=f"lead {self._name}")
            renewal = tasks.create_task(self._keep(), name=f"renew {self._name}")
            limit = tasks.create_task(self._run_out(), name=f"limit {self._name}")
            await asyncio.wait({job, renewal, limit}, return_when=asyncio.FIRST_COMPLETED)
            has_ended = job.done()
            for task in (job, renewal, limit):
                task.cancel()
        self.is_leading = False
        if not has_ended:
            log.warning("no longer leading", extra=self._facts())
        return has_ended

    async def _keep(self) -> None:
        """Renew, until the lease is another's. What fails is tried again soon: there is time for a few tries."""
        pause = self._duration / 3
        while True:
            await self._clock.sleep(pause)
            try:
                if not await self._attempt():
                    return
                pause = self._duration / 3
            except errors.IsthmusError as problem:
                pause = self._duration / 15
                log.warning("lease not renewed", extra=self._facts() | {"problem": str(problem)})

    async def _run_out(self) -> None:
        """Return when renewals have failed for so long that another may soon lead."""
        while (left := self._renewed_at + self._duration * 2 / 3 - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    async def _renew(self) -> bool:
        try:
            return await self._attempt()
        except errors.IsthmusError as problem:
            log.warning("cannot stand for election", extra=self._facts() | {"problem": str(problem)})
            return False

    async def _attempt(self) -> bool:
        """Take or renew the lease, where it is free or ours; whether it is ours now.

        Raises Conflict when somebody wrote in between: perhaps another candidate, perhaps only a label.
        """
        sent = self._clock.monotonic()
        try:
            lease = await self._client.get(LEASES, self._name, namespace=self._namespace)
            if not self._is_open(lease):
                return False
            await self._write(lease.metadata.resource_version, self._claim(lease))
        except errors.NotFound:
            await _create(self._client, self._namespace, self._name, self._claim(Lease()))
        self._renewed_at = sent
        return True

    def _is_open(self, lease: Lease) -> bool:
        now = self._clock.monotonic()
        if lease.metadata.resource_version != self._seen_version:
            self._seen_version = lease.metadata.resource_version
            self._seen_at = now
        if lease.spec.holder_identity in {None, "", self._identity}:
            return True
        return now - self._seen_at > max(self._duration, lease.spec.lease_duration_seconds or 0)

    def _claim(self, lease: Lease) -> Manifest:
        now = micro_time(self._clock.now())
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": math.ceil(self._duration),
            "renewTime": now,
        }
        if lease.spec.holder_identity != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": (lease.spec.lease_transitions or 0) + 1}
        return spec

    async def _write(self, version: str, spec: Manifest) -> None:
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        await self._client.merge_patch(LEASES, self._name, patch, namespace=self._namespace)

    async def _give_back(self) -> None:
        try:
            async with asyncio.timeout(FAREWELL):
                lease = await self._client.get(LEASES, self._name, namespace=self._namespace)
                if lease.spec.holder_identity == self._identity:
                    await self._write(lease.metadata.resource_version, {"holderIdentity": ""})
        except (errors.IsthmusError, TimeoutError) as problem:
            # Others take it when its time has passed.
            log.info("lease not given back", extra=self._facts() | {"problem": str(problem)})

    def _facts(self) -> dict[str, str]:
        return {"lease": f"{self._namespace}/{self._name}", "identity": self._identity}


class Heartbeat:
    """Renews one Lease every `every` seconds; it counts as alive for three times as long.

    Who watches the Lease judges by when it changes, on a clock of its own.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        every: float = 10.0,
        clock: Clock = SYSTEM,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._every = every
        self._clock = clock
        self._when_lost: list[Callable[[], None]] = []
        self._facts: Callable[[], Mapping[str, str]] = dict
        self._version = ""
        self._renewed = ""

    def when_lost(self, handler: Callable[[], None]) -> None:
        """Have `handler` called when the server lost what we wrote: it was restored from a backup, or emptied.

        Each beat names the version that the last one made, so this costs nothing while all is well.
        """
        self._when_lost.append(handler)

    def tell(self, facts: Callable[[], Mapping[str, str]]) -> None:
        """Send what `facts` answers as annotations with each beat."""
        self._facts = facts

    async def run(self) -> None:
        """Beat until cancelled, whatever the server does."""
        while True:
            began = self._clock.monotonic()
            try:
                # An answer that hangs must not cost the next beat.
                async with asyncio.timeout(self._every):
                    await self._beat()
                pause = self._every
            except (errors.IsthmusError, TimeoutError) as problem:
                facts = {"lease": f"{self._namespace}/{self._name}", "problem": str(problem) or "no answer in time"}
                log.warning("no heartbeat", extra=facts)
                pause = self._every / 5
            await self._clock.sleep(max(0.0, began + pause - self._clock.monotonic()))

    async def _beat(self) -> None:
        renewed = micro_time(self._clock.now())
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": math.ceil(self._every * 3),
            "renewTime": renewed,
        }
        annotated: Manifest = {"annotations": dict(self._facts())}
        known = {"resourceVersion": self._version} if self._version else {}
        try:
            lease = await self._patch({"metadata": annotated | known, "spec": spec})
        except errors.NotFound:
            lease = await _create(self._client, self._namespace, self._name, spec)
            if self._version:
                self._tell_lost()
        except errors.Conflict:
            seen = await self._client.get(LEASES, self._name, namespace=self._namespace)
            if (seen.spec.renew_time or "") < self._renewed:
                self._tell_lost()
            # It may be the next that gets no answer, and then what was seen here is the last that we know of.
            self._version, self._renewed = seen.metadata.resource_version, seen.spec.renew_time or ""
            lease = await self._patch({"metadata": annotated, "spec": spec})
        self._version, self._renewed = lease.metadata.resource_version, renewed

    async def _patch(self, patch: Manifest) -> Lease:
        return await self._client.merge_patch(LEASES, self._name, patch, namespace=self._namespace)

    def _tell_lost(self) -> None:
        log.warning("server lost our last heartbeat", extra={"lease": f"{self._namespace}/{self._name}"})
        for handler in self._when_lost:
            handler()


async def sign_off(client: Client, *, namespace: str, name: str, holder: str, clock: Clock = SYSTEM) -> None:
    """The last word on a Lease that one held: `holder` says why there will be no other."""
    spec = {"holderIdentity": holder, "renewTime": micro_time(clock.now())}
    try:
        await client.merge_patch(LEASES, name, {"spec": spec}, namespace=namespace)
    except errors.NotFound:
        await _create(client, namespace, name, spec)


def micro_time(moment: datetime) -> str:
    """A moment as Kubernetes' MicroTime, which wants all six decimals."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _create(client: Client, namespace: str, name: str, spec: Manifest) -> Lease:
    manifest = {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    return await client.create(LEASES, manifest, namespace=namespace)


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()
