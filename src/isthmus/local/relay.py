"""ClientIP affinity on a node: each client stays with one backend until it has stayed away for its time.

Envoy can only hash addresses, and so forgets nobody; therefore routes with affinity have listeners of our own. As in
kube-proxy, every new connection of a client, or its next datagram, begins its time anew.
"""

import asyncio
import contextlib
import logging
import socket
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from isthmus.kit.clock import SYSTEM, Clock
from isthmus.local.rules.routes import Backend, Route

log = logging.getLogger(__name__)

Peer: TypeAlias = tuple[str, int]

# As Envoy does it for the other routes: seconds for a handshake, and backends that are tried in all.
_CONNECT_SECONDS = 2.0
_CONNECT_ATTEMPTS = 3
_PIECE = 1 << 16
_BACKLOG = 128
# Seconds after which a client that sends no datagrams has no session any more, and how many have one.
_SESSION_SECONDS = 60.0
_SESSIONS = 1024
# Clients that are remembered for one route; the one that was away longest is forgotten first.
_CLIENTS = 65_536
# Seconds until an address that something else listens on is tried again.
_RETRY = 1.0


class Led:
    """Who was led where, and when last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[str, tuple[Backend, float]] = OrderedDict()
        self._turn = 0

    def to(self, client: str, route: Route) -> Backend:
        """The client's backend: the one it had, if that is still there and the client came in time; else the next."""
        now = self._clock.monotonic()
        backend, at = self._known.get(client, (None, 0.0))
        if backend is None or backend not in route.backends or now - at > route.sticky:
            backend = route.backends[self._turn % len(route.backends)]
            self._turn += 1
        self.remember(client, backend)
        return backend

    def remember(self, client: str, backend: Backend) -> None:
        """The client is served there, from now on."""
        self._known[client] = (backend, self._clock.monotonic())
        self._known.move_to_end(client)
        if len(self._known) > _CLIENTS:
            self._known.popitem(last=False)


class Relays:
    """The routes with affinity; connections outlive the listener that they came by."""

    def __init__(self, tasks: asyncio.TaskGroup, clock: Clock = SYSTEM) -> None:
        self._tasks = tasks
        self._clock = clock
        self._running: dict[str, tuple[_Relay, asyncio.Task[None]]] = {}

    def follow(self, routes: Iterable[Route]) -> None:
        """Serve these routes, and no others."""
        wanted = {route.name: route for route in routes}
        for name in self._running.keys() - wanted.keys():
            self._running.pop(name)[1].cancel()
        for name, route in wanted.items():
            if name in self._running:
                self._running[name][0].route = route
            else:
                relay = _Relay(route, self._tasks, self._clock)
                self._running[name] = relay, self._tasks.create_task(relay.run(), name=f"relay {name}")


class _Relay:
    """One route: its listener, and the way of each client."""

    def __init__(self, route: Route, tasks: asyncio.TaskGroup, clock: Clock) -> None:
        self.route = route
        self._tasks = tasks
        self._clock = clock
        self._led = Led(clock)

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                with _listener(self.route) as sock:
                    await (self._serve_datagrams(sock) if self.route.protocol == "UDP" else self._accept(sock))
            except OSError as problem:
                log.warning("cannot serve an address", extra={"route": self.route.name, "problem": str(problem)})
            await self._clock.sleep(_RETRY)

    async def _accept(self, sock: socket.socket) -> None:
        sock.listen(_BACKLOG)
        loop = asyncio.get_running_loop()
        # Not `sock_accept`: cancelled at the wrong moment, it would leave a connection to nobody.
        loop.add_reader(sock, self._begin, sock)
        try:
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(sock)

    def _begin(self, sock: socket.socket) -> None:
        try:
            accepted, peer = sock.accept()
        except OSError:
            return
        accepted.setblocking(False)
        self._tasks.create_task(self._carry(accepted, peer[0]), name=f"relayed {self.route.name}")

    async def _carry(self, accepted: socket.socket, client: str) -> None:
        # What goes wrong with one connection is its two ends' business.
        with contextlib.suppress(OSError):
            here = await asyncio.open_connection(sock=accepted)
            try:
                there = await self._connect(client)
                try:
                    await asyncio.gather(_pump(here[0], there[1]), _pump(there[0], here[1]))
                finally:
                    there[1].close()
            finally:
                here[1].close()

    async def _connect(self, client: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the client's backend, or to another one that answers; OSError if none does."""
        first = self._led.to(client, self.route)
        rest = [backend for backend in (*self.route.others, *self.route.backends) if backend != first]
        for backend in (first, *rest)[:_CONNECT_ATTEMPTS]:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CONNECT_SECONDS):
                    found = await asyncio.open_connection(backend.address, backend.port)
                if backend in self.route.backends:
                    self._led.remember(client, backend)
                return found
        raise ConnectionRefusedError(self.route.name)

    async def _serve_datagrams(self, sock: socket.socket) -> None:
        sessions = _Sessions(sock, self._led, self._clock)
        loop = asyncio.get_running_loop()
        loop.add_reader(sock, lambda: sessions.receive(self.route))
        try:
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(sock)
            sessions.close()


