"""The proxy server: joins consumers, who ask by CONNECT, with agents of members, who have dialled in by WebSocket.

Konnectivity (KEP-1281) in its HTTP CONNECT mode, for ClusterProfile consumers (KEP-4322). TLS runs from the consumer to
the member's API server: what passes here is ciphertext.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from isthmus.api.isthmus import MEMBERS, Member
from isthmus.errors import IsthmusError, Refused
from isthmus.install.roles import MEMBER_ACCOUNT_PREFIX
from isthmus.inventory.rules.profile import address_problem
from isthmus.kit.http import PIECE, Request, Stream, WebSocket, accept_websocket, carry
from isthmus.kit.http import answer as http_answer
from isthmus.kit.metrics import COUNTER, GAUGE, Metric, Sample
from isthmus.kube.client import Client
from isthmus.kube.informer import Change, Informer
from isthmus.kube.tokens import user_of
from isthmus.tunnel.connect import CONNECTED, END, MAX_HEAD, Asked, address, answer, asked, refusal

log = logging.getLogger(__name__)

# Where an agent dials in: to stay, and to carry the one connection of that id.
CONTROL: Final = "/control"
CONNECTIONS: Final = "/connections/"
# Seconds.
_LINGER: Final = 1.0
_BY_NAME: Final = "name"
# Bytes of a message on a control connection.
MAX_WORD: Final = 1024

AGENTS: Final = Metric("isthmus_tunnel_agents", GAUGE, "Agents that have dialled in, by member.", ("member",))
OPEN: Final = Metric("isthmus_tunnel_connections", GAUGE, "Connections of consumers, by member.", ("member",))
ANSWERS: Final = Metric("isthmus_tunnel_requests_total", COUNTER, "Requests of consumers, by answer.", ("code",))


@dataclass(frozen=True)
class Limits:
    """Connections of consumers in all and to one member, agents of one member, and seconds.

    `handshake` is for a request, and for an agent to come; `idle` is Kubernetes' own for streams; every `review` an
    agent has to be a member still.
    """

    connections: int = 2000
    of_member: int = 400
    agents: int = 8
    handshake: float = 10.0
    idle: float = 4 * 3600.0
    heartbeat: float = 15.0
    review: float = 300.0


LIMITS: Final = Limits()


@dataclass(eq=False)
class Control:
    """One agent that has dialled in; `left` is set when its member is none any more."""

    member: str
    websocket: WebSocket
    left: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class Connection:
    """One consumer's, which an agent was asked to carry: `arrived` is what by, `over` is set at its end."""

    control: Control
    task: asyncio.Task[None] | None
    arrived: asyncio.Future[WebSocket]
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def break_off(self) -> None:
        """Its agent has gone."""
        if not self.arrived.done():
            self.arrived.set_exception(refusal(503, f"the agent of {self.control.member} has gone: try again"))
        elif self.task is not None:
            self.task.cancel()


