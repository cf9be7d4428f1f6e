"""The member's end: what it joins, how bytes get through, and that it comes back."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.api.core import CONFIG_MAPS
from isthmus.errors import Invalid, Unreachable
from isthmus.kit.http import Request, Stream, WebSocket, accept_websocket, serve, server_tls
from isthmus.kube.config import Config
from isthmus.kube.tls import Material, Trust
from isthmus.testing.cluster import BY_HAND
from isthmus.testing.waiting import eventually, throughout
from isthmus.tunnel.agent import Dialer
from isthmus.tunnel.proxy import CONNECTIONS, CONTROL, LIMITS, Limits
from tests.fleets import MakeFleet
from tests.real.certificates import Authority
from tests.tunnel.scene import PATIENCE, Inside, arrived, inside, playing

# What both ends, the kernel's buffers included, hold of a stream that nobody reads.
MOST_HELD = 24 << 20
HERE = {"metadata": {"name": "here"}, "data": {"is": "here"}}


class Server:
    """An API server as far as the tunnel is concerned: something that listens."""

    def __init__(self) -> None:
        self.poured = 0
        self.address = ""

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say how many bytes came, once all have come."""
        count = 0
        while piece := await reader.read(1 << 16):
            count += len(piece)
        writer.write(b"%d bytes" % count)
        writer.close()

    async def pour(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send without end."""
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()
            self.poured += 1 << 16


class Door:
    """A proxy server that says and hears what the test does: agents by where they dial in, in their order."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[tuple[str, WebSocket]] = asyncio.Queue()

    async def serve(self, request: Request) -> Stream:
        websocket = await accept_websocket(request, (), heartbeat=None)
        await self._came.put((request.path, websocket))
        # Until it has gone.
        await asyncio.Event().wait()
        return websocket

    async def next(self) -> tuple[str, WebSocket]:
        return await asyncio.wait_for(self._came.get(), PATIENCE)

    async def has_another(self) -> bool:
        return not self._came.empty()


@asynccontextmanager
async def before_a_door(folder: Path, limits: Limits) -> AsyncIterator[Door]:
    """The member's own end, which dials in there."""
    authority, door = Authority(folder), Door()
    tls = server_tls(*authority.sign("tunnel", "tunnel", addresses=["127.0.0.1"]))
    at, api_server = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    trust = Trust(Material("test", file=authority.certificate))
    hub = Config("https://hub.example", trust=trust, token=Material("test", b"token"))
    url, server = (f"https://127.0.0.1:{each.getsockname()[1]}" for each in (at, api_server))
    with api_server:
        async with serve(door.serve, [at], tls, grace=0), asyncio.TaskGroup() as tasks:
            dialing = tasks.create_task(Dialer(url, hub, server, limits=limits).run())
            yield door
            dialing.cancel()


@asynccontextmanager
async def dialled(tunnel: Inside, how: str, limits: Limits = LIMITS) -> AsyncIterator[Server]:
    """The member's own end, before such a server."""
    server = Server()
    listening = await asyncio.start_server(getattr(server, how), "127.0.0.1", 0)
    server.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, asyncio.TaskGroup() as tasks:
        dialing = tasks.create_task(tunnel.dialer(server.address, limits).run())
        await tunnel.wait_status(200)
        yield server
        dialing.cancel()


async def begun(tunnel: Inside) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A consumer that was let through."""
    reader, writer = await tunnel.asked()
    assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    return reader, writer


async def test_who_has_said_all_still_hears_the_other(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with inside(make_fleet, tmp_path) as (_, tunnel), dialled(tunnel, "echo"):
        reader, writer = await begun(tunnel)
        writer.write(bytes(3 << 20))
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b"%d bytes" % (3 << 20)
        writer.close()


async def test_who_does_not_read_is_not_read_for(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with inside(make_fleet, tmp_path) as (_, tunnel), dialled(tunnel, "pour") as server:
        held = server.poured
        reader, writer = await begun(tunnel)

        async def few() -> bool:
            return server.poured - held < MOST_HELD

        await throughout(few, seconds=2.0)
        # Others are served meanwhile, and it goes on once it reads.
        assert await tunnel.status() == 200
        read = 0
        async with asyncio.timeout(PATIENCE):
            while read < 2 * MOST_HELD:
                read += len(await reader.read(1 << 16))
        writer.close()


async def test_silence_ends(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with inside(make_fleet, tmp_path, replace(LIMITS, idle=0.5)) as (_, tunnel), dialled(tunnel, "echo"):
        reader, writer = await begun(tunnel)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), PATIENCE)
        writer.close()


async def test_an_api_server_that_does_not_answer_is_told(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with inside(make_fleet, tmp_path) as (_, tunnel), asyncio.TaskGroup() as tasks:
        dialing = tasks.create_task(tunnel.dialer("https://127.0.0.1:9").run())
        await tunnel.wait_status(502)
        dialing.cancel()


async def test_a_proxy_server_gets_no_more_than_was_agreed(tmp_path: Path) -> None:
    async with before_a_door(tmp_path, replace(LIMITS, of_member=2)) as door:
        _, control = await door.next()
        first, second, third, *further = (f"{number:032x}" for number in range(200))
        for word in ("../control", first[1:], f"{first}/", first, second, third):
            await control.send_str(word)
        came = dict([await door.next(), await door.next()])
        assert set(came) == {CONNECTIONS + first, CONNECTIONS + second}
        await came[CONNECTIONS + first].close()

        async def another() -> bool:
            await control.send_str(further.pop())
            return await door.has_another()

        # The third was one too many then; now there is place for one.
        await eventually(another)
        assert (await door.next())[0] not in {CONNECTIONS + third, CONTROL}


async def test_an_agent_lets_go_of_a_proxy_server_that_says_nothing_any_more_and_dials_in_anew(tmp_path: Path) -> None:
    async with before_a_door(tmp_path, replace(LIMITS, heartbeat=1.0)) as door:
        _, control = await door.next()
        await control.send_str("0" * 32)
        _, carried = await door.next()
        # What does not read does not answer pings either.
        assert (await door.next())[0] == CONTROL
        assert (await asyncio.wait_for(carried.receive(), PATIENCE)).data != b""


async def test_an_agent_that_is_killed_ends_its_streams_and_comes_back(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with playing(make_fleet, tmp_path, "west") as scene:
        (west,) = scene.members
        await scene.fleet[west].namespace(west)
        await scene.fleet[west].client.apply(CONFIG_MAPS, HERE, namespace=west, options=BY_HAND)
        await scene.consumer.granted(west, role="view")
        async with await scene.client(west) as client, aclosing(client.watch(CONFIG_MAPS, namespace=west)) as seen:
            assert await asyncio.wait_for(arrived(seen, "here"), PATIENCE) == {"is": "here"}
            await scene.kill(f"agent-{west}")
            with pytest.raises(Unreachable, match="broke off"):
                await asyncio.wait_for(arrived(seen, "another"), PATIENCE)
            await scene.wait_status(west, 503)
            await scene.start_agent(west)
            await scene.wait_status(west, 200)
            assert (await client.get(CONFIG_MAPS, "here", namespace=west))["data"] == {"is": "here"}


async def test_agents_come_back_to_a_proxy_server_that_was_killed(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with playing(make_fleet, tmp_path, "east", "west") as scene:
        await scene.kill("tunnel")
        await scene.start_tunnel()
        for name in scene.members:
            await scene.wait_status(name, 200)


def test_a_tunnel_needs_an_address_and_a_token() -> None:
    hub = Config("https://hub.example")
    with pytest.raises(Invalid, match="https://HOST:PORT"):
        Dialer("http://tunnel.example", hub, "https://10.0.0.1")
    with pytest.raises(Invalid, match="needs a token"):
        Dialer("https://tunnel.example", hub, "https://10.0.0.1")