@dataclass(slots=True)
class _Session:
    """A client's datagrams on their way to one backend, and when the last one came."""

    backend: Backend
    sock: socket.socket
    at: float


class _Sessions:
    """Clients that send datagrams, each with a socket of its own towards its backend."""

    def __init__(self, sock: socket.socket, led: Led, clock: Clock) -> None:
        self._sock = sock
        self._led = led
        self._clock = clock
        self._by_peer: OrderedDict[Peer, _Session] = OrderedDict()

    def receive(self, route: Route) -> None:
        """Pass on one datagram."""
        try:
            data, address = self._sock.recvfrom(_PIECE)
        except OSError:
            return
        with contextlib.suppress(OSError):
            self._session(address, route).sock.send(data)

    def close(self) -> None:
        """Forget all."""
        for peer in list(self._by_peer):
            self._drop(peer)

    def _session(self, address: tuple[str, int], route: Route) -> _Session:
        now = self._clock.monotonic()
        while self._by_peer and now - next(iter(self._by_peer.values())).at > _SESSION_SECONDS:
            self._drop(next(iter(self._by_peer)))
        backend = self._led.to(address[0], route)
        found = self._by_peer.get(address)
        if found is None or found.backend != backend:
            self._drop(address)
            found = _Session(backend, self._open(backend, address), now)
            self._by_peer[address] = found
        found.at = now
        self._by_peer.move_to_end(address)
        if len(self._by_peer) > _SESSIONS:
            self._drop(next(iter(self._by_peer)))
        return found

    def _open(self, backend: Backend, peer: Peer) -> socket.socket:
        upstream = socket.socket(_family(backend.address), socket.SOCK_DGRAM)
        upstream.setblocking(False)
        upstream.connect((backend.address, backend.port))
        asyncio.get_running_loop().add_reader(upstream, self._answer, upstream, peer)
        return upstream

    def _answer(self, upstream: socket.socket, peer: Peer) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendto(upstream.recv(_PIECE), peer)

    def _drop(self, peer: Peer) -> None:
        if session := self._by_peer.pop(peer, None):
            asyncio.get_running_loop().remove_reader(session.sock)
            session.sock.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Everything, and then the end; an end that broke off ends the other way too."""
    try:
        while data := await source.read(_PIECE):
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except (OSError, RuntimeError):
        # uvloop's word for a connection that was closed meanwhile is RuntimeError.
        sink.close()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _listener(route: Route) -> socket.socket:
    """A socket at the route's address, also while Envoy, which served it before, still listens there."""
    kind = socket.SOCK_DGRAM if route.protocol == "UDP" else socket.SOCK_STREAM
    sock = socket.socket(_family(route.address), kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setblocking(False)
        sock.bind((route.address, route.port))
    except OSError:
        sock.close()
        raise
    return sock
