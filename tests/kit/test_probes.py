"""Probes and metrics over HTTP."""

import asyncio
import socket

import pytest

from isthmus.errors import Invalid
from isthmus.kit.probes import Readiness, listen, probed
from tests.kit.test_metrics import Part


async def ask(port: int, path: str, *, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


async def test_a_process_says_that_it_lives_whether_it_is_ready_and_what_it_counted() -> None:
    standing = [Readiness(ready=False, notes=("waiting for the cluster",))]
    (listener,) = sockets = listen(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with probed(sockets, lambda: standing[0]):
        part = Part(7)
        assert await ask(port, "/livez") == (200, "ok\n")
        assert await ask(port, "/readyz") == (503, "not ready\nwaiting for the cluster\n")
        standing[0] = Readiness(ready=True, notes=("leading",))
        assert await ask(port, "/readyz") == (200, "ok\nleading\n")
        code, metrics = await ask(port, "/metrics")
        assert code == 200
        assert f'test_done_total{{kind="shop"}} {part.done}.0' in metrics
        assert (await ask(port, "/livez", method="HEAD")) == (200, "")
        assert (await ask(port, "/"))[0] == 404
        assert (await ask(port, "/metrics", method="POST"))[0] == 405
    with pytest.raises(OSError, match="failed"):
        await ask(port, "/livez")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_without_an_address_both_families_are_answered() -> None:
    (listener,) = sockets = listen(("", 0))
    port = listener.getsockname()[1]
    async with probed(sockets, lambda: Readiness(ready=True)):
        for host in ("127.0.0.1", "::1"):
            assert await ask(port, "/livez", host=host) == (200, "ok\n")


async def test_without_sockets_nothing_is_served_or_counted() -> None:
    assert listen(None) == []
    async with probed([], lambda: Readiness(ready=True)):
        Part(1)


def test_an_address_that_cannot_be_had_is_refused_with_what_to_do() -> None:
    (taken,) = listen(("127.0.0.1", 0))
    with taken, pytest.raises(Invalid, match=r"port \d+: .*give --metrics another address"):
        listen(("127.0.0.1", taken.getsockname()[1]))
