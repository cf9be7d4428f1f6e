"""Who is joined with whom, who is turned away, and how long anything may take."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.api.core import SECRETS
from isthmus.api.isthmus import MEMBERS, MEMBERS_NAMESPACE, SYSTEM_NAMESPACE
from isthmus.errors import Refused
from isthmus.kit.http import WebSocket
from isthmus.kube.config import load_kubeconfig
from isthmus.testing.waiting import throughout
from isthmus.tunnel.proxy import LIMITS, account_of
from tests.fleets import MakeFleet
from tests.tunnel.scene import PATIENCE, Inside, connect, held, inside

QUICK = replace(LIMITS, connections=3, of_member=2, agents=2, handshake=0.5, heartbeat=60.0, review=0.2)


async def test_consumers_hear_why_they_are_turned_away(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with inside(make_fleet, tmp_path) as (_, tunnel):
        assert await tunnel.status() == 503
        async with tunnel.control():
            assert await tunnel.status("nobody") == 404
            assert await tunnel.status(head=connect(tunnel.member, "169.254.169.254:80")) == 403
            assert await tunnel.status(head=b"GET / HTTP/1.1\r\n\r\n") == 405
            assert await tunnel.status(head=b"\x16\x03\x01\r\n\r\n") == 400
            assert await tunnel.status(head=b"CONNECT localhost:9 HTTP/1.1\r\n\r\n") == 407
            long = connect(tunnel.member).replace(b"Host", b"X: " + b"x" * 9000 + b"\r\nHost")
            assert await tunnel.status(head=long) == 431
            assert await tunnel.status(head=long.rstrip()) == 431
            # As long as a head may be, and yet heard to its end.
            longest = connect(tunnel.member, "169.254.169.254:80").removesuffix(b"\r\n") + b"X: %s\r\n\r\n"
            assert await tunnel.status(head=longest % (b"x" * (8192 - len(longest)))) == 403
            # What nobody will read does not take the answer from it.
            assert "longer than 8 KiB" in await refusal(tunnel, long + bytes(1 << 20))


@pytest.mark.parametrize("address", ["https://localhost:99999", "https://[localhost", "", "http://localhost:9"])
async def test_a_member_without_a_usable_address_is_not_reached(
    make_fleet: MakeFleet, tmp_path: Path, address: str
) -> None:
    async with inside(make_fleet, tmp_path) as (scene, tunnel), tunnel.control():
        patch = {"spec": {"server": address}}
        await scene.fleet.hub.client.merge_patch(MEMBERS, tunnel.member, patch, namespace=scene.fleet.set)
        await tunnel.wait_status(403)


@pytest.mark.parametrize(
    ("user", "account"),
    [
        ("system:serviceaccount:isthmus-members:west", "west"),
        ("west", ""),
        ("system:serviceaccount:default:west", ""),
        ("isthmus:member:west", ""),
        ("", ""),
    ],
)
def test_whose_account_a_user_is(user: str, account: str) -> None:
    assert account_of(user) == account


async def test_only_a_members_token_lets_an_agent_in(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with inside(make_fleet, tmp_path) as (scene, tunnel):
        accounts = {"isthmus-tunnel": SYSTEM_NAMESPACE, f"{tunnel.member}-works": MEMBERS_NAMESPACE}
        for account, namespace in accounts.items():
            await scene.credential(account, namespace)
        tokens = [load_kubeconfig([tmp_path / f"{account}.kubeconfig"]).token for account in accounts]
        for token in ("nonsense", *(token.read().decode() for token in tokens if token)):
            assert await turned_away(tunnel.control(token)) == 401
        assert await turned_away(tunnel.carried("0" * 32)) == 404


async def test_a_member_is_reached_by_its_own_agent_alone(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with inside(make_fleet, tmp_path) as (_, tunnel), tunnel.control() as control:
        reader, writer = await tunnel.asked()
        id_ = str((await control.receive()).data)
        async with tunnel.carried(id_) as websocket:
            assert await reader.readuntil(b"\r\n\r\n")
            # An id is good once.
            assert await turned_away(tunnel.carried(id_)) == 404
            writer.write(b"hello")
            assert (await websocket.receive()).data == b"hello"
            await websocket.send_bytes(b"good day")
            assert await reader.readexactly(8) == b"good day"
        # Its agent goes: so does the connection.
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), PATIENCE)


async def test_what_the_agent_cannot_do_and_what_it_does_not_do_is_said(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with inside(make_fleet, tmp_path, QUICK) as (_, tunnel):
        async with tunnel.control() as control:
            reader, _ = await tunnel.asked()
            await control.send_str(f"{(await control.receive()).data} no route")
            answer = await asyncio.wait_for(reader.read(), PATIENCE)
            assert answer.startswith(b"HTTP/1.1 502 ")
            assert answer.endswith(b"says: no route\n")
            assert await tunnel.status() == 504
            reader, _ = await tunnel.asked()
            await control.receive()
        assert (await asyncio.wait_for(reader.read(), PATIENCE)).startswith(b"HTTP/1.1 503 ")


async def test_an_agent_speaks_for_what_it_was_asked_to_carry_alone_and_until_it_does(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    async with inside(make_fleet, tmp_path) as (_, tunnel), tunnel.control() as other, tunnel.control() as control:
        reader, writer = await tunnel.asked()
        id_ = str((await control.receive()).data)
        await other.send_str(f"{id_} no route")
        # Its word has arrived once it has been asked to leave.
        await other.close()
        async with tunnel.carried(id_) as websocket:
            assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            await control.send_str(f"{id_} no route")
            writer.write(b"hello")
            assert (await websocket.receive()).data == b"hello"
            # It is asked to carry others, too.
            _, another = await tunnel.asked()
            assert len(str((await control.receive()).data)) == len(id_)
            another.close()
        writer.close()


async def test_an_agent_that_says_nothing_any_more_is_gone(make_fleet: MakeFleet, tmp_path: Path) -> None:
    # What does not read does not answer pings either.
    async with inside(make_fleet, tmp_path, replace(LIMITS, heartbeat=1.0)) as (_, tunnel), tunnel.control():
        assert await refusal(tunnel) == f"the agent of {tunnel.member} has gone: try again"


async def test_a_hub_that_is_away_cuts_nobody_off_and_lets_nobody_in(embedded_fleet: MakeFleet, tmp_path: Path) -> None:
    async with (
        inside(embedded_fleet, tmp_path, QUICK) as (scene, tunnel),
        tunnel.control() as control,
        held(tunnel, control) as reader,
    ):
        await scene.fleet.hub.host.stop()

        async def goes_on() -> bool:
            return not reader.at_eof() and reader.exception() is None

        await throughout(goes_on, seconds=5 * QUICK.review)
        assert await turned_away(tunnel.control()) == 503
        await scene.fleet.hub.host.start()


async def test_everything_has_its_bounds(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with inside(make_fleet, tmp_path, QUICK) as (_, tunnel), tunnel.control(), tunnel.control() as control:
        # The third agent is one too many.
        assert await turned_away(tunnel.control()) == 503
        async with held(tunnel, control) as first, held(tunnel, control):
            assert await refusal(tunnel) == f"{tunnel.member} has 2 connections already: try again later"
            silent, writer = await tunnel.asked(head=b"CONNECT ")
            assert await refusal(tunnel) == "3 connections are open already: try again later"
            assert (await asyncio.wait_for(silent.read(), PATIENCE)).startswith(b"HTTP/1.1 408 ")
            assert not first.at_eof()
        # Strangers who say nothing are cut off at the other door too.
        port = int(tunnel.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("localhost", port, ssl=tunnel.tls)
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()


async def test_an_agent_whose_account_is_taken_is_cut_off(make_fleet: MakeFleet, tmp_path: Path) -> None:
    async with inside(make_fleet, tmp_path, QUICK) as (scene, tunnel), tunnel.control() as control:
        async with held(tunnel, control) as reader:
            await scene.fleet.hub.client.delete(SECRETS, tunnel.member, namespace=MEMBERS_NAMESPACE)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), PATIENCE)
        await tunnel.wait_status(503)


async def test_an_agent_whose_member_goes_is_cut_off(make_fleet: MakeFleet, tmp_path: Path) -> None:
    patient = replace(QUICK, review=3600.0)
    async with inside(make_fleet, tmp_path, patient) as (scene, tunnel), tunnel.control() as control:
        async with held(tunnel, control) as reader:
            await scene.fleet.hub.client.delete(MEMBERS, tunnel.member, namespace=scene.fleet.set)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), PATIENCE)
        await tunnel.wait_status(404)


async def turned_away(dialled: AbstractAsyncContextManager[WebSocket]) -> int:
    """The status by which an agent is turned away."""
    with pytest.raises(Refused) as refused:
        async with dialled:
            pass
    return refused.value.code


async def refusal(tunnel: Inside, head: bytes = b"") -> str:
    """The sentence with which a consumer is turned away."""
    reader, writer = await tunnel.asked(head=head)
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    return answer.decode().rpartition("\r\n")[2].strip()
