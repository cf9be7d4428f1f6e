"""Who we are on a connection, now: tokens are read again when their file changes, plugins run when due."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePath
from typing import Final

from isthmus.errors import Invalid, IsthmusError
from isthmus.kit.clock import Clock
from isthmus.kit.metrics import COUNTER, HISTOGRAM, Durations, Metric, Sample, metered
from isthmus.kube.config import Config
from isthmus.kube.execplugin import Issued, Plugin
from isthmus.kube.tls import Material

log = logging.getLogger(__name__)

# A credential that ends while the request is under way would be refused.
MARGIN: Final = timedelta(seconds=10)

# KEP-4322, Monitoring (CRED-14).
FETCHES: Final = Metric(
    "isthmus_credential_fetches_total",
    COUNTER,
    "Runs of a credential plugin, by how they ended: done or failed.",
    ("plugin", "outcome"),
)
SECONDS: Final = Metric("isthmus_credential_fetch_seconds", HISTOGRAM, "How long a plugin ran.", ("plugin",))


@dataclass(frozen=True, slots=True)
class Identity:
    """The headers of a request, and the client certificate where a plugin gave one."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    certificate: Material | None = None
    key: Material | None = None


class Credentials:
    """The identity of one Config, kept fresh."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._identity: Identity | None = None
        self._stamp: object = None
        self._issued: Issued | None = None
        self._done = 0
        self._failed = 0
        self._durations = Durations()
        if config.plugin is not None:
            metered(self)

    def samples(self) -> Iterator[Sample]:
        """How often the plugin ran, and how long."""
        if (plugin := self._config.plugin) is not None:
            kind = plugin.kind or PurePath(plugin.command).name
            yield Sample(FETCHES, self._done, (kind, "done"))
            yield Sample(FETCHES, self._failed, (kind, "failed"))
            yield Sample(SECONDS, self._durations, (kind,))

    async def identity(self) -> Identity:
        """Who to be now; raises Invalid or Unreachable when there is no way to know."""
        if self._config.token is not None:
            return self._by_token(self._config.token)
        if self._config.plugin is not None:
            return await self._by_plugin(self._config.plugin)
        return Identity(self._config.headers)

    def reject(self, refused: Identity) -> bool:
        """The server answered 401 to this identity: forget it. Whether there may be another one."""
        renewable = self._config.plugin is not None or (self._config.token and self._config.token.file)
        if self._identity is refused:
            self._identity = None
            self._stamp = None
        return bool(renewable)

    def _by_token(self, token: Material) -> Identity:
        stamp = token.stamp()
        if self._identity is None or (stamp is not None and stamp != self._stamp):
            try:
                self._identity = self._bearing(token.read().decode("ascii").strip())
                self._stamp = stamp
            except UnicodeDecodeError as problem:
                raise Invalid(f"{token.origin}: not a token: it has characters other than ASCII") from problem
        return self._identity

    async def _by_plugin(self, plugin: Plugin) -> Identity:
        async with self._one_at_a_time:
            if self._identity is None or self._is_over():
                self._issued = issued = await self._run(plugin)
                log.info("credentials issued", extra={"plugin": plugin.command})
                certificate = key = None
                if issued.client_certificate_data:
                    certificate = Material(plugin.origin, issued.client_certificate_data.encode())
                    key = Material(plugin.origin, issued.client_key_data.encode())
                headers = self._bearing(issued.token).headers if issued.token else self._config.headers
                self._identity = Identity(headers, certificate, key)
            return self._identity

    async def _run(self, plugin: Plugin) -> Issued:
        began = self._clock.monotonic()
        try:
            issued = await plugin.run()
        except IsthmusError:
            self._failed += 1
            raise
        finally:
            self._durations.observe(self._clock.monotonic() - began)
        self._done += 1
        return issued

    def _is_over(self) -> bool:
        ends = self._issued.expiration_timestamp if self._issued else None
        return ends is not None and ends - MARGIN <= self._clock.now()

    def _bearing(self, token: str) -> Identity:
        if not token.isprintable() or " " in token:
            origin = self._config.token.origin if self._config.token else "token"
            raise Invalid(f"{origin}: not a token: it has spaces or line breaks inside")
        return Identity((*self._config.headers, ("Authorization", f"Bearer {token}")))
