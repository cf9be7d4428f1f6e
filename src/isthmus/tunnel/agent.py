"""The member's end of the tunnel: dials out to the proxy server, and joins consumers with its own API server.

It connects to that one address: the proxy server names connections, never addresses.
"""

import asyncio
import logging
import re
import ssl
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

from isthmus.errors import Invalid, IsthmusError
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kit.http import PIECE, WebSocket, carry, dial_websocket
from isthmus.kube.config import Config
from isthmus.kube.tls import Trust
from isthmus.kube.tls import context as tls_context
from isthmus.tunnel.connect import address
from isthmus.tunnel.proxy import CONNECTIONS, CONTROL, LIMITS, MAX_WORD, Limits

log = logging.getLogger(__name__)

_ID: Final = re.compile(r"[0-9a-f]{32}")
# Seconds: less than a consumer's request waits.
_CONNECT: Final = 5.0
_LONGEST_PAUSE: Final = 5.0


class Dialer:
    """Keeps one connection to the proxy server at `url`, where it is whom the hub's config says, and trusts alike.

    Raises Invalid for an address or a config that cannot be.
    """

    def __init__(self, url: str, hub: Config, server: str, *, limits: Limits = LIMITS, clock: Clock = SYSTEM) -> None:
        if not url.startswith("https://") or not address(url)[0]:
            raise Invalid(f"the tunnel's address {url!r} is not of the form https://HOST:PORT (--tunnel)")
        if hub.token is None:
            raise Invalid("a tunnel needs a token, and the hub's kubeconfig has none: join again (isthmus join)")
        self._url = url.rstrip("/")
        self._token = hub.token
        self._hub = hub
        self._server = address(server)
        self._limits = limits
        self._clock = clock

    async def run(self) -> None:
        """Stay dialled in until cancelled, whatever the proxy server does."""
        backoff = Backoff(base=0.2, cap=_LONGEST_PAUSE)
        while True:
            began, problem = self._clock.monotonic(), "it has ended the connection"
            try:
                await self._stay()
            except IsthmusError as error:
                problem = str(error)
            log.warning("not dialled in", extra={"tunnel": self._url, "problem": problem})
            if self._clock.monotonic() - began > _LONGEST_PAUSE:
                backoff.reset()
            await self._clock.sleep(backoff.next())

    async def _stay(self) -> None:
        # The hub's authority may have signed the proxy server's certificate, or one that the system trusts.
        tls = tls_context(Trust(self._hub.trust.authority), now=self._clock.now())
        tls.load_default_certs()
        headers = {"Authorization": f"Bearer {self._token.read().decode(errors='replace').strip()}"}
        control = dial_websocket(
            self._url + CONTROL,
            headers,
            tls=tls,
            proxy=self._hub.proxy,
            heartbeat=self._limits.heartbeat,
            most=MAX_WORD,
        )
        async with control as asking, asyncio.TaskGroup() as tasks:
            log.info("dialled in", extra={"tunnel": self._url})
            carrying: set[asyncio.Task[None]] = set()
            async for message in asking:
                id_ = str(message.data)
                if _ID.fullmatch(id_) and len(carrying) < self._limits.of_member:
                    task = tasks.create_task(self._carry(asking, id_, tls), name="tunnel")
                    carrying.add(task)
                    task.add_done_callback(carrying.discard)
            for task in carrying:
                task.cancel()

    async def _carry(self, control: WebSocket, id_: str, tls: ssl.SSLContext) -> None:
        """One connection; that it does not come about is told."""
        try:
            async with asyncio.timeout(_CONNECT):
                reader, writer = await asyncio.open_connection(*self._server, limit=PIECE)
        except OSError as problem:
            said = f"{id_} no connection to its API server: {str(problem) or 'no answer in time'}"
            with suppress(ConnectionError):
                await control.send_str(said[: MAX_WORD // 4])
            return
        try:
            async with self._dialled(id_, tls) as websocket:
                await carry(websocket, reader, writer, idle=self._limits.idle)
        except IsthmusError as problem:
            log.warning("connection not carried", extra={"tunnel": self._url, "problem": str(problem)})
        finally:
            writer.close()

    def _dialled(self, id_: str, tls: ssl.SSLContext) -> AbstractAsyncContextManager[WebSocket]:
        return dial_websocket(self._url + CONNECTIONS + id_, {}, tls=tls, proxy=self._hub.proxy, most=2 * PIECE)
