"""How this cluster looks from outside: its published address, called as others would call it, and its clock."""

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable
from typing import Final

from isthmus.api.isthmus import Member, MemberSpec, MemberStatus, Probe
from isthmus.errors import APIError, Invalid, IsthmusError, ServerFault
from isthmus.inventory.rules.outlook import Probing, told_difference
from isthmus.kit.clock import Clock
from isthmus.kube.client import Client
from isthmus.kube.config import Config
from isthmus.kube.request import Request
from isthmus.kube.tls import Material, Trust
from isthmus.kube.transport import Transport

log = logging.getLogger(__name__)

# Seconds between two looks, and for one answer.
EVERY: Final = 10.0
LIMIT: Final = 5.0
# Kubernetes lets everybody ask this; a server that does not has answered too.
_ASKED: Final = "/readyz"


class Outlook:
    """Looks every ten seconds; `changed` is called when there is something new to tell.

    The address is the one in `Member.spec.server`; while there is none, the one by which the agent itself reaches its
    cluster. It is called without any credential.
    """

    def __init__(
        self, member: Client, hub: Client, record: Callable[[], Member | None], *, clock: Clock, every: float = EVERY
    ) -> None:
        self.clock = clock
        # Whether what is told is our own finding, and not that of the agent before us.
        self.has_looked = False
        self._member = member
        self._hub = hub
        self._record = record
        self._every = every
        self._probing = Probing()
        self._difference: int | None = None
        self._handlers: list[Callable[[], None]] = []

    @property
    def probe(self) -> Probe | None:
        """What there is to tell of the address; None before the first look."""
        return self._probing.told

    @property
    def clock_difference(self) -> int | None:
        """Seconds by which our clock is ahead of the hub's; None while the hub has not said."""
        return self._difference

    def when_changed(self, handler: Callable[[], None]) -> None:
        """Have `handler` called when there is something new to tell."""
        self._handlers.append(handler)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self.clock.sleep(self._every)

    async def look(self) -> None:
        """Once."""
        before = (self.probe, self._difference, self.has_looked)
        record = self._record()
        if record is not None and record.spec is not None:
            self.remember(record.status or MemberStatus())
            problem = await self._problem(record.spec)
            self._probing = self._probing.after(problem, self.clock.now())
            self.has_looked = True
        self._difference = told_difference(self._difference, self._hub.ahead)
        if (self.probe, self._difference, self.has_looked) != before:
            self._say()

    def remember(self, said: MemberStatus) -> None:
        """What the agent before us told stands until our own first look."""
        if self.probe is None:
            self._probing = Probing.inherited(said.probe)
            self._difference = said.clock_difference

    async def _problem(self, spec: MemberSpec) -> str:
        """Why there was no answer; empty for any answer but that of a server that says it is broken."""
        address = spec.server or self._member.server
        try:
            async with asyncio.timeout(LIMIT):
                if spec.server:
                    await _call(_published(spec))
                else:
                    await self._member.raw("GET", _ASKED)
        except TimeoutError:
            return f"{address}: no answer within {LIMIT:g} seconds"
        except ServerFault as error:
            return f"{address}: {error}"
        except APIError:
            return ""
        except IsthmusError as error:
            return str(error)
        return ""

    def _say(self) -> None:
        log.info("seen from outside", extra={"probe": self.probe, "clock_difference": self._difference})
        for handler in self._handlers:
            handler()


async def _call(config: Config) -> None:
    # A connection of its own each time: one that is kept says nothing about the next.
    async with Transport(config, user_agent="isthmus-agent") as transport:
        await transport.send(Request("GET", _ASKED))


def _published(spec: MemberSpec) -> Config:
    """The published address, with the authority published with it; raises Invalid."""
    if not spec.server.startswith("https://"):
        raise Invalid(f"{spec.server}: not an https address; join again with --server https://...")
    if not spec.certificate_authority:
        return Config(spec.server)
    try:
        authority = base64.b64decode(spec.certificate_authority, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"{spec.server}: its certificateAuthority is not base64: {error}; join again") from error
    return Config(spec.server, trust=Trust(Material("certificateAuthority", authority)))
