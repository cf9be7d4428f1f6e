"""A server that is reached through a proxy: CONNECT, then TLS with the server itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from isthmus.api.core import NAMESPACES
from isthmus.errors import Unreachable
from isthmus.kube.client import Client
from isthmus.kube.config import Config


@dataclass
class Proxy:
    """A forward proxy on loopback that knows CONNECT and nothing else."""

    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(maxsplit=2)
        self.asked.append(f"{method} {target}")
        host, _, port = target.rpartition(":")
        upstream_reader, upstream = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pump(reader, upstream))
            tasks.create_task(pump(upstream_reader, writer))


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        return
    finally:
        sink.close()


@asynccontextmanager
async def proxy() -> AsyncIterator[Proxy]:
    running = Proxy()
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    async with server:
        running.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield running


async def test_a_server_is_reached_through_its_proxy(config: Config) -> None:
    async with proxy() as between, Client(replace(config, proxy=between.url)) as client:
        assert (await client.get(NAMESPACES, "default")).metadata.name == "default"
    assert between.asked == [f"CONNECT {config.server.removeprefix('https://')}"]


async def test_a_proxy_that_is_away_is_told(config: Config) -> None:
    async with proxy() as between:
        gone = between.url
    async with Client(replace(config, proxy=gone)) as client:
        with pytest.raises(Unreachable, match="no connection"):
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
