"""Lines out of chunks, however the network cuts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import errors
from isthmus.api import core
from isthmus.kube import watch as watches
from isthmus.kube.client import Bookmark, Client, Event, UndecodableEvent, WatchEvent, WatchOptions
from isthmus.kube.config import Config
from isthmus.kube.watch import lines
from tests.kube.scripted import Reply, Scripted, Seen


@given(st.lists(st.binary(max_size=20).map(lambda part: part.replace(b"\n", b" "))), st.data())
def test_lines_are_whole_wherever_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(part + b"\n" for part in parts)
    begun: list[bytes] = []
    seen: list[bytes] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        seen += lines(begun, stream[:cut])
        stream = stream[cut:]
    assert seen == [part for part in parts if part]


async def told(*chunks: bytes) -> list[Event[core.EndpointSlice]]:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.begin()
        for chunk in chunks:
            await reply.chunk(chunk)
        await reply.end()

    options = WatchOptions(labels="a=b", resource_version="5")
    async with Scripted().then(answer) as server, Client(Config(server.url)) as client:
        events = [event async for event in client.watch(core.ENDPOINT_SLICES, namespace="x", options=options)]
        assert server.seen[0].query == {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "labelSelector": "a=b",
            "resourceVersion": "5",
        }
        return events


async def test_each_kind_of_event_is_told() -> None:
    added, deleted, bookmark, bad = await told(
        b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n{"type":"DELE',
        b'TED","object":{"metadata":{"name":"a"}}}\n',
        b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}\n\n',
        b'{"type":"MODIFIED","object":{"metadata":{"name":"b","namespace":"x","resourceVersion":"8"},"ports":1}}\n',
    )
    assert isinstance(added, WatchEvent)
    assert (added.type, added.object.metadata.name) == ("ADDED", "a")
    assert deleted.type == "DELETED"
    assert bookmark == Bookmark("9")
    assert isinstance(bad, UndecodableEvent)
    assert (bad.type, bad.key, bad.resource_version) == ("MODIFIED", ("x", "b"), "8")
    assert "ports" in bad.reason


async def test_what_came_before_an_error_is_told_first() -> None:
    seen: list[str] = []

    async def answer(request: Seen, reply: Reply) -> None:
        await reply.begin()
        await reply.chunk(
            b'{"type":"ADDED","object":{}}\n{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n'
        )
        await reply.hang()

    async with Scripted().then(answer) as server, Client(Config(server.url)) as client:
        watch = client.watch(core.ENDPOINT_SLICES)
        seen.append((await anext(watch)).type)
        with pytest.raises(errors.Gone):
            await anext(watch)
    assert seen == ["ADDED"]


async def test_a_line_without_end_is_not_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "MAX_LINE", 1 << 20)
    with pytest.raises(errors.ServerFault, match="longer than 1 MiB"):
        await told(*[b"x" * (1 << 18)] * 8)
