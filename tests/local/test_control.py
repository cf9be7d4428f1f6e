import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from isthmus.errors import Invalid, Unreachable
from isthmus.local.control import Answer, Command, Peer, ask, receive

Obey = Callable[[Command, list[socket.socket], Peer], Awaitable[None]]


@asynccontextmanager
async def door(path: Path, obey: Obey) -> AsyncIterator[None]:
    async def serve(listener: socket.socket) -> None:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        with connection:
            command, listeners = await receive(connection)
            await obey(command, listeners, Peer(connection))

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(listener))
            yield


async def test_a_command_carries_listening_sockets_and_gets_progress_and_an_answer(tmp_path: Path) -> None:
    async def obey(command: Command, listeners: list[socket.socket], peer: Peer) -> None:
        peer.say(f"{command.do} {command.clusters[0]}")
        (listener,) = listeners
        peer.say(str(listener.getsockname()[1]))
        listener.close()
        peer.end(Answer())

    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        async with door(tmp_path / "s", obey):
            command = Command(do="up", clusters=("east",))
            await asyncio.to_thread(ask, tmp_path / "s", command, listeners=[mine], progress=said.append)
    assert said == ["up east", str(port)]


async def test_a_refusal_is_the_supervisors_own_sentence(tmp_path: Path) -> None:
    async def obey(command: Command, listeners: list[socket.socket], peer: Peer) -> None:
        peer.end(Answer(error="there is no cluster 'x'"))

    async with door(tmp_path / "s", obey):
        with pytest.raises(Invalid, match="there is no cluster 'x'"):
            await asyncio.to_thread(ask, tmp_path / "s", Command(do="stop"))


async def test_a_supervisor_that_dies_is_unreachable(tmp_path: Path) -> None:
    async def obey(command: Command, listeners: list[socket.socket], peer: Peer) -> None:
        return

    async with door(tmp_path / "s", obey):
        with pytest.raises(Unreachable, match="ended before it answered"):
            await asyncio.to_thread(ask, tmp_path / "s", Command(do="status"))


def test_without_a_supervisor_the_error_names_its_door(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=str(tmp_path)):
        ask(tmp_path / "nobody", Command(do="status"))


async def test_what_is_no_command_is_refused(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(b"\xff not json")
        with pytest.raises(Invalid, match="does not understand"):
            await receive(ours)
