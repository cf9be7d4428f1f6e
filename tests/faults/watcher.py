"""One kind in one cluster, as an onlooker sees it: by its own list and watch, which share nothing with Isthmus."""

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiohttp

from isthmus.api.scheme import Manifest

Told = Callable[[str, Manifest | None, Manifest | None], None]

# Seconds.
AGAIN = 0.1
LIST_LIMIT = 3.0
BUFFER = 1 << 22


class Watcher:
    """`objects` by name as last seen; `told` hears of each change: name, before, after. Reconnects at once."""

    def __init__(self, session: aiohttp.ClientSession, url: str, told: Told, *, labels: str = "") -> None:
        self.objects: dict[str, Manifest] = {}
        self._session = session
        self._url = url
        self._query = {"labelSelector": labels} if labels else {}
        self._told = told

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError, KeyError):
                await self._watch(await self._list())
            await asyncio.sleep(AGAIN)

    async def _list(self) -> str:
        limit = aiohttp.ClientTimeout(LIST_LIMIT)
        async with self._session.get(self._url, params=self._query, timeout=limit, raise_for_status=True) as answer:
            listed = await answer.json()
        found = {item["metadata"]["name"]: item for item in listed["items"]}
        for name in self.objects.keys() - found.keys():
            self._change(name, None)
        for name, item in found.items():
            self._change(name, item)
        return str(listed["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> None:
        query = self._query | {"watch": "1", "resourceVersion": version}
        limit = aiohttp.ClientTimeout(None)
        async with self._session.get(self._url, params=query, timeout=limit, raise_for_status=True) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                item = event["object"]
                self._change(item["metadata"]["name"], None if event["type"] == "DELETED" else item)

    def _change(self, name: str, after: Manifest | None) -> None:
        before = self.objects.get(name)
        if after is None:
            self.objects.pop(name, None)
        else:
            self.objects[name] = after
        if before != after:
            self._told(name, before, after)


def session(authority: Path, certificate: Path, key: Path) -> aiohttp.ClientSession:
    """Connections with a client certificate; for any number of watchers of one server."""
    trusted = ssl.create_default_context(cafile=authority)
    trusted.load_cert_chain(certificate, key)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=trusted), read_bufsize=BUFFER)
