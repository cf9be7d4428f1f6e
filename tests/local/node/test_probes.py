"""Probes against real listeners."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from isthmus.api.scheme import Manifest
from isthmus.errors import IsthmusError
from isthmus.kit.clock import FakeClock
from isthmus.local.node.podspec import Container, Probe, decode
from isthmus.local.node.probes import EAGER, GROWTH, Target, Unwell, ask, results


@contextlib.asynccontextmanager
async def answering(answer: bytes, wait: float = 0) -> AsyncIterator[tuple[int, list[bytes]]]:
    heard: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(wait)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


def target(container: Manifest | None = None) -> Target:
    async def run(command: Sequence[str]) -> int:
        return int(command[0])

    spec = {"containers": [{"name": "main"} | (container or {})]}
    return Target(decode({"metadata": {}, "spec": spec}).spec.containers[0], "127.0.0.1", run)


def probe(**fields: object) -> Probe:
    spec = {"containers": [{"name": "main", "readinessProbe": fields}]}
    found = decode({"metadata": {}, "spec": spec}).spec.containers[0].readiness_probe
    assert found
    return found


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", "", id="200 is well"),
        pytest.param(b"HTTP/1.1 302 Found\r\n\r\n", "", id="so is a redirection"),
        pytest.param(b"HTTP/1.1 503 No\r\n\r\n", "statuscode: 503", id="503 is not"),
        pytest.param(b"SSH-2.0-nobody\r\n", "no HTTP answer", id="another protocol"),
        pytest.param(b"", "no HTTP answer", id="nothing"),
        pytest.param(b"H" * 100_000, "no HTTP answer", id="a line without end"),
    ],
)
async def test_an_http_answer_says_whether_all_is_well(answer: bytes, problem: str) -> None:
    async with answering(answer) as (port, heard):
        headers = [{"name": "Host", "value": "shop"}]
        wanted = probe(httpGet={"port": port, "path": "health?x=1", "httpHeaders": headers})
        if problem:
            with pytest.raises(Unwell, match=problem):
                await ask(wanted, target(), 5)
        else:
            await ask(wanted, target(), 5)
        assert heard[0].startswith(b"GET /health?x=1 HTTP/1.1\r\nHost: shop\r\n")


async def test_a_slow_answer_is_none() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n", wait=5) as (port, _):
        with pytest.raises(Unwell, match=r"no answer within 0\.05 s"):
            await ask(probe(httpGet={"port": port}), target(), 0.05)


async def test_a_header_cannot_smuggle_a_request() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (port, heard):
        headers = [{"name": "X", "value": "a\r\n\r\nGET /evil HTTP/1.1"}]
        with pytest.raises(Unwell, match="line break"):
            await ask(probe(httpGet={"port": port, "httpHeaders": headers}), target(), 5)
        assert not heard


async def test_a_port_may_be_named() -> None:
    async with answering(b"") as (port, _):
        named = target({"ports": [{"name": "web", "containerPort": port}]})
        await ask(probe(tcpSocket={"port": "web"}), named, 5)
    with pytest.raises(IsthmusError, match="no port named 'other'"):
        await ask(probe(tcpSocket={"port": "other"}), named, 5)
    with pytest.raises(Unwell):
        await ask(probe(tcpSocket={"port": "web"}), named, 5)


async def test_commands_tell_by_their_exit_code() -> None:
    await ask(probe(exec={"command": ["0"]}), target(), 5)
    with pytest.raises(Unwell, match="exit code 3"):
        await ask(probe(exec={"command": ["3"]}), target(), 5)


async def test_what_comes_up_is_asked_often_until_it_is_there() -> None:
    clock, codes = FakeClock(), iter([1, 1, 1, 0, 1, 0])
    asked: list[float] = []

    async def run(_command: Sequence[str]) -> int:
        asked.append(clock.monotonic())
        return next(codes)

    container: Container = target().container
    verdicts = results(probe(exec={"command": ["x"]}), Target(container, "", run), clock, eager=True)
    seen: list[str] = []

    async def collect() -> None:
        async for problem in verdicts:
            seen.append(problem)
            if len(seen) == 4:
                return

    async with asyncio.TaskGroup() as tasks:
        collecting = tasks.create_task(collect())
        while not collecting.done():
            await clock.advance(0.05)
    # One failure is told, the eager ones are not; from the first success on, once in ten seconds.
    assert [bool(problem) for problem in seen] == [True, False, True, False]
    assert asked[:4] == pytest.approx([0, EAGER, EAGER * (1 + GROWTH), EAGER * (1 + GROWTH + GROWTH**2)], abs=0.051)
    assert asked[4:] == pytest.approx([10, 20], abs=0.1)
