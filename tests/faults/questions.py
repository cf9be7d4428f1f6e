"""Asks one member's DNS server all the time, and says which answers must not be."""

import asyncio
import random
import time
from dataclasses import dataclass

from isthmus.api.mcs import ZONE
from isthmus.errors import Unreachable
from isthmus.kit.dns.client import resolve
from isthmus.kit.dns.message import Rcode, Reply
from isthmus.kit.dns.records import Address, Type
from tests.faults.disturbances import Disturbances, name_server
from tests.faults.ledger import Ledger
from tests.faults.load import NAMESPACE
from tests.faults.observer import BOUND, Observer

# Seconds.
PAUSE = 0.2
ANSWER = 2.0


@dataclass
class Questions:
    """One member's names, one after the other; what was there all the time must be answered, and rightly."""

    member: str
    server: tuple[str, int]
    ledger: Ledger
    observer: Observer
    disturbances: Disturbances
    chance: random.Random
    asked: int = 0

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            lasting = sorted(name for name in self.ledger.services if not name.startswith("come-"))
            if lasting:
                await self._ask(self.chance.choice(lasting))
            await asyncio.sleep(PAUSE)

    async def _ask(self, service: str) -> None:
        true = self.observer.ip(self.member, service)
        if not true:
            return
        self.asked += 1
        try:
            reply = await resolve(f"{service}.{NAMESPACE}.svc.{ZONE}", Type.A, self.server, seconds=ANSWER)
        except Unreachable as problem:
            self._excusable(f"{service}: {problem}")
            return
        if reply.rcode == Rcode.SERVFAIL:
            self._excusable(f"{service}: SERVFAIL")
        elif _addresses(reply) != {true}:
            self.observer.say(f"wrong answer in {self.member}: {service} is {true}, not {_addresses(reply)}")

    def _excusable(self, problem: str) -> None:
        """Silence is fair while the server is away, and ignorance while it began without its API server."""
        whole = self.disturbances.whole_since((name_server(self.member),))
        if time.monotonic() - whole > BOUND:
            self.observer.say(f"no answer in {self.member}: {problem}")


def _addresses(reply: Reply) -> set[str]:
    return {str(record.data.address) for record in reply.answers if isinstance(record.data, Address)}