class Proxy:
    """Both sides of one proxy server; somebody has to run `members`, which are those of all sets."""

    def __init__(self, hub: Client, *, limits: Limits = LIMITS) -> None:
        # Names are one space for the whole hub.
        self.members = Informer(hub, MEMBERS, indexes={_BY_NAME: lambda item: [item.metadata.name]})
        self.members.subscribe(self._departed)
        self._hub = hub
        self.limits = limits
        self._controls: dict[str, list[Control]] = {}
        self._connections: dict[str, Connection] = {}
        self._consumers = 0
        self._answers: Counter[int] = Counter()

    def samples(self) -> Iterator[Sample]:
        """Who has dialled in, and what became of requests."""
        for member, controls in self._controls.items():
            yield Sample(AGENTS, len(controls), (member,))
            yield Sample(OPEN, self._carried_for(member), (member,))
        for code, count in self._answers.items():
            yield Sample(ANSWERS, count, (str(code),))

    async def serve_agent(self, request: Request) -> Stream:
        """An agent that dials in, until it goes."""
        try:
            if request.path == CONTROL:
                return await self._control(request)
            return await self._arrive(request)
        except Refused as refused:
            log.info("agent turned away", extra={"code": refused.code, "problem": refused.message})
            return http_answer(refused.code, f"{refused.message}\n".encode(), "text/plain")
        except IsthmusError as problem:
            log.warning("token not reviewed", extra={"problem": str(problem)})
            return http_answer(503, b"the hub does not say whose token this is: try again\n", "text/plain")

    async def serve_consumer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One consumer, from its request to the end of its connection."""
        try:
            with self._counted():
                found = asked(await self._head(reader))
                await self._connect(found, reader, writer)
        except Refused as refused:
            self._answers[refused.code] += 1
            await _turn_away(refused, reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            # It has gone without a request.
            pass
        finally:
            writer.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._consumers >= self.limits.connections:
            raise refusal(503, f"{self._consumers} connections are open already: try again later")
        self._consumers += 1
        try:
            yield
        finally:
            self._consumers -= 1

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self.limits.handshake):
                return await reader.readuntil(END)
        except TimeoutError:
            raise refusal(408, f"no whole request within {self.limits.handshake:g} s") from None
        except asyncio.LimitOverrunError:
            raise refusal(431, "the head of the request is longer than 8 KiB") from None

    async def _connect(self, found: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        control = self._control_for(found)
        arrived = asyncio.get_running_loop().create_future()
        connection = Connection(control, asyncio.current_task(), arrived)
        # Whoever knows it may carry the connection: no more is asked then.
        id_ = secrets.token_hex(16)
        self._connections[id_] = connection
        try:
            async with asyncio.timeout(self.limits.handshake):
                await control.websocket.send_str(id_)
                websocket = await arrived
            self._answers[200] += 1
            writer.write(CONNECTED)
            await carry(websocket, reader, writer, idle=self.limits.idle)
        except TimeoutError:
            raise refusal(504, f"the agent of {found.member} did not come in time: try again") from None
        except ConnectionError:
            raise refusal(503, f"the agent of {found.member} has gone: try again") from None
        finally:
            connection.over.set()
            del self._connections[id_]

    def _control_for(self, found: Asked) -> Control:
        """The agent that dialled in last. Raises Refused."""
        name = found.member
        record = next(iter(self.members.store.by(_BY_NAME, name)), None)
        if record is None:
            raise refusal(404, f"there is no member {name[:63]!r}: look at proxy-url in its ClusterProfile")
        spec = record.spec
        server = spec.server if spec is not None and not address_problem(spec) else ""
        if not server or address(server) != (found.host, found.port):
            raise refusal(403, f"{name} publishes {server or 'no address'}: nothing else is reached through it")
        controls = self._controls.get(name)
        if not controls:
            raise refusal(503, f"no agent of {name} has dialled in: is it running, and with --tunnel?")
        if self._carried_for(name) >= self.limits.of_member:
            raise refusal(503, f"{name} has {self.limits.of_member} connections already: try again later")
        return controls[-1]

    def _carried_for(self, member: str) -> int:
        return sum(each.control.member == member for each in self._connections.values())

    async def _control(self, request: Request) -> Stream:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        name = await self._member_of(token)
        if not name:
            raise refusal(401, "this is no token of a member")
        if len(self._controls.get(name, ())) >= self.limits.agents:
            raise refusal(503, f"{self.limits.agents} agents of {name} have dialled in already")
        websocket = await accept_websocket(request, (), heartbeat=self.limits.heartbeat, most=MAX_WORD)
        control = Control(name, websocket)
        self._controls.setdefault(name, []).append(control)
        log.info("agent dialled in", extra={"member": name})
        try:
            async with asyncio.TaskGroup() as tasks:
                both = (self._listen(control), self._review(control, token))
                ends = [tasks.create_task(each, name=f"agent of {name}") for each in both]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for each in ends:
                    each.cancel()
        finally:
            # At once, and not when the agent has said its farewell.
            self._leave(control)
        return websocket

    def _leave(self, control: Control) -> None:
        log.info("agent gone", extra={"member": control.member})
        self._controls[control.member].remove(control)
        if not self._controls[control.member]:
            del self._controls[control.member]
        for connection in self._connections.values():
            if connection.control is control:
                connection.break_off()

    async def _arrive(self, request: Request) -> Stream:
        """An agent that carries one connection, by its id, which was told to that agent alone and is good once."""
        connection = self._connections.get(request.path.removeprefix(CONNECTIONS))
        if connection is None or connection.arrived.done():
            raise refusal(404, "nobody waits for this connection")
        # Not pinged, since one that waits for its consumer reads nothing: the control connection tells who is gone.
        websocket = await accept_websocket(request, (), heartbeat=None, most=2 * PIECE)
        if not connection.arrived.done():
            connection.arrived.set_result(websocket)
            await connection.over.wait()
        return websocket

    async def _listen(self, control: Control) -> None:
        """An agent says only that it could not connect, and why."""
        async for message in control.websocket:
            id_, _, problem = str(message.data).partition(" ")
            connection = self._connections.get(id_)
            if connection is not None and connection.control is control and not connection.arrived.done():
                connection.arrived.set_exception(refusal(502, f"the agent of {control.member} says: {problem}"))

    async def _review(self, control: Control, token: str) -> None:
        """Accounts are taken and tokens end while an agent is there: then it has to come anew."""
        is_member = True
        while is_member:
            with suppress(TimeoutError):
                await asyncio.wait_for(control.left.wait(), self.limits.review)
            control.left.clear()
            is_member = await self._is_still(control.member, token)

    async def _is_still(self, member: str, token: str) -> bool:
        try:
            return await self._member_of(token) == member
        except IsthmusError as problem:
            log.warning("token not reviewed", extra={"member": member, "problem": str(problem)})
            # Cut off from the hub is not dead.
            return True

    async def _member_of(self, token: str) -> str:
        """The member whose token it is; empty for anybody else's."""
        name = account_of(await user_of(self._hub, token)) if token else ""
        return name if self.members.store.by(_BY_NAME, name) else ""

    def _departed(self, change: Change[Member]) -> None:
        if change.after is None and change.before is not None:
            for control in self._controls.get(change.before.metadata.name, ()):
                control.left.set()


def account_of(user: str) -> str:
    """The member's account that a user is; empty for users of any other kind, whatever they are called."""
    return user.removeprefix(MEMBER_ACCOUNT_PREFIX) if user.startswith(MEMBER_ACCOUNT_PREFIX) else ""


async def _turn_away(refused: Refused, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer, and hear the consumer out for a moment: a reset would take the answer from it (RFC 9112, 9.6)."""
    with suppress(OSError):
        writer.write(answer(refused))
        writer.write_eof()
        async with asyncio.timeout(_LINGER):
            while await reader.read(MAX_HEAD):
                pass
