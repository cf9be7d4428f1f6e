"""Bytes to one API server and back: connections, TLS, time limits, back-off, and what may be sent twice."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from isthmus import errors
from isthmus.kit.backoff import Backoff
from isthmus.kit.clock import SYSTEM, Clock
from isthmus.kube import response as answers
from isthmus.kube.config import Config
from isthmus.kube.credentials import Credentials, Identity
from isthmus.kube.dates import Dates
from isthmus.kube.request import Request
from isthmus.kube.tls import Trust
from isthmus.kube.tls import context as tls_context

log = logging.getLogger(__name__)

# Seconds. A server that keeps a watch silent sends a bookmark about once a minute.
CONNECT: Final = 10.0
ANSWER: Final = 35.0
STALL: Final = 90.0
# No new try after this long, and no longer wait at a server's request.
PERSISTENCE: Final = 30.0
TRIES: Final = 4

MAX_BODY: Final = 256 << 20
MAX_PROBLEM: Final = 1 << 20
READ_BUFFER: Final = 1 << 18
# Idle this long, a connection is dead once 3 probes, 5 s apart, go unanswered.
KEEPALIVE_IDLE: Final = 15
KEEPALIVE: Final = (("TCP_KEEPIDLE", KEEPALIVE_IDLE), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class NotSent(errors.Unreachable):
    """The connection did not come about: the server has seen nothing of the request."""


class Pause:
    """One server's back-off, shared by all who call it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._backoff = Backoff()
        self._until = 0.0
        self._set_at = -1.0

    async def over(self) -> None:
        """Return when the server may be tried."""
        while (left := self._until - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    def failed(self, started: float) -> None:
        """A try that began at `started` failed. Of those who fail together, only the first counts."""
        if started > self._set_at:
            self._set_at = self._clock.monotonic()
            self._until = self._set_at + self._backoff.next()

    def succeeded(self) -> None:
        """The server answered."""
        self._until = 0.0
        self._backoff.reset()


class Transport:
    """One server, one pool of connections. To be used as an async context manager, or closed."""

    def __init__(
        self, config: Config, *, clock: Clock = SYSTEM, user_agent: str = "isthmus", stall: float = STALL
    ) -> None:
        self._config = config
        self._clock = clock
        self._stall = stall
        self._base = config.server.rstrip("/")
        self._credentials = Credentials(config, clock)
        self._pause = Pause(clock)
        self.dates = Dates(clock)
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._tls_made_of: object = None
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip" if config.compression else "identity",
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: Request) -> bytes:
        """The body of the 2xx answer.

        A request is sent again, within PERSISTENCE seconds, when the server cannot have begun it, or when
        it is repeatable. Raises the tree of errors; of APIError the class that fits the answer.
        """
        give_up = self._clock.monotonic() + PERSISTENCE
        limits = aiohttp.ClientTimeout(ANSWER, sock_connect=CONNECT)
        waits = Backoff()
        tries = 0
        while True:
            tries += 1
            try:
                async with self._answer(request, limits) as answer:
                    return await _body(answer, MAX_BODY)
            except (errors.Unreachable, errors.ServerFault, errors.Throttled) as problem:
                wait = getattr(problem, "retry_after", None) or waits.next()
                late = self._clock.monotonic() + wait > give_up
                if late or tries == TRIES or not _may_repeat(request, problem):
                    raise
            await self._clock.sleep(wait)

    async def stream(self, request: Request, *, may_pause: bool = False) -> AsyncGenerator[bytes, None]:
        """The chunks of a 2xx answer as they come, until it ends.

        Raises Unreachable when it breaks off, or, unless it `may_pause`, when nothing comes for the stall limit.
        """
        silence = None if may_pause else self._stall
        limits = aiohttp.ClientTimeout(None, sock_connect=CONNECT, sock_read=silence)
        async with self._answer(request, limits) as answer:
            async for chunk in answer.content.iter_any():
                yield chunk

    @asynccontextmanager
    async def channels(self, request: Request, protocol: str) -> AsyncIterator["Channels"]:
        """A WebSocket that carries several streams, for as long as the block lasts.

        Raises Unreachable when it does not come about or breaks off, Refused when the server does not switch.
        """
        identity = await self._credentials.identity()
        try:
            async with _told(self._config.server):
                connected = await self._connected().ws_connect(
                    self._url(request),
                    protocols=[protocol],
                    # The kubelet at the other end answers 406 to a client that would take JSON only.
                    headers=[*(self._headers | {"Accept": "*/*"}).items(), *identity.headers],
                    ssl=self._tls_for(identity),
                    server_hostname=self._config.server_name or None,
                    proxy=self._config.proxy or None,
                    heartbeat=KEEPALIVE_IDLE,
                    max_msg_size=MAX_PROBLEM,
                )
                async with connected:
                    yield Channels(connected)
        except aiohttp.WSServerHandshakeError as problem:
            message = f"{request.path}: the server does not open a stream: {problem.message}"
            raise errors.Refused(code=problem.status, reason="", message=message) from problem

    @asynccontextmanager
    async def _answer(self, request: Request, limits: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        await self._pause.over()
        started = self._clock.monotonic()
        try:
            async with _told(self._config.server), await self._authenticated(request, limits) as answer:
                self.dates.note(answer.headers.get("Date", ""), self._clock.monotonic() - started)
                if answer.status >= 300:
                    said = await _body(answer, MAX_PROBLEM)
                    asked = f"{request.method} {request.path}"
                    raise answers.error(answer.status, answer.headers, said, asked=asked)
                self._pause.succeeded()
                yield answer
        except (errors.Unreachable, errors.ServerFault):
            self._pause.failed(started)
            raise
        except errors.APIError:
            self._pause.succeeded()
            raise

    async def _authenticated(self, request: Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        identity = await self._credentials.identity()
        answer = await self._call(request, identity, limits)
        if answer.status == 401 and self._credentials.reject(identity):
            answer.release()
            answer = await self._call(request, await self._credentials.identity(), limits)
        return answer

    async def _call(
        self, request: Request, identity: Identity, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        headers = [*self._headers.items(), *identity.headers]
        if request.body:
            headers.append(("Content-Type", request.content_type))
        return await self._connected().request(
            request.method,
            self._url(request),
            data=request.body or None,
            headers=headers,
            allow_redirects=False,
            timeout=limits,
            ssl=self._tls_for(identity),
            server_hostname=self._config.server_name or None,
            proxy=self._config.proxy or None,
        )

    def _url(self, request: Request) -> URL:
        return URL(self._base + request.path, encoded=True).with_query(request.query or None)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60, socket_factory=_socket)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=READ_BUFFER
            )
            # aiohttp would send PUT and DELETE again when a kept connection breaks. What is sent twice is
            # decided here, by what the request means.
            self._session._retry_connection = False  # noqa: SLF001
        return self._session

    def _tls_for(self, identity: Identity) -> ssl.SSLContext | bool:
        if not self._config.server.startswith("https:"):
            return True
        mine = self._config.trust
        trust = mine
        if identity.certificate:
            trust = Trust(mine.authority, identity.certificate, identity.key, mine.insecure)
        made_of = (trust, trust.stamps())
        if self._tls is None or made_of != self._tls_made_of:
            try:
                self._tls = tls_context(trust, now=self._clock.now())
                self._tls_made_of = made_of
            except errors.Invalid as problem:
                if self._tls is None:
                    raise
                # A certificate and its key are seldom replaced at one instant: go on with the old ones.
                log.warning("certificates not usable", extra={"problem": str(problem)})
        return self._tls


class Channels:
    """The messages of one WebSocket: the first byte of each names its channel (v5.channel.k8s.io)."""

    def __init__(self, connected: aiohttp.ClientWebSocketResponse) -> None:
        self._connected = connected

    async def send(self, channel: int, data: bytes) -> None:
        """Send on one channel."""
        await self._connected.send_bytes(bytes([channel]) + data)

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """What comes on which channel, until the server closes."""
        async for message in self._connected:
            if message.type is aiohttp.WSMsgType.BINARY and message.data:
                yield message.data[0], message.data[1:]


def _may_repeat(request: Request, problem: errors.IsthmusError) -> bool:
    return request.repeatable or isinstance(problem, NotSent | errors.Throttled)


async def _body(answer: aiohttp.ClientResponse, most: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            raise errors.Invalid(f"{answer.url.path}: the answer is larger than {most >> 20} MiB; ask for less")
    return b"".join(chunks)


@asynccontextmanager
async def _told(server: str) -> AsyncIterator[None]:
    """Turns what goes wrong on the way into our own errors."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as problem:
        raise NotSent(
            f"{server}: its certificate is not trusted: {problem.certificate_error}; "
            "check certificate-authority and tls-server-name"
        ) from problem
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as problem:
        # aiohttp's own text names objects in memory.
        raise NotSent(f"{server}: no connection: {_said(getattr(problem, 'os_error', problem))}") from problem
    except TimeoutError as problem:
        raise errors.Unreachable(f"{server}: no answer within the time limit") from problem
    except aiohttp.InvalidURL as problem:
        raise errors.Invalid(f"{server}: not an address: {problem}") from problem
    except aiohttp.WSServerHandshakeError:
        raise
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as problem:
        raise errors.Unreachable(f"{server}: the connection broke off: {_said(problem)}") from problem


def _said(problem: BaseException) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__


def _socket(address: tuple[object, ...]) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)  # type: ignore[arg-type]  # getaddrinfo's tuple
    made.setblocking(False)
    # A peer that vanished without a word is noticed within half a minute, also while nothing is sent.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
